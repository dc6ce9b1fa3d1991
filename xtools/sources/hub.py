"""Rows from the Hugging Face Hub, or from a local folder in its layout (<owner>/<name>/<config>/*.parquet): only the root differs."""

import bisect
import hashlib
import itertools
import json
import random
import tarfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

import datasets
import huggingface_hub

from xtools.problems import Problem
from xtools.sources import ccg
from xtools.sources.source import Source, texts
from xtools.tasks import Hub, Task

datasets.disable_progress_bars()
GITHUB = "https://raw.githubusercontent.com/{repo}/master/{path}"
WIKIPEDIA, DUMP = "wikimedia/wikipedia", "20231101"
OFFLINE = "fetch it while there is a network: make fetch PROFILE=<study>"


# ---------------------------------------------------------------- reading files


def table(source: Source, part: Hub, language: str):
    """All rows of one part of a split, as a list or a datasets.Dataset of dicts.

    Raises Problem, with what to do, when it is not there, cannot be read, or has another number of rows than the published split.
    """
    there = READERS[part.reader](source, part, language)
    expected = part.expected(language)
    if expected not in (None, len(there)) and not source.subset:
        raise Problem(
            f"{_where(part, language)}: {len(there):,} rows where the published split has {expected:,}; another version or an "
            "incomplete copy? Set subset: true in the study to use it all the same"
        )
    return there


def _where(part: Hub, language: str) -> str:
    return f"{part.repo} ({part.config.format(lang=part.name(language))}, {part.split.format(lang=part.name(language))})"


def _folder(source: Source, part: Hub, language: str) -> Path:
    """A data set's local folder.

    Raises Problem when the root has none.
    """
    folder = Path(source.root, part.repo)
    if not folder.is_dir():
        raise Problem(
            f"{_where(part, language)}: not in {source.root}; put it there in the Hub's layout, or take the task or language out of the study"
        )
    return folder


def _dataset(source: Source, part: Hub, language: str) -> datasets.Dataset:
    """A split as the Hub's library loads it."""
    folder = None if source.root == "hub" else _folder(source, part, language)
    cache = local_cache(folder) if folder else None
    config = part.config.format(lang=part.name(language))
    names = part.split.format(lang=part.name(language)).split("|")
    for name in names:
        try:
            return datasets.load_dataset(
                str(folder or part.repo), config, split=name, cache_dir=cache, revision=None if folder else part.revision
            )
        except ValueError as error:
            if name is names[-1] or "split" not in str(error):
                raise _unreadable(part, language, error) from error
        except datasets.exceptions.DatasetGenerationError as error:
            reason = _line(error.__cause__ or error)
            raise Problem(f"{_where(part, language)}: a file is damaged or cut short ({reason}); fetch it again") from error
        except (OSError, datasets.exceptions.DatasetsError, huggingface_hub.errors.HfHubHTTPError) as error:
            raise _unreadable(part, language, error) from error


def _unreadable(part: Hub, language: str, error: Exception) -> Problem:
    """What to do about a data set that cannot be loaded: log in, fetch, or correct its name."""
    text = f"{type(error).__name__} {error}".lower()
    if "gated" in text or "401" in text or "403" in text:
        advice = "it is gated or private: accept its terms on its page and log in with `hf auth login`"
    elif isinstance(error, ConnectionError) or "offline" in text or "reach" in text or "connect" in text.lower():
        advice = f"the Hub cannot be reached and it is not in the cache; {OFFLINE}"
    else:
        advice = "is it still there under this name?"
    return Problem(f"{_where(part, language)}: cannot be loaded ({_line(error)}); {advice}")


def local_cache(root: Path) -> str:
    """A cache folder of its own for each state of a local data set: the library's own cache tells neither folders of one name apart nor
    a file from what it held before."""
    digest = hashlib.sha256(str(root.resolve()).encode())
    for path in sorted(root.rglob("*")):
        digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return str(Path(datasets.config.HF_DATASETS_CACHE, "local", digest.hexdigest()[:16]))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _json(source: Source, part: Hub, language: str) -> list[dict]:
    """The passages of a SQuAD-like JSON file of a GitHub repository, or of its copy in the folder."""
    path = part.config.format(lang=part.name(language))
    if source.root == "hub":
        # Without asking the server for a newer version, a file that was fetched once is found offline.
        config = datasets.DownloadConfig(use_etag=False)
        try:
            file = Path(datasets.DownloadManager(download_config=config).download(GITHUB.format(repo=part.repo, path=path)))
        except (OSError, ValueError) as error:
            raise _unreadable(part, language, error) from error
    else:
        file = _folder(source, part, language) / path
    if not file.exists():
        raise Problem(f"{part.repo}: {path}: not there; take {language} out of the study or fetch the file from GitHub")
    try:
        return json.loads(file.read_text())["data"]
    except (ValueError, KeyError) as error:
        raise Problem(f"{part.repo}: {path}: damaged or cut short ({_line(error)}); fetch it again") from error


def _archive(source: Source, part: Hub, language: str) -> list[dict]:
    """The lines of a JSON-lines member of a tar archive; the member is `split`."""
    if source.root == "hub":
        try:
            file = Path(huggingface_hub.hf_hub_download(part.repo, part.config, repo_type="dataset", revision=part.revision))
        except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
            raise _unreadable(part, language, error) from error
    else:
        file = _folder(source, part, language) / part.config
    if not file.exists():
        raise Problem(f"{part.repo}: {part.config}: not there")
    try:
        lines = _member(file, part.split, file.stat().st_mtime_ns)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise Problem(f"{part.repo} ({part.config}): a file is damaged or cut short ({_line(error)}); fetch it again") from error
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


READERS = {"dataset": _dataset, "json": _json, "archive": _archive, "ccg": _ccg}


# ---------------------------------------------------------------- canonical rows


def rows(source: Source, task: Task, split: str, language: str, n: int | None) -> list[dict]:
    """The first `n` canonical rows of a split; a row that the task's entry drops (hidden label, empty) is not counted."""
    canonical: list[dict] = []
    start = 0
    for part in parts(source, task, split, language):
        there = table(source, part, language)
        left = None if n is None else n - len(canonical)
        canonical += _canonical(enumerate(there), part, task, language, left, start, _left_out(source, part, language))
        start += len(there)  # rows without an id of their own are numbered through all parts
        if n is not None and len(canonical) >= n:
            break
    return canonical


def drawn(source: Source, task: Task, split: str, language: str, n: int, seed: int) -> list[dict]:
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
        found[number] = _canonical([(i, there[i])], part, task, language, left, starts[at], barred)
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
        states.append([_where(part, language), known or hashlib.sha256(json.dumps(list(there)).encode()).hexdigest()])
    return states


def parts(source: Source, task: Task, split: str, language: str) -> list[Hub]:
    """The parts of a split; a subset may lack some of several, never all."""
    wanted = task.parts(split, language)
    if not wanted:
        raise Problem(f"{task.name}: has no {split} split in {language}")
    there = [part for part in wanted if has(source, part, language)] if source.subset and len(wanted) > 1 else wanted
    return there or wanted


def _canonical(
    numbered: Iterable[tuple[int, dict]], part: Hub, task: Task, language: str, n: int | None, start: int = 0, barred=frozenset()
) -> list[dict]:
    """At most `n` canonical rows of raw ones of a part, which come with their number in it, those with a `barred` id apart; those without
    an id of their own are numbered from `start` on."""
    rows: list[dict] = []
    i = 0
    row: dict = {}
    if n == 0:
        return rows
    try:
        for i, row in numbered:
            if (part.keep and not part.keep(row, part.name(language))) or (barred and str(row["id"]) in barred):
                continue
            rows += [{"id": str(row.get("id", start + i))} | canonical for canonical in _several(part.row(row))]
            if n is not None and len(rows) >= n:
                break
    except (KeyError, IndexError, TypeError, ValueError) as error:
        columns = ", ".join(row)
        raise Problem(f"{_where(part, language)}: row {i} does not fit {task.name}: {_line(error)} (columns: {columns})") from error
    return rows if n is None else rows[:n]


def _several(canonical: dict | list[dict] | None) -> list[dict]:
    """The canonical rows that an entry makes of a row: none, one or several."""
    if canonical is None:
        return []
    return canonical if isinstance(canonical, list) else [canonical]


def every(source: Source, task: Task, language: str, n: int | None, start: int, step: int) -> Iterator[dict]:
    """Rows `start`, `start + step`, ... of the first `n` of a task's training set, counted through all its parts."""
    before = 0
    for part in parts(source, task, "train", language):
        there, left = table(source, part, language), None if n is None else n - before
        yield from _stepped(there, part, task, language, left, (start - before) % step, step, before)
        before += len(there)


def _stepped(there, part: Hub, task: Task, language: str, n: int | None, start: int, step: int, before: int = 0) -> Iterator[dict]:
    """The canonical rows of every `step`-th of the first `n` raw rows of a part that follows on `before` others; no other is read."""
    numbers = range(start, len(there) if n is None else min(n, len(there)), step)
    raw = _each(there.select(numbers)) if isinstance(there, datasets.Dataset) else (there[i] for i in numbers)
    for numbered in zip(numbers, raw, strict=True):
        yield from _canonical([numbered], part, task, language, None, before)


def _each(there: datasets.Dataset) -> Iterator[dict]:
    """A data set's rows, decoded many at a time: one by one that takes a tenth as long as encoding them."""
    for some in there.iter(1_000):
        yield from (dict(zip(some, values, strict=True)) for values in zip(*some.values(), strict=True))


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
        with own.open() as lines:
            yield from (json.loads(line) for line in itertools.islice(lines, start, n, step))
    elif task.translated and language in task.translated.only:
        yield from _stepped(table(source, task.translated, language), task.translated, task, language, n, start, step)
    else:
        folder = source.translations or "<translations>"
        raise Problem(f"{task.name}-mt: no translation into {language}; put canonical rows into {folder}/{task.name}/{language}.jsonl")


def counts(source: Source, task: Task, languages: list[str]) -> list[dict]:
    """See `xtools.sources.counts`."""
    differing = []
    for split in task.hub:
        for language in languages if split in task.test_splits else ["en"]:
            entries = task.parts(split, language)
            for part in entries:
                n = len(table(source, part, language)) if len(entries) == 1 or has(source, part, language) else 0
                expected = part.expected(language)
                if (expected is not None and n != expected) or n == 0:
                    differing.append({"task": task.name, "split": split, "part": _where(part, language), "rows": n, "published": expected})
    return [dict(row) for row in dict.fromkeys(tuple(row.items()) for row in differing)]


def unlabelled(source: Source, tasks: list[Task], languages: dict[str, list[str]], n: int, seed: int) -> list[str]:
    """Up to `n` documents in random order: on the Hub, Wikipedia in equal shares of the targets' languages; in a folder, the text of the
    tasks' training rows and of the development rows of every language.

    No test row is among them, so a language that a folder holds only as test rows stays unseen in pretraining.
    """
    documents = set()
    if source.root == "hub":
        codes = sorted({code for target in languages.values() for code in target})
        for code in codes:
            documents |= set(wikipedia(code, -(-n // len(codes))))
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


def wikipedia(language: str, n: int) -> list[str]:
    """The first `n` articles' first 2,000 characters of a language's Wikipedia, from the first file of its dump."""
    where = f"{WIKIPEDIA} ({DUMP}.{language})"
    pattern = f"{DUMP}.{language}/train-00000-*.parquet"
    try:
        folder = Path(huggingface_hub.snapshot_download(WIKIPEDIA, repo_type="dataset", allow_patterns=pattern))
        files = [str(path) for path in folder.glob(pattern)]
        if not files:  # offline, a snapshot that holds other languages is found all the same
            raise Problem(f"{where}: not in the cache; {OFFLINE}")
        return [text[:2000] for text in datasets.load_dataset("parquet", data_files=files, split=f"train[:{n}]")["text"]]
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise Problem(f"{where}: cannot be loaded ({_line(error)}); {OFFLINE}") from error


def cached(task: Task, split: str, language: str) -> bool:
    """Whether a split's data sets lie in the library's cache."""
    entries = task.parts(split, language) if split in task.hub else []
    root = Path(datasets.config.HF_DATASETS_CACHE)
    return bool(entries) and all(part.reader == "dataset" and (root / part.repo.replace("/", "___")).is_dir() for part in entries)


def has_all(source: Source, task: Task, split: str, language: str) -> bool:
    entries = task.parts(split, language)
    return bool(entries) and any(has(source, part, language) for part in entries)


def has(source: Source, part: Hub, language: str) -> bool:
    """Whether a folder has a part in a language; always so on the Hub, where a missing one is an error."""
    if source.root == "hub" or part.reader != "dataset":
        return True
    config = part.config.format(lang=part.name(language))
    return any(any(Path(source.root, part.repo, config).glob(f"{name}-*.parquet")) for name in part.split.split("|"))
