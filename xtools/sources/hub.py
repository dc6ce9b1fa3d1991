"""Rows from what was fetched of the Hugging Face Hub, or from a local folder in its layout (<owner>/<name>/<config>/*.parquet).

Nothing is downloaded here: of the Hub, the files of the commit that is read are opened in its cache, with or without a network.
"""

import bisect
import hashlib
import itertools
import json
import random
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import datasets
import yaml

from xtools import snapshots
from xtools.problems import Problem
from xtools.sources import canonical, ccg, conllu, layout, wikipedia
from xtools.sources.canonical import where
from xtools.sources.source import Source, each, texts
from xtools.tasks import Hub, Task

datasets.disable_progress_bars()
datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # what it says of a file that it cannot read is told in our one line


EMPTY = ("corresponds to no data", "BatchSize must be greater than 0")  # what the library says of a split without rows

# ---------------------------------------------------------------- reading files


def table(source: Source, part: Hub, language: str):
    """All rows of one part of a split, as a list or a datasets.Dataset of dicts.

    Raises Problem, with what to do, when it is not there, cannot be read, or has another number of rows than the published split.
    """
    there = READERS[part.reader](source, part, language)
    expected = part.expected(language)
    if expected not in (None, len(there)) and not source.subset:
        raise Problem(
            f"{where(part, language)}: {len(there):,} rows where the published split has {expected:,}; another version or an "
            "incomplete copy? Set subset: true in the study to use it all the same"
        )
    return there


def _folder(source: Source, part: Hub, language: str) -> Path:
    """A data set's local folder.

    Raises Problem when the root has none.
    """
    folder = Path(source.root, part.repo)
    if not folder.is_dir():
        raise Problem(
            f"{where(part, language)}: not in {source.root}; put it there in the Hub's layout, or take the task or language out of the study"
        )
    return folder


def _dataset(source: Source, part: Hub, language: str) -> datasets.Dataset:
    """A split as the Hub's library loads it."""
    config = part.config.format(lang=part.name(language))
    folder, names, options = _snapshot(part, language) if source.root == "hub" else _local(source, part, language)
    for name in names:
        try:
            return datasets.load_dataset(str(folder), config, split=name, **options)
        except (ValueError, OSError, yaml.YAMLError, datasets.exceptions.DatasetsError) as error:
            if isinstance(error, ValueError) and "split" in str(error) and name is not names[-1]:
                continue
            names = snapshots.names("datasets", part.repo, part.revision) if source.root == "hub" else None
            raise _unreadable(part, language, layout.fault(folder, config, names), error) from error


def _local(source: Source, part: Hub, language: str) -> tuple[Path, list[str], dict]:
    """A data set's folder, what its split may be called, and how the library is to load it."""
    folder = _folder(source, part, language)
    return folder, part.split.format(lang=part.name(language)).split("|"), {"cache_dir": local_cache(folder)}


def _snapshot(part: Hub, language: str) -> tuple[Path, list[str], dict]:
    """As `_local`, of the commit of a data set of the Hub that is read; the files are named, as others of its README may not be here."""
    folder = snapshots.folder("datasets", part.repo, part.revision)
    [(split, files)] = _fetched(part, language).items()
    if not split:
        return folder, part.split.format(lang=part.name(language)).split("|"), {"verification_mode": "no_checks"}
    return folder, [split], {"data_files": {split: [str(folder / name) for name in files]}, "verification_mode": "no_checks"}


def _fetched(part: Hub, language: str) -> dict[str, list[str]]:
    """The names of a part's files by split.

    Raises Problem when they are not here.
    """
    if not layout.are_fetched(part, language):
        raise layout.unfetched(where(part, language))
    return layout.files(part, language)


def _unreadable(part: Hub, language: str, fault: str, error: Exception) -> Problem:
    cause = error.__cause__ if isinstance(error, datasets.exceptions.DatasetGenerationError) else error
    fault = "no rows; is the split empty or cut short?" if any(said in str(cause or error) for said in EMPTY) else fault
    told = f"cannot be loaded ({_line(cause or error)}); is it there, in this configuration and split?"
    return Problem(f"{where(part, language)}: {fault or told}")


def _damaged(where: str, error: BaseException) -> Problem:
    return Problem(f"{where}: a file is damaged or cut short ({_line(error)}); remove it and fetch it again")


def local_cache(root: Path) -> str:
    """A cache folder of its own for each state of a local data set: the library's own cache tells neither folders of one name apart nor
    a file from what it held before."""
    digest = hashlib.sha256(str(root.resolve()).encode())
    for path in sorted(root.rglob("*")):
        digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return str(Path(datasets.config.HF_DATASETS_CACHE, "local", digest.hexdigest()[:16]))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _github(source: Source, part: Hub, language: str) -> Path:
    """A file of a GitHub repository, or its copy in the folder, which may not be there."""
    path = part.config.format(lang=part.name(language))
    if source.root != "hub":
        return _folder(source, part, language) / path
    if not layout.are_fetched(part, language):
        raise layout.unfetched(f"{part.repo}: {path}")
    return snapshots.folder(part.kind, part.repo, part.revision) / path


def _json(source: Source, part: Hub, language: str) -> list[dict]:
    """The passages of a SQuAD-like JSON file."""
    path, file = part.config.format(lang=part.name(language)), _github(source, part, language)
    if not file.exists():
        raise Problem(f"{part.repo}: {path}: not there; take {language} out of the study or fetch the file from GitHub")
    try:
        return json.loads(file.read_text())["data"]
    except (ValueError, KeyError) as error:
        raise _damaged(f"{part.repo}: {path}", error) from error


def _conllu(source: Source, part: Hub, language: str) -> list[dict]:
    """The sentences of a treebank's file."""
    if not has(source, part, language):
        raise Problem(
            f"{where(part, language)}: not in {source.root}, nor {part.copy.repo}/{part.copy.config}; put one of them there, "
            f"or take {language} out of the study"
        )
    try:
        return conllu.sentences(_github(source, part, language).read_text(encoding="utf-8"))
    except ValueError as error:
        raise Problem(f"{where(part, language)}: damaged or cut short ({_line(error)}); fetch it again") from error


def _archive(source: Source, part: Hub, language: str) -> list[dict]:
    """The lines of a JSON-lines member of a tar archive; the member is `split`."""
    if source.root == "hub":
        file = snapshots.folder("datasets", part.repo, part.revision) / _fetched(part, language)[""][0]
    else:
        file = _folder(source, part, language) / part.config
    if not file.exists():
        raise Problem(f"{part.repo}: {part.config}: not there")
    try:
        lines = _member(file, part.split, file.stat().st_mtime_ns)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _damaged(f"{part.repo} ({part.config})", error) from error
    if lines is None:
        raise Problem(f"{part.repo} ({part.config}): holds no {part.split}")
    return lines


@lru_cache(maxsize=2)
def _member(file: Path, name: str, changed: int) -> list[dict] | None:
    """The rows of a member of an archive, wherever it lies in it; reading a million takes a while, so they are kept."""
    with tarfile.open(file) as archive:
        for member in archive:
            if Path(member.name).name == name:
                return [json.loads(line) for line in archive.extractfile(member)]
    return None


def _ccg(source: Source, part: Hub, language: str) -> list[dict]:
    return ccg.rows(source, part.split)


READERS = {"dataset": _dataset, "json": _json, "conllu": _conllu, "archive": _archive, "ccg": _ccg}


# ---------------------------------------------------------------- canonical rows


def rows(source: Source, task: Task, split: str, language: str, n: int | None, ids: set[str] | None = None) -> list[dict]:
    """The first `n` canonical rows of a split; a row that the task's entry drops (hidden label, empty) is not counted. With `ids` they are
    checked (`canonical.made`)."""
    found: list[dict] = []
    start = 0
    for part in parts(source, task, split, language):
        there = table(source, part, language)
        left = None if n is None else n - len(found)
        found += canonical.made(enumerate(there), part, task, language, left, start, _left_out(source, part, language), ids)
        start += len(there)  # rows without an id of their own are numbered through all parts
        if n is not None and len(found) >= n:
            break
    return found


def drawn(source: Source, task: Task, split: str, language: str, n: int, seed: int, ids: set[str] | None = None) -> list[dict]:
    """`n` canonical rows of a split drawn by `seed` without replacement, in the order of the files, so that with no fewer than there are
    they are those of `rows`. Those of a smaller `n` are among those of a larger one. Only rows that are drawn are read."""
    tables = [(part, table(source, part, language), _left_out(source, part, language)) for part in parts(source, task, split, language)]
    starts = [0, *itertools.accumulate(len(there) for _, there, _ in tables)]
    order = [*range(starts[-1])]
    random.Random(f"rows-{seed}").shuffle(order)
    found: dict[int, list[dict]] = {}
    left = n
    for number in order:
        at = bisect.bisect_right(starts, number) - 1
        (part, there, barred), i = tables[at], number - starts[at]
        found[number] = canonical.made([(i, there[i])], part, task, language, left, starts[at], barred, ids)
        left -= len(found[number])
        if left == 0:
            break
    return [row for _, several in sorted(found.items()) for row in several]


def _left_out(source: Source, part: Hub, language: str) -> frozenset[str]:
    """The ids of the rows that a part leaves out because another set has them; none where a subset lacks that set."""
    other = part.without
    if other is None or (source.subset and not has(source, other, language)):
        return frozenset()
    return frozenset(str(row["id"]) for row in table(source, other, language))


def identity(source: Source, task: Task, split: str, language: str) -> list:
    """The parts of a split with the library's cached files of each, whose names change with their content; else a hash of its rows."""
    states = []
    for part in parts(source, task, split, language):
        there = table(source, part, language)
        known = [file["filename"] for file in there.cache_files] if isinstance(there, datasets.Dataset) else []
        states.append([where(part, language), known or hashlib.sha256(json.dumps(list(there)).encode()).hexdigest()])
    return states


def parts(source: Source, task: Task, split: str, language: str) -> list[Hub]:
    """The parts of a split; a subset may lack some of several, never all."""
    wanted = [placed(source, part, language) for part in task.parts(split, language)]
    if not wanted:
        raise Problem(f"{task.name}: has no {split} split in {language}")
    there = [part for part in wanted if has(source, part, language)] if source.subset and len(wanted) > 1 else wanted
    return there or wanted


def every(source: Source, task: Task, language: str, n: int | None, start: int, step: int) -> Iterator[dict]:
    """Rows `start`, `start + step`, ... of the first `n` of a task's training set, counted through all its parts."""
    before, ids = 0, set[str]()
    for part in parts(source, task, "train", language):
        there, left = table(source, part, language), None if n is None else n - before
        yield from _stepped(there, part, task, language, left, (start - before) % step, step, ids, before)
        before += len(there)


def _stepped(
    there, part: Hub, task: Task, language: str, n: int | None, start: int, step: int, ids: set[str], before: int = 0
) -> Iterator[dict]:
    """The canonical rows, checked, of every `step`-th of the first `n` raw rows of a part that follows on `before` others; no other is read."""
    numbers = range(start, len(there) if n is None else min(n, len(there)), step)
    raw = each(there.select(numbers)) if isinstance(there, datasets.Dataset) else (there[i] for i in numbers)
    for numbered in zip(numbers, raw, strict=True):
        yield from canonical.made([numbered], part, task, language, None, before, ids=ids)


def is_translated(source: Source, task: Task, language: str) -> bool:
    """Whether there is a translation of a task's training rows: in the study's folder, or on the Hub or in its copy."""
    own, part = _own_translation(source, task, language), task.translated
    return bool(own) or bool(part and language in part.only and has(source, part, language))


def _own_translation(source: Source, task: Task, language: str) -> Path | None:
    path = Path(source.translations or "", task.name, f"{language}.jsonl")
    return path if source.translations and path.exists() else None


def translated(source: Source, task: Task, language: str, n: int | None, start: int = 0, step: int = 1) -> Iterator[dict]:
    """Machine-translated training rows `start`, `start + step`, ... of the first `n`: of <translations>/<task>/<language>.jsonl with canonical
    rows, or the task's set on the Hub."""
    if own := _own_translation(source, task, language):
        yield from canonical.of_lines(own, task, n, start, step)
    elif task.translated and language in task.translated.only:
        yield from _stepped(table(source, task.translated, language), task.translated, task, language, n, start, step, set())
    else:
        folder = source.translations or "<translations>"
        raise Problem(f"{task.name}-mt: no translation into {language}; put canonical rows into {folder}/{task.name}/{language}.jsonl")


def counts(source: Source, task: Task, splits: list[str], languages: list[str]) -> list[dict]:
    """See `xtools.sources.counts`."""
    differing = []
    for split in splits:
        for language in languages if split in task.test_splits else ["en"]:
            entries = [placed(source, part, language) for part in task.parts(split, language)]
            for part in entries:
                n = len(table(source, part, language)) if len(entries) == 1 or has(source, part, language) else 0
                expected = part.expected(language)
                if (expected is not None and n != expected) or n == 0:
                    differing.append({"task": task.name, "split": split, "part": where(part, language), "rows": n, "published": expected})
                if (other := part.without) and not has(source, other, language):  # whose rows are then not left out (`_left_out`)
                    entry = {"part": where(other, language), "rows": 0, "published": other.expected(language)}
                    differing.append({"task": task.name, "split": f"not in {split}", **entry})
    return [dict(row) for row in dict.fromkeys(tuple(row.items()) for row in differing)]


def lost(source: Source, task: Task, splits: list[str], languages: list[str]) -> list[dict]:
    """See `xtools.sources.lost`."""
    told = []
    for split in splits:
        for language in languages if split in task.test_splits else ["en"]:
            for part in (part for part in task.parts(split, language) if part.spans):
                rows, answers = canonical.lost(each(table(source, part, language)), part, language)
                if answers:
                    told.append({"task": task.name, "split": split, "part": where(part, language), "rows": rows, "answers": answers})
    return told


def unlabelled(source: Source, tasks: list[Task], languages: dict[str, list[str]], n: int, seed: int) -> list[str]:
    """Up to `n` documents in random order: on the Hub, Wikipedia in equal shares of the targets' languages; in a folder, the text of the
    tasks' training rows and of the development rows of every language.

    No test row is among them, so a language that a folder holds only as test rows stays unseen in pretraining.
    """
    documents = set()
    if source.root == "hub":
        codes = sorted({code for target in languages.values() for code in target})
        for code in codes:
            documents |= set(wikipedia.articles(code, -(-n // len(codes))))
    else:
        for task in tasks:
            splits = [("train", "en")] if task.is_trained else []
            if "dev" in task.hub and task.is_target and any(part.per_language for part in task.parts("dev", "en")):
                splits += [("dev", lang) for lang in languages.get(task.name, []) if has_all(source, task, "dev", lang)]
            for split, language in splits:
                documents |= {text for row in rows(source, task, split, language, None) for text in texts(row)}
    shuffled = sorted(documents)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:n]


def cached(task: Task, split: str, language: str) -> bool:
    """Whether all of a split was fetched."""
    entries = task.parts(split, language) if split in task.hub else []
    try:
        return bool(entries) and all(layout.are_fetched(part, language) for part in entries)
    except Problem:
        return False


def has_all(source: Source, task: Task, split: str, language: str) -> bool:
    return any(has(source, placed(source, part, language), language) for part in task.parts(split, language))


def has(source: Source, part: Hub, language: str) -> bool:
    """Whether a folder, or the commit of the Hub that is read, has a part in a language; where that is not known, a missing one is an error
    once it is read, and so it is in a study that reads whole sets."""
    if part.reader not in ("dataset", "conllu"):
        return True
    if source.root == "hub":
        return part.kind == "github" or not source.subset or _is_listed(part, language)
    path = Path(source.root, part.repo, part.config.format(lang=part.name(language)))
    return path.is_file() or any(any(path.glob(f"{name}-*.parquet")) for name in part.split.split("|"))


def placed(source: Source, part: Hub, language: str) -> Hub:
    """The part, or the copy of it where a folder has that alone."""
    other = part.copy
    return other if other and not has(source, part, language) and has(source, other, language) else part


def _is_listed(part: Hub, language: str) -> bool:
    try:
        layout.files(part, language)
    except Problem:
        return False
    return True
