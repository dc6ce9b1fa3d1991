"""Fine-tuning an encoder on one task or several: what the intermediate phase and the target phase share."""

import pandas as pd
import torch

from xtools import scoring, sources, tasks
from xtools.batching import collate, length
from xtools.encoder import Encoder
from xtools.study import Phase, Study, expand
from xtools.tasks import Task, format_of
from xtools.training import Stream, train


def new_head(encoder: Encoder, task: Task) -> torch.nn.Module:
    """The task's head with weights from N(0, 0.02) and zero biases, BERT's initialisation."""
    head = format_of(task).Head(encoder.config, task)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.02) if parameter.ndim > 1 else torch.nn.init.zeros_(parameter)
    return head.to(encoder.device)


def task_stream(encoder: Encoder, head: torch.nn.Module, task: Task, rows: list[dict], max_length: int) -> Stream:
    """A training stream over a task's rows; a row that needs several windows or pieces gives several examples."""
    form = format_of(task)
    features = form.encode(rows, encoder.tokenizer, task, max_length)

    def loss(indices: list[int]) -> torch.Tensor:
        batch = collate([features[i] for i in indices], encoder.tokenizer.pad_token_id, encoder.device)
        return form.loss(head(encoder.hidden(batch["ids"]), batch), batch)

    return Stream(task.name, [length(f) for f in features], loss)


def fine_tune(encoder: Encoder, data: dict[str, tuple[Task, list[dict]]], settings, seed: int, checkpoint=None) -> tuple[dict, dict]:
    """Train the encoder in place on {name: (task, rows)} with one new head per task; returns the heads and the learning curve."""
    torch.manual_seed(seed)
    heads = torch.nn.ModuleDict({name: new_head(encoder, task) for name, (task, _) in data.items()})
    streams = [task_stream(encoder, heads[name], task, rows, settings.max_length) for name, (task, rows) in data.items()]
    modules = torch.nn.ModuleDict({"encoder": encoder.model.base_model, "heads": heads})
    return dict(heads.items()), train(modules, streams, settings, seed, checkpoint)


def intermediate_data(study: Study, recipe: str) -> dict[str, tuple[Task, list[dict]]]:
    """The training rows of a recipe's intermediate tasks, as {name: (task, rows)}."""
    found = {}
    for name in study.tasks_of(recipe):
        task, n = tasks.get(name), study.intermediate.for_task(name).examples
        found[name] = (task, sources.rows(expand(study.source), task, "train", study.source_language, n))
    return found


def development_scores(encoder: Encoder, heads: dict, study: Study, data: dict, phase: Phase) -> tuple[dict, dict]:
    """Scores and predictions on the source language's development set, per task."""
    scores, predictions = {}, {}
    for name, (task, _) in data.items():
        rows = sources.rows(expand(study.source), task, "dev", study.source_language, study.evaluation.dev)
        found, predictions[name] = scoring.evaluate(encoder, heads[name], task, rows, phase.for_task(name).max_length)
        scores[name] = found
    return scores, predictions


def score_frame(scores: dict[str, dict]) -> pd.DataFrame:
    """Development scores per task, with chance and the number of rows."""
    rows = []
    for name, found in scores.items():
        metric = tasks.get(name).metric
        rows.append({"task": name, "metric": metric, "score": found[metric], "chance": tasks.get(name).chance, "rows": found["n"]})
    return pd.DataFrame(rows)


def brief(row: dict) -> str:
    """What a row asks, on one line."""
    parts = [row[key] for key in ("context", "text_a", "text_b", "question", "text", "source_text") if key in row]
    parts += [" / ".join(row["choices"])] if "choices" in row else []
    return " | ".join(parts) if parts else " ".join(row["words"])


def gold(row: dict, task: Task) -> str:
    """The gold answer of a row, readable."""
    if "answers" in row:
        return " / ".join(row["answers"]["text"])
    if "tags" in row:
        return " ".join(row["tags"])
    if "source_text" in row:
        return row["source_text"]
    return row["choices"][row["label"]] if "choices" in row else task.labels[row["label"]]


def readable(prediction, row: dict, task: Task, rows: list[dict]) -> str:
    """A prediction in the words of `gold`."""
    if task.format == "span":
        return prediction
    if task.format == "tagging":
        return " ".join(task.labels[p] for p in prediction)
    if task.format == "retrieval":
        return rows[prediction]["text"]
    return row["choices"][prediction] if "choices" in row else task.labels[prediction]


def sample(data: dict) -> pd.DataFrame:
    """The first training row of each task."""
    return pd.DataFrame([{"task": name, "asked": brief(rows[0]), "gold": gold(rows[0], task)} for name, (task, rows) in data.items()])


def examples(study: Study, predictions: dict[str, list], n: int = 3) -> pd.DataFrame:
    """The first development rows of each task with gold answer and prediction."""
    found = []
    for name, made in predictions.items():
        task = tasks.get(name)
        rows = sources.rows(expand(study.source), task, "dev", study.source_language, study.evaluation.dev)
        found += example_rows(name, task, rows, made, n)
    return pd.DataFrame(found)


def example_rows(label: str, task: Task, rows: list[dict], predictions: list, n: int) -> list[dict]:
    return [
        {"": label, "asked": brief(row), "gold": gold(row, task), "predicted": readable(made, row, task, rows)}
        for row, made in list(zip(rows, predictions, strict=True))[:n]
    ]
