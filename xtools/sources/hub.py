"""Rows from the Hugging Face Hub, or from a local folder in its layout (<owner>/<name>/<config>/*.parquet): only the root differs."""

import hashlib
import random
from pathlib import Path

import datasets

from xtools.problems import Problem
from xtools.sources import texts
from xtools.tasks import Hub, Task

datasets.disable_progress_bars()


def load(source: str, repo: str, config: str, split: str) -> datasets.Dataset:
    """One split as the Hub's library loads it.

    Raises Problem, with what to do, when it is not there or cannot be read.
    """
    where = f"{repo} ({config}, {split})"
    root = repo if source == "hub" else str(Path(source, repo))
    cache = None if source == "hub" else local_cache(Path(root))
    if source != "hub" and not Path(root).is_dir():
        raise Problem(f"{where}: not in {source}; put it there in the Hub's layout, or take the target or language out of the study")
    try:
        return datasets.load_dataset(root, config, split=split, cache_dir=cache)
    except (ValueError, FileNotFoundError, ConnectionError) as error:
        raise Problem(f"{where}: cannot be loaded: {_line(error)}") from error
    except datasets.exceptions.DatasetGenerationError as error:
        raise Problem(f"{where}: a file is damaged or cut short ({_line(error.__cause__ or error)}); fetch it again") from error


def local_cache(root: Path) -> str:
    """A cache folder of its own for each state of a local data set: the library's own cache tells neither folders of one name apart nor
    a file from what it held before."""
    digest = hashlib.sha256(str(root.resolve()).encode())
    for path in sorted(root.rglob("*")):
        digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return str(Path(datasets.config.HF_DATASETS_CACHE, "local", digest.hexdigest()[:16]))


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def rows(source: str, task: Task, split: str, language: str, n: int | None) -> list[dict]:
    """The first `n` canonical rows of a split; a row that the task's entry drops (hidden label, empty) is not counted."""
    if split not in task.hub:
        raise Problem(f"{task.name}: has no {split} split")
    where: Hub = task.hub[split]
    name = where.names.get(language, language)
    table = load(source, where.repo, where.config.format(lang=name), where.split)
    found = []
    try:
        for i, row in enumerate(table):
            canonical = where.row(row)
            if canonical is not None:
                found.append({"id": str(row.get("id", i))} | canonical)
            if n is not None and len(found) == n:
                break
    except (KeyError, IndexError) as error:
        columns = ", ".join(table.column_names)
        raise Problem(
            f"{where.repo} ({where.config.format(lang=name)}): row {i} does not fit {task.name}: {error} (columns: {columns})"
        ) from error
    return found


def unlabelled(source: str, tasks: list[Task], languages: dict[str, list[str]], n: int, seed: int) -> list[str]:
    """Up to `n` documents in random order: the texts of the tasks' training rows, and of the development rows of every language.

    No test row is among them, so a language that a folder holds only as test rows stays unseen in pretraining.
    """
    documents = set()
    for task in tasks:
        splits = [("train", "")] if "train" in task.hub else []
        if "{lang}" in (task.hub["dev"].config if "dev" in task.hub else ""):
            splits += [("dev", language) for language in languages.get(task.name, []) if has(source, task.hub["dev"], language)]
        for split, language in splits:
            documents |= {text for row in rows(source, task, split, language, None) for text in texts(row)}
    shuffled = sorted(documents)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:n]


def has(source: str, where: Hub, language: str) -> bool:
    """Whether a data set has a split in a language; always so on the Hub, where a missing one is an error."""
    config = where.config.format(lang=where.names.get(language, language))
    return source == "hub" or any(Path(source, where.repo, config).glob(f"{where.split}-*.parquet"))
