"""Where rows come from: the microworld, the Hugging Face Hub, or a folder in the Hub's layout. One function, whatever the source."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace

from xtools.problems import Problem
from xtools.sources import ccg, microworld, world, world_examples
from xtools.sources.source import Source, texts  # noqa: F401  (for others to import from here)
from xtools.tasks import Task, format_of


def rows(source: Source, task: Task, split: str, language: str, n: int | None = None, seed: int | None = None) -> list[dict]:
    """The first `n` canonical rows (None: all) of a task's split in a language, or `n` that `seed` draws (`hub.drawn`): published sets
    are ordered, SQuAD's by article. The microworld's rows are independent draws as they are.

    Raises Problem when the split cannot be had, is empty, or holds a row that cannot be trained on or scored (`canonical.flaw`). No rows
    come of a split that leaves rows out (`Hub.without`) of which a subset has no others.
    """
    found = _read(source, task, split, language, n, seed, set())
    if not found and not (source.subset and any(part.without for part in task.parts(split, language))):
        raise _empty(f"{task.name} {split} {language}")
    return found


def read(source: Source, task: Task, split: str, language: str, n: int | None = None) -> list[dict]:
    """As `rows`, for their text alone: labels are not checked, and a row without text is left out."""
    return _read(source, task, split, language, n, None, None)


def _read(source: Source, task: Task, split: str, language: str, n: int | None, seed: int | None, ids: set[str] | None) -> list[dict]:
    """Rows, checked where there is a set for their ids."""
    if not source.is_generated:
        from xtools.sources import hub

        if n is not None and seed is not None:
            return hub.drawn(source, task, split, language, n, seed, ids)
        return hub.rows(source, task, split, language, n, ids)
    if n is None:
        raise Problem(f"{task.name}: the microworld has no end; say how many {split} examples to take")
    # Tasks that share a maker share its training rows, as XNLI trains on MNLI's; evaluation rows are each task's own.
    return microworld.rows(task.world, split if split == "train" else f"{task.name}-{split}", language, n)


def identity(source: Source, task: Task, split: str, language: str, n: int | None, seed: int | None = None) -> str:
    """What tells the rows of `rows` from any others, as far as the code does not say it, without making them: which rows, of which files."""
    files = None
    if not source.is_generated:
        from xtools.sources import hub

        files = hub.identity(source, task, split, language)
    by_chance = None if source.is_generated or n is None else seed
    return json.dumps([source.root, task.name, task.world, split, language, n, by_chance, files])


def translations(source: Source, task: Task, languages: list[str]) -> list[str]:
    """Those of some languages that a task's training rows are translated into: all of the microworld's."""
    if source.is_generated:
        return languages
    from xtools.sources import hub

    return [language for language in languages if hub.is_translated(source, task, language)]


def translated(source: Source, task: Task, language: str, n: int | None, start: int = 0, step: int = 1) -> Iterator[dict]:
    """Rows `start`, `start + step` and so on of the first `n` training rows of a task (None: of all), machine-translated into a language,
    one at a time; those of the source language itself with `every`.

    In the microworld: exact translations in which a share `noise` of the words is another one. Elsewhere: the task's translated set on
    the Hub where there is one, else <translations>/<task>/<language>.jsonl with canonical rows. Raises Problem when there is neither.
    """
    if source.is_generated:
        return iter(microworld.translated(task.world, language, n, source.noise)[start::step])
    from xtools.sources import hub

    return _some(hub.translated(source, task, language, n, start, step), f"{task.name} translated into {language}", start)


def every(source: Source, task: Task, language: str, n: int | None, start: int, step: int) -> Iterator[dict]:
    """Rows `start`, `start + step` and so on of the first `n` training rows of a task (None: of all), one at a time.

    Rows are counted before those that the task's entry drops are left out. Raises Problem as `rows`.
    """
    if source.is_generated:
        return iter(rows(source, task, "train", language, n)[start::step])
    from xtools.sources import hub

    return _some(hub.every(source, task, language, n, start, step), f"{task.name} train {language}", start)


def _some(coming: Iterator[dict], where: str, start: int) -> Iterator[dict]:
    """The rows that come; from the first row on there must be one."""
    first = next(coming, None)
    if first is None and start == 0:
        raise _empty(where)
    yield from itertools.chain([first] if first else [], coming)


def _empty(where: str) -> Problem:
    return Problem(f"{where}: no rows; is the split empty or cut short, or are its labels hidden?")


def retrieval(source: Source, task: Task, languages: list[str], n: int | None) -> tuple[dict[str, list[dict]], dict[str, list[dict]]]:
    """Queries and candidates of a target that is searched, each per language; a pool of all languages is the same list under each of them.

    `n` caps the queries alone, and those of some formats not at all: a search among fewer candidates is another task. The microworld
    makes the candidates of its `n` queries.
    """
    cap = n if source.is_generated or format_of(task).CAPS_QUERIES else None
    queries = {language: _queries(source, task, language, cap) for language in languages}
    cap = n if source.is_generated else None
    if not task.pooled:
        return queries, {language: rows(source, task, "candidates", language, cap) for language in languages}
    pool = [row for language in task.candidate_languages(languages) for row in _candidates(source, task, language, cap)]
    return _answered(queries, pool), dict.fromkeys(languages, pool)


def _queries(source: Source, task: Task, language: str, n: int | None) -> list[dict]:
    """Queries with their gold; one that names none is answered by the candidate with its id, as Tatoeba's are."""
    return [{"gold": [row["id"]]} | row for row in rows(source, task, "test", language, n)]


def _candidates(source: Source, task: Task, language: str, n: int | None) -> list[dict]:
    """A language's share of a pool, each with its language; one question's candidates in different languages have one id, so the language
    goes before it."""
    candidates = rows(source, task, "candidates", language, n)
    return [row | {"language": language} | ({"id": f"{language}:{row['id']}"} if "answers" in row else {}) for row in candidates]


def _answered(queries: dict[str, list[dict]], pool: list[dict]) -> dict[str, list[dict]]:
    """The queries with the candidates that say they answer them as gold, those without one left out; where no candidate says, as they are."""
    answers: dict[str, list[str]] = {}
    for candidate in pool:
        for question in candidate.get("answers", ()):
            answers.setdefault(question, []).append(candidate["id"])
    if not answers:
        return queries
    return {lang: [row | {"gold": answers[row["id"]]} for row in asked if row["id"] in answers] for lang, asked in queries.items()}


def complete(source: Source, task: Task) -> Task:
    """The task with its labels, which the source says where the task's entry does not (CCG supertags)."""
    if task.labels:
        return task
    if source.is_generated:
        names = world_examples.LABELS.get(task.world)
        return replace(task, labels=names()) if names else task
    return replace(task, labels=ccg.labels(source)) if any(part.licensed for part in task.all_parts()) else task


def counts(source: Source, task: Task, splits: list[str], languages: list[str]) -> list[dict]:
    """Per split, part and language of a task's data: rows there and rows of the published split; only where the two differ.

    `splits` are those that are read; others need not be there. `languages` are those of the splits that every language has.
    """
    if source.is_generated:
        return []
    from xtools.sources import hub

    return hub.counts(source, task, splits, languages)


def lost(source: Source, task: Task, splits: list[str], languages: list[str]) -> list[dict]:
    """Per split, part and language of a task's data, as in `counts`: how many rows it never gives since their answers stand nowhere in
    their context, and how many answers are dropped in all; only where there are such."""
    if source.is_generated:
        return []
    from xtools.sources import hub

    return hub.lost(source, task, splits, languages)


def count(source: Source, task: Task, split: str, language: str) -> int:
    """How many rows a folder has of a split; canonical ones where the published split may have another number of these.

    Raises Problem when they are not there.
    """
    from xtools.sources import hub

    parts = hub.parts(source, task, split, language)
    if any(part.examples is not None or part.rows is None for part in parts):
        return len(hub.rows(source, task, split, language, None))
    return sum(len(hub.table(source, part, language)) for part in parts)


def at_hand(source: Source, task: Task, split: str, language: str) -> bool:
    """Whether rows can be read without a download."""
    if source.root != "hub":
        return split in task.hub
    from xtools.sources import hub

    return hub.cached(task, split, language)


def unlabelled(source: Source, tasks: list[Task], languages: dict[str, list[str]], n: int, seed: int) -> list:
    """At most `n` documents for masked-LM training: the microworld's corpus, the Hub's Wikipedia, or a folder's training rows' text."""
    if source.is_generated:
        return world.corpus(seed, n)
    from xtools.sources import hub

    return hub.unlabelled(source, tasks, languages, n, seed)
