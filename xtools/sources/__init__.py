"""Where rows come from: the microworld, the Hugging Face Hub, or a folder in the Hub's layout. One function, whatever the source."""

import hashlib
from pathlib import Path

from xtools.problems import Problem
from xtools.sources import microworld, world
from xtools.tasks import Task


def rows(source: str, task: Task, split: str, language: str, n: int | None = None) -> list[dict]:
    """The first `n` canonical rows (None: all) of a task's split in a language.

    Raises Problem when the split cannot be had, is empty, or holds a label outside its range.
    """
    found = read(source, task, split, language, n)
    check(found, task, f"{task.name} {split} {language}")
    return found


def read(source: str, task: Task, split: str, language: str, n: int | None = None) -> list[dict]:
    """As `rows`, for their text alone: labels are not checked."""
    if source != "microworld":
        from xtools.sources import hub

        return hub.rows(source, task, split, language, n)
    if n is None:
        raise Problem(f"{task.name}: the microworld has no end; say how many {split} examples to take")
    # Tasks that share a maker share its training rows, as XNLI trains on MNLI's; evaluation rows are each task's own.
    return microworld.rows(task.world, split if split == "train" else f"{task.name}-{split}", language, n)


def check(found: list[dict], task: Task, where: str) -> None:
    """Raises Problem for an empty split or a label that the task does not have."""
    if not found:
        raise Problem(f"{where}: no rows; is the split empty or cut short?")
    for row in found:
        if "label" in row:
            choices = len(row["choices"]) if "choices" in row else len(task.labels)
            if not 0 <= row["label"] < choices:
                raise Problem(f"{where}, row {row['id']}: label {row['label']} is outside 0..{choices - 1}; is this the right data set?")
        if "tags" in row and len(row["tags"]) != len(row["words"]):
            raise Problem(f"{where}, row {row['id']}: {len(row['words'])} words but {len(row['tags'])} tags")


def revision(source: str, tasks: list[Task]) -> str:
    """What identifies the data of some tasks: the world's fingerprint, or a hash of the folder's files, or the Hub's ids."""
    if source == "microworld":
        return world.fingerprint()
    repos = sorted({where.repo for task in tasks for where in task.hub.values()})
    if source == "hub":
        return " ".join(repos)
    digest = hashlib.sha256()
    for path in sorted(p for repo in repos for p in Path(source, repo).rglob("*") if p.is_file()):
        digest.update(str(path.relative_to(source)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def unlabelled(source: str, tasks: list[Task], languages: dict[str, list[str]], n: int, seed: int) -> list:
    """At most `n` documents to pretrain on: the microworld's corpus, or the text of the tasks' training and development rows."""
    if source == "microworld":
        return world.corpus(seed, n)
    from xtools.sources import hub

    return hub.unlabelled(source, tasks, languages, n, seed)


def texts(row: dict) -> list[str]:
    """The running text in a canonical row, the longest piece of evidence first."""
    found = [row[key] for key in ("context", "text_a", "text", "text_b", "question", "source_text") if key in row]
    found += row.get("choices", [])
    return found + ([" ".join(row["words"])] if "words" in row else [])
