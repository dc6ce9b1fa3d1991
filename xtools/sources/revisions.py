"""What identifies data without reading its rows: the commit that is read, or the content of a folder's files; never a time stamp."""

import os
from collections.abc import Iterable
from pathlib import Path

from xtools import snapshots, versions
from xtools.snapshots import UNFETCHED
from xtools.sources.source import UNREADABLE, header
from xtools.tasks import Hub, Task, get

CCG = ("*.tsv", "tags_to_id.json", "**/wsj_*.auto")


def of(source, reads: Iterable[tuple[str, str, str]]) -> list[str]:
    """The identity of the files behind (task, split, language) triples; nothing for the microworld, whose rows are its code."""
    if source.root == "microworld":
        return []
    named = [(part, part.name(language)) for name, split, language in reads for part in parts(get(name), split, language)]
    if source.root != "hub":  # which has no copies
        named += [(part.copy, language) for part, language in named if part.copy]
    return sorted({_state(source, part, language) for part, language in named})


def parts(task: Task, split: str, language: str) -> list[Hub]:
    """The Hub entries of a split; of `translated`, the task's machine-translated training set."""
    if split == "translated":
        return [task.translated] if task.translated and language in task.translated.only else []
    own = task.parts(split, language)
    return own + [part.without for part in own if part.without]


def _state(source, part: Hub, language: str) -> str:
    """A part's place, and what says which data lies there."""
    config = part.config.format(lang=language)
    if part.reader == "ccg":
        return f"ccg {versions.folder_digest(Path(source.ccg), CCG) if source.ccg and Path(source.ccg).is_dir() else UNFETCHED}"
    if source.root == "hub":
        return f"{snapshots.name(part.repo, part.revision)} {config} {snapshots.commit(part.kind, part.repo, part.revision)}"
    splits = part.split.format(lang=language).split("|")
    return f"{part.repo} {config} {part.split} {_content(Path(source.root, part.repo), config, splits)}"


def _content(folder: Path, config: str, splits: list[str]) -> str:
    """Hash of a split's files and of what the README says of their configuration; of all the data set's where it is laid out otherwise."""
    place = folder / config
    if place.is_file():
        return versions.file_digest(place)
    patterns = tuple(f"{split}-*" for split in splits)
    if not any(path for pattern in patterns for path in place.glob(pattern)):
        return versions.folder_digest(folder) if folder.is_dir() else UNFETCHED
    return versions.digest(versions.folder_digest(place, patterns), _described(folder / "README.md", config))


def _described(readme: Path, config: str) -> str:
    """What a README's header says of a configuration, its files and features; its prose does not count."""
    if not readme.exists():
        return ""
    try:
        said = header(readme, readme.stat().st_mtime_ns)
        told = said.get("dataset_info", [])
        features = told if isinstance(told, list) else [told]
        return str([entry for entry in (*said["configs"], *features) if entry.get("config_name", config) == config])
    except UNREADABLE:
        return versions.file_digest(readme)


def of_translations(source, task: str) -> str:
    """The content of a task's own translations, where the study names a folder of such."""
    folder = Path(os.path.expandvars(source.translations), task) if source.translations else None
    return versions.folder_digest(folder, ("*.jsonl",)) if folder and folder.is_dir() else ""


def of_text(source, languages: Iterable[str], reads: Iterable[tuple[str, str, str]]) -> list[str]:
    """The identity of unlabelled text: of Wikipedia on the Hub, of the rows that a folder's text is taken from, of nothing elsewhere."""
    if source.root == "hub":
        from xtools.sources.wikipedia import DUMP, REPO

        return [f"{REPO} {DUMP} {snapshots.commit('datasets', REPO)}", *sorted(languages)]
    return of(source, reads)
