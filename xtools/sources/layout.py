"""Which files of a Hub data set hold a split: as the header of its README says, in the way of the datasets library."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from datasets.data_files import sanitize_patterns
from fsspec.utils import glob_translate

from xtools import snapshots
from xtools.problems import Problem, nearest
from xtools.sources.source import UNREADABLE, header
from xtools.tasks import Hub

README = "README.md"
ENDINGS = (".jsonl", ".json", ".csv", ".parquet")  # of files that the datasets library reads without a loading script


def describe(folder: Path) -> list[str]:
    """Write the README.md that makes a data set of a folder whose files are <configuration>/<split>.<jsonl, json, csv or parquet>; returns its
    configurations.

    Raises Problem where there is no such file, and for files of different endings, all of which the library would read as one of them.
    """
    found: dict[str, list[dict[str, str]]] = {}
    paths = sorted(path for path in folder.glob("*/*") if path.suffix in ENDINGS)
    if len(endings := sorted({path.suffix for path in paths})) > 1:
        raise Problem(f"{folder}: files of {' and '.join(endings)}; write all files of a data set in one of them")
    for path in paths:
        found.setdefault(path.parent.name, []).append({"split": path.stem, "path": f"{path.parent.name}/{path.name}"})
    if not found:
        raise Problem(f"{folder}: no data there; put files <configuration>/<split>.jsonl (or .json, .csv, .parquet) into it")
    entries = [{"config_name": name, "data_files": files} for name, files in found.items()]
    (folder / README).write_text(f"---\n{yaml.safe_dump({'configs': entries}, sort_keys=False)}---\n")
    return [*found]


def files(part: Hub, language: str) -> dict[str, list[str]] | None:
    """The names of the files of a part in a language, by the name of its split; all files of the repository under "" where its README
    does not say which are whose. None where the files of the commit that is read are not known here.

    Raises Problem where the commit has no such configuration or split.
    """
    names, readme = snapshots.names("datasets", part.repo, part.revision), snapshots.folder("datasets", part.repo, part.revision) / README
    if names is None or (README in names and not readme.exists()):
        return None
    config, splits = part.config.format(lang=part.name(language)), part.split.format(lang=part.name(language)).split("|")
    if part.reader == "archive":
        found = {"": [name for name in names if name == config]}
        return found if found[""] else _absent(part, language, f"has no file {config}")
    described = _described(readme) if readme.exists() else {}
    if not described:
        return {"": [name for name in names if not name.startswith(".") and not name.endswith(".py")]}
    if config not in described:
        return _absent(part, language, f"has no configuration {config} ({language}){nearest(config, described)}")
    patterns = sanitize_patterns(described[config])
    for split in splits:
        if split in patterns and (matching := _matching(patterns[split], names)):
            return {split: matching}
    return _absent(part, language, f"({config}) has no split {splits[0]}{nearest(splits[0], patterns)}")


def _absent(part: Hub, language: str, why: str):
    at = snapshots.commit("datasets", part.repo, part.revision)[:7]
    raise Problem(f"{part.repo} at {at} {why}; take {language} or the task that reads it out of the study")


def _described(readme: Path) -> dict[str, object]:
    """The data files of each configuration; none where the README does not name those of every one."""
    try:
        return {entry["config_name"]: entry["data_files"] for entry in header(readme, readme.stat().st_mtime_ns)["configs"]}
    except UNREADABLE:
        return {}


def fault(folder: Path, config: str, names: list[str] | None) -> str:
    """What is wrong with a copy of a data set that cannot be loaded, where that can be told: a file that is cut short, or its README.
    `names` are those of all its files, where some may not have been fetched."""
    here = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    told = next(filter(None, (_damage(folder / name, name) for name in here if name.endswith(".parquet"))), "")
    if not told and README in here:
        told = _misdescribed(folder, config, names or here)
        return told and f"its {README} {told}; mend it, or fetch it again"
    return told


def _damage(path: Path, name: str) -> str:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid) as error:
        return f"{name} is damaged or cut short ({' '.join(str(error).split())[:150]}); remove it and fetch it again"
    return ""


def _misdescribed(folder: Path, config: str, names: list[str]) -> str:
    """What is wrong with a README, or what it names that is not there."""
    readme = folder / README
    try:
        said = header(readme, readme.stat().st_mtime_ns)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return f"has a header that is not YAML ({' '.join(str(error).split())[:150]})"
    described = _described(readme)
    if config not in described:
        return f"names no configuration {config}{nearest(config, described) if described else ', nor any other'}"
    for split, patterns in sanitize_patterns(described[config]).items():
        for pattern in patterns:
            if not (files := _matching([pattern], names)):
                return f"names {pattern} as split {split}, and no such file is there"
            columns = pq.read_schema(folder / files[0]).names if files[0].endswith(".parquet") and (folder / files[0]).exists() else None
            if columns and (absent := [name for name in _columns(said, config) if name not in columns]):
                return f"names a column {absent[0]}, which {files[0]} has not (columns: {', '.join(columns)})"
    return ""


def _columns(said: dict, config: str) -> list[str]:
    """The columns that a README's header says of a configuration; none where it says them otherwise."""
    try:
        told = said.get("dataset_info", [])
        every = told if isinstance(told, list) else [told]
        return [feature["name"] for entry in every if entry.get("config_name", config) == config for feature in entry.get("features", [])]
    except UNREADABLE:
        return []


def _matching(patterns: list[str], names: list[str]) -> list[str]:
    """The names that fit, in the order of the patterns and, within one, of the alphabet, as the library reads them."""
    found = [name for pattern in patterns for name in sorted(names) if re.match(glob_translate(pattern), name)]
    return list(dict.fromkeys(found))


def are_fetched(part: Hub, language: str) -> bool:
    """Whether all files of a part in a language are here.

    Raises Problem as `files`.
    """
    if part.kind == "github":
        return snapshots.are_there("github", part.repo, [part.config.format(lang=part.name(language))], part.revision)
    found = files(part, language)
    return found is not None and snapshots.are_there(
        "datasets", part.repo, [name for names in found.values() for name in names], part.revision
    )


def unfetched(where: str) -> Problem:
    """What is told of data that is not here yet."""
    return Problem(f"{where}: not fetched; fetch it while there is a network: make fetch PROFILE=<study>")
