"""Fine-tuning an encoder on one task or several: what the intermediate phase and the target phase share."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import pandas as pd
import torch

from xtools import pretraining, results, scoring, sources, tasks
from xtools.encoder import Encoder, check_length
from xtools.learning import new_head, task_stream
from xtools.selection import Selection
from xtools.settings import Finetuning
from xtools.study import Recipe, Study
from xtools.tasks import Task
from xtools.training import train


def fine_tune(
    encoder: Encoder, data: dict[str, tuple[Task, Sequence[dict]]], settings, seed: int, checkpoint=None, heads=None, beside=(), looked=None
) -> tuple[dict, dict]:
    """Train the encoder in place on {name: (task, features)}; returns the heads and the learning curve.

    Each task has a new head unless `heads` holds one, or shares one with others (`sharing`). Streams of `beside`, masked-LM ones, are
    mixed in. `looked` gives, of the heads, each task's score on development rows (`looks`); without it the last state is kept.

    Raises NotFinite.
    """
    torch.manual_seed(seed)
    owner = sharing({name: task for name, (task, _) in data.items()})
    own = torch.nn.ModuleDict(heads or {name: new_head(encoder, task) for name, (task, _) in data.items() if owner[name] == name})
    each = {name: own[owner[name]] for name in data}
    streams = [task_stream(encoder, each[name], task, features) for name, (task, features) in data.items()]
    trained = encoder.model if beside else encoder.model.base_model  # without masked-LM, its head stays as it is
    modules = torch.nn.ModuleDict({"encoder": trained, "heads": own})
    selection = Selection(lambda: looked(each), settings.eval_steps, settings.patience) if looked else None
    return each, train(modules, [*streams, *beside], settings, seed, checkpoint, selection=selection)


def sharing(together: dict[str, Task]) -> dict[str, str]:
    """Whose head each of some tasks trains: its own, or that of the first one with the same `head`, format and labels."""
    first: dict[tuple, str] = {}
    return {name: first.setdefault((task.head, task.format, task.labels), name) if task.head else name for name, task in together.items()}


def training_features(encoder: Encoder, study: Study, task: Task, n: int | None, max_length: int, seed: int):
    """The features of `n` of a task's training rows (None: all) in the source language, drawn by the seed (`xtools.features.Features`).

    Raises Problem when the encoder cannot read as many tokens.
    """
    from xtools import features  # `make bench` needs neither it nor what it imports

    check_length(encoder, max_length, task.name)
    wanted = (study.data, task, "train", study.source_language, n, seed)

    def rows() -> Iterable[dict]:
        return sources.rows(*wanted) if n else sources.every(study.data, task, study.source_language, None, 0, 1)

    return features.load(sources.identity(*wanted), rows, encoder.tokenizer, task, max_length)


def recipe_data(encoder: Encoder, study: Study, recipe: str, seed: int) -> dict:
    """The training features of a recipe's intermediate tasks, as {name: (task, features)}, each at its task's own length; of `@N` and
    `examples` those that the seed draws, of a translated recipe the first."""
    data, parsed = {}, Recipe.parse(recipe)
    for drawn in trained_tasks(study, recipe):
        own, task = study.intermediate.for_task(drawn.name), sources.complete(study.data, drawn)
        wanted = (encoder, study, task, parsed.examples or own.examples, own.max_length)
        data[task.name] = task, translated_features(*wanted) if parsed.translated else training_features(*wanted, seed)
    return data


def trained_tasks(study: Study, recipe: str) -> list[Task]:
    """A recipe's intermediate tasks, each as it is trained beside the others (`Task.beside`)."""
    together = [tasks.get(name) for name in study.tasks_of(recipe)]
    return [task.beside(together) for task in together]


def translated_features(encoder: Encoder, study: Study, task: Task, n: int | None, max_length: int):
    """The features of a task's translated training rows (`translated`), which are made once to know them and once to encode them.

    Raises Problem when the encoder cannot read as many tokens.
    """
    from xtools import features

    check_length(encoder, max_length, task.name)
    identity = features.content(translated(study, task, n))
    return features.load(identity, lambda: translated(study, task, n), encoder.tokenizer, task, max_length)


def translated(study: Study, task: Task, n: int | None) -> Iterator[dict]:
    """`n` training rows with an equal share of each language, one at a time: row i is the source language's, or its machine translation
    into another; of each language no other row is read. They end with the shortest set.

    Raises Problem where there is a translation into no language of the study.
    """
    names = training_languages(study, task)
    streams = [sources.every(study.data, task, names[0], n, 0, len(names))]
    streams += [sources.translated(study.data, task, language, n, i, len(names)) for i, language in enumerate(names[1:], 1)]
    for stream in itertools.cycle(streams):
        row = next(stream, None)
        if row is None:
            return
        yield row


def training_languages(study: Study, task: Task) -> list[str]:
    """The languages of a task's translated training rows: the source's, and those of the study's that there is a translation into; where
    there is none, the first of them, so that reading it tells of that."""
    others = study.all_languages()[1:]
    return [study.source_language, *(sources.translations(study.data, task, others) or others[:1])]


def languages(study: Study, recipe: str) -> dict[str, list[str]]:
    """The languages of a recipe's training rows, per task."""
    named = {name: tasks.get(name) for name in study.tasks_of(recipe)}
    if not Recipe.parse(recipe).translated:
        return {name: [study.source_language] for name in named}
    return {name: training_languages(study, task) for name, task in named.items()}


def first_rows(study: Study, data: dict) -> dict[str, list[dict]]:
    """The first row of each task's training set, for people to read."""
    return {name: sources.rows(study.data, task, "train", study.source_language, 1) for name, (task, _) in data.items()}


def settings(study: Study, recipe: str) -> Finetuning:
    """A recipe's training parameters: its task's own, or those of `all`; with `+mlm` at the learning rate for that, where there is one."""
    parsed, phase = Recipe.parse(recipe), study.intermediate
    own = phase.for_task(parsed.task)
    return own.model_copy(update={"learning_rate": phase.mlm_learning_rate}) if parsed.mlm and phase.mlm_learning_rate else own


def beside(encoder: Encoder, study: Study, recipe: str, seed: int) -> list:
    """The masked-LM stream of a `+mlm` recipe over text of all the study's languages; no stream for other recipes."""
    if not Recipe.parse(recipe).mlm:
        return []
    involved = [tasks.get(name) for name in [*study.intermediate_tasks, *study.targets]]
    languages = {target: study.languages_of(target) for target in study.targets}
    documents = sources.unlabelled(study.data, involved, languages, study.intermediate.mlm_examples, seed)
    encoded = pretraining.encode_documents(encoder.tokenizer, documents, study.intermediate.max_length)
    return [pretraining.masked_lm_stream(encoder, encoded, study.intermediate.mlm_share)]


def development_rows(study: Study, task: Task) -> list[dict]:
    """The source language's development rows of a task."""
    return sources.rows(study.data, task, "dev", study.source_language, study.evaluation.of(task.name).dev)


def development_scores(encoder: Encoder, heads: dict, study: Study, data: dict) -> tuple[dict, dict]:
    """Scores and predictions on the source language's development set, per intermediate task."""
    scores, predictions = {}, {}
    for name, (task, _) in data.items():
        width = study.intermediate.for_task(name).max_length
        scores[name], predictions[name] = scoring.evaluate(
            encoder, heads[name], task, development_rows(study, task), width, study.source_language
        )
    return scores, predictions


def looked_at(study: Study, data: dict, settings: Finetuning) -> dict[str, list[dict]]:
    """The development rows that tell how far training has come, by task; none where nothing hangs on them, or a subset has none."""
    if not settings.is_looked_at:
        return {}
    rows = {name: development_rows(study, task)[: settings.eval_rows] for name, (task, _) in data.items() if "dev" in task.hub}
    return {name: of_task for name, of_task in rows.items() if of_task}


def looks(
    encoder: Encoder, study: Study, data: dict, rows: dict[str, list[dict]], widths: dict[str, int]
) -> Callable[[dict], dict[str, float]]:
    """A function of the heads that gives each task's main metric on its rows now, in percent, in fp32 as scores are."""

    def scores(heads: dict) -> dict[str, float]:
        scored = {}
        for name, of_task in rows.items():
            task = data[name][0]
            found, _ = scoring.evaluate(encoder, heads[name], task, of_task, widths[name], study.source_language)
            scored[name] = found[task.metric]
        return scored

    return scores


def widths(study: Study, data: dict) -> dict[str, int]:
    """The most tokens of each intermediate task's inputs."""
    return {name: study.intermediate.for_task(name).max_length for name in data}


def score_frame(scores: dict[str, dict]) -> pd.DataFrame:
    """Development scores per task, with chance and the number of rows."""
    rows = []
    for name, score in scores.items():
        task = tasks.get(name)
        rows.append({"task": name, "metric": task.metric, "score": score[task.metric], "chance": task.chance, "rows": score["n"]})
    return pd.DataFrame(rows)


def result(study: Study, recipe: str, data: dict, scores: dict[str, dict], tuned, encoder: Encoder) -> results.Intermediate:
    """What an intermediate cell's record keeps; `tuned` is what training gave (xtools/restarts.py)."""
    counts = (
        [entry for _, (task, _) in data.items() for entry in sources.counts(study.data, task, ["train", "dev"], [])] if study.subset else []
    )
    lost = [entry for _, (task, _) in data.items() for entry in sources.lost(study.data, task, ["train", "dev"], [])]
    return results.Intermediate(
        dev={name: results.Score.of(score) for name, score in scores.items()},
        curve=results.Curve(**tuned.curve),
        attempts=tuned.attempts,
        examples={name: features.rows for name, (_, features) in data.items()},
        languages=languages(study, recipe),
        precision=encoder.precision,
        attention=encoder.attention,
        subset=[results.Subset(**entry) for entry in counts],
        lost=[results.Lost(**entry) for entry in lost],
    )
