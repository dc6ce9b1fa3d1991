"""Phase 3: fine-tune on a target in the source language, score it in every language."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch

from xtools import finetuning, restarts, results, scoring, sources, tasks
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.settings import Finetuning, Retrieval
from xtools.study import Study
from xtools.tasks import Searched, Task, format_of


@dataclass
class Model:
    """An encoder ready for one target: its head, None where the encoder's own vectors are searched, the learning curve, None where nothing
    is trained, and every attempt at training."""

    encoder: Encoder
    task: Task
    settings: Finetuning
    head: torch.nn.Module | None = None
    curve: dict | None = None
    attempts: list[results.Attempt] = field(default_factory=list)
    examples: int = 0


def prepare(encoder: Encoder, study: Study, target: str, seed: int, checkpoint: Path | None = None, restore=None) -> Model:
    """Fine-tune on the target's training set in the source language, after its first task where it has one (`Study.stages`).

    A retrieval target without a training set keeps no head: the encoder's own sentence vectors are searched, as it is or after the first
    task. One whose model another target has trained gets that one's head from `restore`, a function that fills a head or returns False.
    """
    task, settings = tasks.get(target), study.target.for_task(target)
    if restore and task.is_trained and restore(head := finetuning.new_head(encoder, task)):
        return Model(encoder, task, settings, head.eval())
    head, curve, n, attempts = None, None, 0, list[results.Attempt]()
    for name in study.stages(target):
        stage, phase = tasks.get(name), study.target.for_task(name)
        features = finetuning.training_features(encoder, study, stage, phase.examples, phase.max_length, seed)
        path = checkpoint and checkpoint.with_stem(f"{checkpoint.stem}-{name}")
        data, widths = {name: (stage, features)}, {name: phase.max_length}
        tuned = restarts.tune(encoder, study, data, phase, widths, seed, path, head and {name: head})
        head, curve, attempts, n = tuned.heads[name], tuned.curve, attempts + tuned.attempts, features.rows
    return Model(encoder, task, settings, head if task.is_trained else None, curve, attempts, n)


def test_languages(study: Study, task: Task) -> list[str]:
    """The study's languages of a target; in Tatoeba and BUCC the source language is the other side of every pair, so it has no score."""
    languages = study.languages_of(task.name)
    return [lang for lang in languages if lang != study.source_language] if task.is_bitext else languages


def score(model: Model, study: Study, backbone: str) -> tuple[dict, dict, dict]:
    """Scores, predictions and rows per language of the target's test set."""
    if model.task.is_searched:
        return _retrieval_scores(model, study, study.retrieval_of(backbone))
    scores, predictions, rows = {}, {}, {}
    for language in test_languages(study, model.task):
        rows[language] = sources.rows(study.data, model.task, "test", language, study.evaluation.of(model.task.name).test)
        scores[language], predictions[language] = scoring.evaluate(
            model.encoder, model.head, model.task, rows[language], model.settings.max_length, language
        )
    return scores, predictions, rows


def _retrieval_scores(model: Model, study: Study, settings: Retrieval) -> tuple[dict, dict, dict]:
    """As `score`. Of a language's queries and candidates the vectors are in memory together, and of no other language's."""
    layer, pooling, chosen_by = _vectors_are(model, settings)
    queries, candidates = sources.retrieval(
        study.data, model.task, test_languages(study, model.task), study.evaluation.of(model.task.name).test
    )
    most = max(len(asked) + len(candidates[language]) for language, asked in queries.items())
    layers = (_layers(model, most) if settings.sweep and not model.head else []) or [layer]

    def vectors(rows: list[dict], split: str):
        return scoring.embed(model.encoder, model.task, rows, layers, pooling, model.task.length_of(split, model.settings.max_length))

    scores, predictions, rows, pool, indexed = {}, {}, {}, None, None
    for language, asked in queries.items():
        if candidates[language] is not pool:  # one pool serves all languages
            pool, indexed = candidates[language], None
            indexed = vectors(pool, "candidates")
        searched = _search(model, asked, pool, vectors(asked, "test"), indexed, layers, language)
        best = searched[layer]
        swept = {"layers": {n: s.scores[model.task.metric] for n, s in searched.items()}} if len(searched) > 1 else {}
        scores[language], predictions[language] = best.scores | {"layer": layer, "layer_by": chosen_by} | swept, best.predictions
        rows[language] = _with_texts(best, pool)
    return scores, predictions, rows


def _vectors_are(model: Model, settings: Retrieval) -> tuple[int, str, str]:
    """The layer of a target's sentence vectors, their pooling, and what chose the layer, as `records.Score` names it. No score does: labels
    of other languages, if only those that tune mining's threshold, would make a zero-shot result a supervised one.

    Raises Problem for a layer that the encoder has not.
    """
    depth = model.encoder.config.num_hidden_layers
    if model.head:
        return depth, "first", "training"
    if settings.layer and settings.layer > depth:
        raise Problem(f"retrieval.layer: {settings.layer} is more than the {depth} layers of the encoder; name one of these, or none")
    return settings.layer or scoring.retrieval_layer(model.encoder), settings.pooling, "study" if settings.layer else "depth"


def _layers(model: Model, rows: int) -> list[int]:
    """Every layer, where the vectors of all of them are few; else none is swept (BUCC, whose corpora hold up to a million sentences)."""
    every = [*range(1, model.encoder.config.num_hidden_layers + 1)]
    return every if scoring.are_few(rows, len(every), model.encoder.config.hidden_size) else []


def _search(model: Model, asked: list[dict], pool: list[dict], q, c, layers: list[int], language: str) -> dict[int, Searched]:
    """What each layer's search gives, by the vectors [layers, rows, hidden] of queries and candidates."""
    form, device = format_of(model.task), model.encoder.device
    return {n: form.retrieve(model.task, asked, pool, q[i], c[i], language, device) for i, n in enumerate(layers)}


def _with_texts(searched: Searched, pool: list[dict]) -> list[dict]:
    """The queries with the texts of the candidates that are right and of the first one found, for people to read."""
    text = {candidate["id"]: candidate["text"] for candidate in pool}
    pairs = zip(searched.rows, searched.predictions, strict=True)
    return [row | {"texts": {i: text[i] for i in [*row["gold"], *ranked[:1]] if i in text}} for row, ranked in pairs]


def development_score(model: Model, study: Study) -> dict | None:
    """Scores on the source language's development set; None for a target that has none, or of which a subset has test rows alone."""
    if "dev" not in model.task.hub or model.head is None:
        return None
    rows = finetuning.development_rows(study, model.task)
    if not rows:
        return None
    return scoring.evaluate(model.encoder, model.head, model.task, rows, model.settings.max_length, study.source_language)[0]


def metrics_frame(scores: dict[str, dict]) -> pd.DataFrame:
    """Every metric per language, under its own name, with the number of scored rows."""
    rows = [{"language": lang} | {k: v for k, v in s.items() if isinstance(v, int | float)} for lang, s in scores.items()]
    return pd.DataFrame(rows)


def _used(study: Study, task: Task) -> dict[str, list[str]]:
    """The splits that a target's cell reads, of each task: of one that is trained before it the development rows only where its training is
    chosen by them."""
    stages = {name: study.target.for_task(name).is_looked_at for name in study.stages(task.name)}
    return {name: ["train", "dev"] if looked else ["train"] for name, looked in stages.items()} | {task.name: [*task.hub]}


def result(model: Model, study: Study, scores: dict, dev: dict | None, gap: float | None) -> results.Target:
    """What the record keeps: every metric per language, the main metric's mean, the gap, the learning curve, where the data is a
    subset of the published one, and which answers are lost."""
    metric, languages = model.task.metric, test_languages(study, model.task)
    used = [(study.data, tasks.get(name), splits, languages) for name, splits in _used(study, model.task).items()]
    counts = [entry for read in used for entry in sources.counts(*read)] if study.subset else []
    return results.Target(
        metric=metric,
        scores={language: results.Score.of(score) for language, score in scores.items()},
        score=sum(score[metric] for score in scores.values()) / len(scores),
        dev=results.Score.of(dev) if dev else None,
        gap=gap,
        curve=results.Curve(**model.curve) if model.curve else None,
        attempts=model.attempts,
        examples=model.examples,
        precision=model.encoder.precision,
        attention=model.encoder.attention,
        subset=[results.Subset(**entry) for entry in counts],
        lost=[results.Lost(**entry) for read in used for entry in sources.lost(*read)],
    )


def timing_features(encoder: Encoder, study: Study) -> dict[str, list[dict]]:
    """Evaluation examples of all targets, encoded, by language: an equal number of each target and language, `timing.examples` in all.

    The same examples in every language where the target has them in parallel, as XNLI, XQuAD and the microworld have.
    """
    pairs = [(tasks.get(t), lang) for t in study.targets for lang in test_languages(study, tasks.get(t))]
    each = -(-study.timing.examples // len(pairs))
    features: dict[str, list[dict]] = {}
    for task, language in pairs:
        rows = sources.read(study.data, task, "test", language, each)
        width = task.length_of("test", study.target.for_task(task.name).max_length)
        encoded = format_of(task).encode(rows, encoder.tokenizer, task, width)
        features.setdefault(language, []).extend(encoded)
    return features
