"""Fine-tuning an encoder on one task or several: what the intermediate phase and the target phase share."""

import pandas as pd
import torch

from xtools import scoring, sources, tasks
from xtools.batching import collate, length
from xtools.encoder import Encoder
from xtools.study import Study, expand
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


def development_rows(study: Study, task: Task) -> list[dict]:
    """The source language's development rows of a task."""
    return sources.rows(expand(study.source), task, "dev", study.source_language, study.evaluation.dev)


def development_scores(encoder: Encoder, heads: dict, study: Study, data: dict) -> tuple[dict, dict]:
    """Scores and predictions on the source language's development set, per intermediate task."""
    scores, predictions = {}, {}
    for name, (task, _) in data.items():
        width = study.intermediate.for_task(name).max_length
        scores[name], predictions[name] = scoring.evaluate(encoder, heads[name], task, development_rows(study, task), width)
    return scores, predictions


def score_frame(scores: dict[str, dict]) -> pd.DataFrame:
    """Development scores per task, with chance and the number of rows."""
    rows = []
    for name, found in scores.items():
        task = tasks.get(name)
        rows.append({"task": name, "metric": task.metric, "score": found[task.metric], "chance": task.chance, "rows": found["n"]})
    return pd.DataFrame(rows)
