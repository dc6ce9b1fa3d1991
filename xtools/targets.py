"""Phase 3: fine-tune on a target in the source language, score it in every language."""

from dataclasses import dataclass

import torch

from xtools import finetuning, scoring, sources, tasks
from xtools.encoder import Encoder
from xtools.study import Study, Training, expand
from xtools.tasks import Task, format_of


@dataclass
class Model:
    """An encoder ready for one target: its head and learning curve, both None for retrieval, which trains nothing."""

    encoder: Encoder
    task: Task
    settings: Training
    head: torch.nn.Module | None = None
    curve: dict | None = None
    examples: int = 0


def prepare(encoder: Encoder, study: Study, target: str, seed: int, checkpoint=None) -> Model:
    """Fine-tune on the target's training set in the source language; retrieval targets are left as they are."""
    task, settings = tasks.get(target), study.target.for_task(target)
    if task.format == "retrieval":
        return Model(encoder, task, settings)
    rows = sources.rows(expand(study.source), task, "train", study.source_language, settings.examples)
    heads, curve = finetuning.fine_tune(encoder, {target: (task, rows)}, settings, seed, checkpoint)
    return Model(encoder, task, settings, heads[target], curve, len(rows))


def _evaluate(model: Model, study: Study, rows: list[dict]) -> tuple[dict, list]:
    if model.head is None:
        return scoring.retrieve(model.encoder, model.task, rows, study.retrieval, model.settings.max_length)
    return scoring.evaluate(model.encoder, model.head, model.task, rows, model.settings.max_length)


def test_languages(study: Study, task: Task) -> list[str]:
    """The study's languages of a target; retrieval has none for the source language, whose sentences are the queries."""
    languages = study.languages_of(task.name)
    return [lang for lang in languages if lang != study.source_language] if task.format == "retrieval" else languages


def score(model: Model, study: Study) -> tuple[dict, dict, dict]:
    """Scores, predictions and rows per language of the target's test set."""
    scores, predictions, rows = {}, {}, {}
    for language in test_languages(study, model.task):
        rows[language] = sources.rows(expand(study.source), model.task, "test", language, study.evaluation.test)
        scores[language], predictions[language] = _evaluate(model, study, rows[language])
    return scores, predictions, rows


def development_score(model: Model, study: Study) -> dict | None:
    """Scores on the source language's development set; None for a target that has none."""
    if "dev" not in model.task.hub or model.head is None:
        return None
    return _evaluate(model, study, finetuning.development_rows(study, model.task))[0]


def result(model: Model, scores: dict, dev: dict | None, gap: float | None) -> dict:
    """What the record keeps: every metric per language, the main metric's mean, the gap, the learning curve."""
    metric = model.task.metric
    return {
        "metric": metric,
        "scores": scores,
        "score": sum(s[metric] for s in scores.values()) / len(scores),
        "dev": dev,
        "gap": gap,
        "curve": model.curve,
        "examples": model.examples,
        "precision": model.encoder.precision,
    }


def timing_features(encoder: Encoder, study: Study) -> list[dict]:
    """Evaluation examples of all targets in all their languages, encoded, an equal number of each, `timing.examples` in all."""
    pairs = [(tasks.get(t), lang) for t in study.targets for lang in test_languages(study, tasks.get(t))]
    each = -(-study.timing.examples // len(pairs))
    features = []
    for task, language in pairs:
        rows = sources.read(expand(study.source), task, "test", language, each)
        width, column = study.target.for_task(task.name).max_length, ["text"] if task.format == "retrieval" else []
        features += format_of(task).encode(rows, encoder.tokenizer, task, width, *column)
    return features
