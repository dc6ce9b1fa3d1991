"""Records: what each cell measured (xtools/results.py), on what, how. All that is kept on disk of a cell is read and written here."""

import contextlib
import gzip
import json
import os
import platform
import subprocess
from collections import Counter
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Generic, TypeVar

import pandas as pd
from pydantic import ValidationError

from xtools import ROOT, processes
from xtools.disk import is_whole, whole
from xtools.parameters import shown
from xtools.problems import Problem
from xtools.results import Backbone, Intermediate, Report, Stored, Target, Timing
from xtools.study import Cell, Study

KEPT = "records.jsonl.gz"  # a study's records in one file, one a line
SCHEMA = 3  # counts the forms that records have had; one of another form is refused
NOTEBOOKS = {
    "backbone": "1_backbone",
    "intermediate": "2_intermediate",
    "target": "3_target",
    "timing": "4_timing",
    "report": "5_report",
}
LIBRARIES = ("torch", "transformers", "tokenizers", "datasets")  # whose versions can change a number


class Machine(Stored):
    """What the numbers were measured on."""

    cpu: str
    cores: int | None
    gpu: str | None
    python: str

    def __str__(self) -> str:
        return f"{self.gpu or self.cpu}, {self.cores} cores"


Result = TypeVar("Result", bound=Stored)


class Record(Stored, Generic[Result]):
    """A cell's result with its provenance; `times` are seconds of the cell and its parts, and when it began (s since 1970).

    `study` and `backbone` are the names in the study that ran the cell; others that share it may call it otherwise. `read` is what it and
    those before it read, encoder and data, each with its commit or the hash of its files. Memory is in bytes, of the cell's own
    (`processes.own_peak`): what was expected (xtools/run/footprint.py) and what it held; None where it is not known.
    """

    schema_version: int
    study: str
    phase: str
    backbone: str
    recipe: str
    target: str
    seed: int
    fingerprint: str
    read: dict[str, str] = {}
    result: Result
    times: dict[str, float]
    expected_memory: int | None = None
    peak_memory: int | None = None
    machine: Machine
    versions: dict[str, str]
    commit: str


RECORDS: dict[str, type[Record]] = {
    "backbone": Record[Backbone],
    "intermediate": Record[Intermediate],
    "target": Record[Target],
    "timing": Record[Timing],
    "report": Record[Report],
}


def write_json(path: Path, value) -> None:
    """Write a value as JSON."""
    with whole(path) as partial:
        partial.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def write_result(path: Path, result: Stored, times: dict[str, float]) -> None:
    """Hand a cell's result, the times of its parts, and what it has held of memory, from its notebook to what writes the record."""
    handed = {"result": result.model_dump(mode="json"), "times": times, "peak_memory": processes.own_peak()}
    path.write_text(json.dumps(handed, allow_nan=False))


def write(
    cell: Cell, fingerprint: str, handed: Path, times: dict[str, float], what: dict[str, str] | None = None, memory: int | None = None
) -> None:
    """Write a cell's record from what its notebook handed over (`write_result`), further times, what it read, and the memory that was
    expected of it."""
    handed_over, beside = json.loads(handed.read_text()), processes.own_peak()  # the kernel's process, and this one
    record = RECORDS[cell.phase](
        schema_version=SCHEMA,
        **{key: getattr(cell, key) for key in ("study", "phase", "backbone", "recipe", "target", "seed")},
        fingerprint=fingerprint,
        read=what or {},
        result=handed_over["result"],
        times=times | handed_over["times"],
        expected_memory=memory,
        peak_memory=None if beside is None else handed_over["peak_memory"] + beside,
        machine=machine(),
        versions=versions(),
        commit=commit(),
    )
    write_json(cell.record, record.model_dump(mode="json"))


def read(cell: Cell) -> Record | None:
    """The cell's record, or None when it has none, or an empty or a cut one.

    Raises Problem for one of another schema version, or one that is damaged.
    """
    return _parsed(cell.record.read_text(), shown(cell.record)) if is_whole(cell.record) else None


def read_all(folder: Path) -> list[Record]:
    """All records of a study's folder, of this checkout or another, or of one where they are kept (xtools/run/keep.py).

    Raises Problem as `read` does, and where there is none.
    """
    kept, cells = folder / KEPT, [path for path in sorted(folder.glob("*/*/record.json")) if is_whole(path)]
    found = [_parsed(path.read_text(), shown(path)) for path in cells if path.parent.parent.name != "report"]
    if kept.exists():
        lines = gzip.decompress(kept.read_bytes()).decode().splitlines()
        found += [_parsed(line, f"{shown(kept)}, line {i + 1}") for i, line in enumerate(lines)]
    if not found:
        raise Problem(f"{shown(folder)}: no records there; name a study that was run, or a folder that holds records")
    return found


def _parsed(text: str, where) -> Record:
    """The record in JSON. Raises Problem for one of another schema version, or one that is damaged."""
    try:
        stored = json.loads(text)
        version = stored.get("schema_version", 0)
    except (ValueError, AttributeError) as error:
        raise Problem(f"{where}: damaged ({error}); remove it and run again") from error
    if version != SCHEMA:
        raise Problem(
            f"{where}: a record of schema {version}, and this is {SCHEMA}; read it with commit {stored.get('commit')}, or remove it"
        )
    try:
        return RECORDS[stored.get("phase")].model_validate(stored)
    except KeyError as error:
        raise Problem(f"{where}: no phase is called {error}; remove it and run again") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise Problem(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}; remove it and run again") from error


def of_phase(study: Study, *phases: str) -> list[tuple[Cell, Record]]:
    """The cells of some phases that have a record, with their records, in the grid's order."""
    pairs = ((cell, read(cell)) for cell in study.cells() if cell.phase in phases)
    return [(cell, record) for cell, record in pairs if record is not None]


def write_predictions(folder: Path, predictions: dict[str, list], rows: dict[str, list[dict]]) -> None:
    """Write each language's (or task's) predictions, one per row, with the ids of their rows."""
    named = {key: [[row["id"], p] for row, p in zip(rows[key], of_key, strict=True)] for key, of_key in predictions.items()}
    (folder / "predictions.json").write_text(json.dumps(named, ensure_ascii=False))


def read_predictions(cell: Cell) -> dict[str, list]:
    """The cell's predictions as [row's id, prediction] pairs, by language (or task)."""
    return json.loads((cell.folder / "predictions.json").read_text())


# ---------------------------------------------------------------- provenance


@cache
def machine() -> Machine:
    """This machine."""
    import torch

    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return Machine(cpu=cpu, cores=os.cpu_count(), gpu=gpu, python=platform.python_version())


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


@cache
def versions() -> dict[str, str]:
    """The versions of the libraries that can change a number, of those that are installed."""
    installed = {}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


def of_other_versions(records: list[Record]) -> list[str]:
    """One line for each library version that some records were made with and that is not this one."""
    known = Counter(item for record in records for item in record.versions.items())
    here = versions()
    return [f"{n} records are of {name} {old}, here it is {here.get(name)}" for (name, old), n in known.items() if old != here.get(name)]


@cache
def commit() -> str:
    """The git commit of the code, with `+` when the work tree has changes; `unknown` outside git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# ---------------------------------------------------------------- tidy table

COLUMNS = ["backbone", "recipe", "target", "seed", "metric", "split", "language", "score", "n"]


def table(study: Study, every: bool = False) -> pd.DataFrame:
    """One row per target cell and language: backbone, recipe, target, seed, metric, split, language, score and n.

    `score` is the task's main metric in percent; with `every`, each metric that the record holds has a row of its own. Rows of split `dev`
    hold the source language's development score.
    """
    rows = [row for cell, record in of_phase(study, "target") for row in rows_of(record, study.source_language, cell, every)]
    return pd.DataFrame(rows, columns=COLUMNS)


def cell_of(record: Record) -> Cell:
    """The cell that a record names."""
    return Cell(record.study, record.phase, record.backbone, record.recipe, record.target, record.seed)


def rows_of(record: Record, source: str, cell: Cell, every: bool = False) -> list[dict]:
    """A target's record as rows of `table`, of the cell that has it: cells that compute the same share one, which bears the name of the
    first. `source` is the language of its development score."""
    result = record.result
    common = {key: getattr(cell, key) for key in ("backbone", "recipe", "target", "seed")}
    scores = [("test", language, score) for language, score in result.scores.items()]
    scores += [("dev", source, result.dev)] if result.dev else []
    rows = []
    for split, language, score in scores:
        chosen = score.metrics if every else {result.metric: score.metrics[result.metric]}
        own = common | {"split": split, "language": language, "n": score.n}
        rows += [own | {"metric": metric, "score": value} for metric, value in chosen.items()]
    return rows
