"""A study's plan: its cells with their fingerprints, where each lies, and whether anything is left to do.

Cells belong to the project: runs/cells/<phase>/<fingerprint> holds one, whichever studies have it, and a study's folder leads there by name.
"""

import glob
import json
import os
import shutil
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

from xtools import ROOT, parameters
from xtools.disk import is_whole, whole
from xtools.problems import Problem

# `finished` must answer at once, so what is heavy to import is imported where it is needed.


def inputs(profile: str) -> str:
    """Hash of every file that a study's cells or report could hang on: its parameters, ledgers, results, code, notebooks, encoders, data, and
    of the Hub's, the commits that fetches took.

    It is compared before anything heavy is imported, so that a finished study says so at once.
    """
    from xtools import snapshots, versions

    values = _values(profile)
    like = _values(values["like"]) if isinstance(values.get("like"), str) else {}
    patterns = (
        "params/ledgers/*",
        "results/*",
        "Snakefile",
        "xtools/**/*.py",
        "xtools/report/*.css",
        "xtools/report/*.js",
        "notebooks/*.py",
        "backbones/*/*",
        str(snapshots.TAKEN),
    )
    files = [path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.is_file()]
    folders = [values.get(key, like.get(key)) for key in ("source", "ccg", "translations")] + _encoders(values, like)
    digests = [f"{path.relative_to(ROOT)} {versions.file_digest(path)}" for path in files]
    named = [bool(name) and "$" not in os.path.expandvars(str(name)) for name in folders]
    return versions.digest(values, like, digests, named, *map(_folder, folders))


def _values(profile: str) -> dict:
    """The keys and values of a study's file, unchecked; none where it cannot be read, which loading it will tell."""
    try:
        return parameters.read(ROOT / "params" / f"{profile}.yaml")
    except Problem:
        return {}


def _folder(name) -> str:
    """The content of a folder that a study names, $VARIABLES filled in."""
    from xtools import versions

    folder = os.path.expandvars(str(name))
    return versions.folder_digest(Path(folder)) if name and os.path.isdir(folder) else ""


def _encoders(values: dict, like: dict) -> list[Path]:
    """The folders of the encoders that a study loads, where they are folders."""
    backbones = values.get("backbones", like.get("backbones"))
    entries = [entry for entry in backbones.values() if isinstance(entry, dict)] if isinstance(backbones, dict) else []
    loads = [glob.escape(str(entry[key])).replace("{seed}", "*") for entry in entries for key in ("load", "tokenizer") if entry.get(key)]
    return [ROOT / path for load in loads for path in sorted(glob.glob(load, root_dir=ROOT))]


@dataclass(frozen=True)
class Entry:
    """A planned cell: its phase, the name of the cell that it starts from, its fingerprint, the arguments of its `Cell`, and the bytes of
    memory that it is expected to hold."""

    phase: str
    upstream: str | None
    fingerprint: str
    cell: list
    memory: int = 0


@dataclass
class Plan:
    """A study's cells by name; `inputs` tells the state of all files that it was made from, `report` the report of its finished cells."""

    folder: Path
    inputs: str
    cells: dict[str, Entry]
    report: int | None = None

    def record(self, name: str) -> Path:
        """Where the record of a cell is found by its name."""
        return self.folder / self.cells[name].phase / name / "record.json"

    def missing(self) -> list[str]:
        """The cells that have no current record; of equal ones the first."""
        first = {(entry.phase, entry.fingerprint): name for name, entry in reversed(self.cells.items())}
        return [name for name in reversed(first.values()) if not self.is_there(name)]

    def is_there(self, name: str) -> bool:
        """Whether a cell has a current record."""
        return is_whole(self._stored(name))

    def _stored(self, name: str) -> Path:
        return store(self.cells[name].phase, self.cells[name].fingerprint) / "record.json"

    def drop_cut(self) -> list[str]:
        """Remove the records that a crash left empty or cut, which are none; returns whose they were."""
        cut = [name for name in self.cells if self._stored(name).exists() and not self.is_there(name)]
        for name in cut:
            self._stored(name).unlink(missing_ok=True)
        return cut

    def write(self) -> None:
        from xtools.records import write_json
        from xtools.versions import keep_digests

        keep_digests()
        write_json(self.folder / "plan.json", asdict(self) | {"folder": str(self.folder)})


def store(phase: str, fingerprint: str) -> Path:
    """The folder of a cell, whichever studies have it."""
    return ROOT / "runs" / "cells" / phase / fingerprint


def read(folder: Path) -> Plan:
    """The plan that was written to a study's folder.

    Raises Problem when there is none.
    """
    try:
        plan = json.loads((folder / "plan.json").read_text())
        return Plan(folder, plan["inputs"], {name: Entry(**entry) for name, entry in plan["cells"].items()}, plan["report"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        raise Problem(f"{folder.name}: not planned yet; run make study PROFILE={folder.name}") from None


def plan(study, memory: dict | None = None) -> Plan:
    """The study's plan, with the memory that cells are expected to hold (xtools/run/footprint.py). Of cells that are equal the first stands
    for all, so that it is run once."""
    from xtools.run.fingerprints import fingerprints

    known = fingerprints(study)
    first: dict[tuple[str, str], str] = {}
    for cell, fingerprint in known.items():
        first.setdefault((cell.phase, fingerprint), cell.name)
    entries = {}
    for cell, fingerprint in known.items():
        above = study.upstream(cell)
        upstream = first[above.phase, known[above]] if above else None
        entries[cell.name] = Entry(cell.phase, upstream, fingerprint, [*astuple(cell)], (memory or {}).get(cell, 0))
    return Plan(study.folder, inputs(study.name), entries)


def link(planned: Plan, only_current: bool = False) -> None:
    """Make each cell's folder, and let its name in the study's folder lead there; `only_current`: where a current record is there.

    Raises Problem where a name is taken by a folder, as another version of the project left it.
    """
    for name, entry in planned.cells.items():
        path, target = planned.record(name).parent, store(entry.phase, entry.fingerprint)
        if path.exists() and not path.is_symlink():
            raise Problem(f"{path.relative_to(ROOT)}: another version of the project left this folder; move it away, or run make clean")
        if only_current and not (target / "record.json").exists():
            continue
        target.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            partial.symlink_to(os.path.relpath(target, path.parent))


def planned(profile: str, name: str) -> tuple:
    """A cell of a planned study, its fingerprint, and the memory that it is expected to hold (bytes); the report has neither.

    Raises Problem for a study without a plan, and a name that is not in it.
    """
    from xtools.study import Cell

    if name == "report":
        return Cell(profile, "report"), "", None
    cells = read(ROOT / "runs" / profile).cells
    if name not in cells:
        raise Problem(f"cell {name}: not in the plan of {profile}")
    return Cell(*cells[name].cell), cells[name].fingerprint, cells[name].memory


def finished(profile: str) -> bool:
    """Whether nothing is to be done: the inputs are those of the plan, every record is there, and the report is of these records."""
    folder = ROOT / "runs" / profile
    try:
        plan = read(folder)
        if plan.report != (folder / "report.html").stat().st_mtime_ns or plan.inputs != inputs(profile):
            return False
    except (Problem, FileNotFoundError):
        return False
    return not plan.missing()


def prune() -> tuple[int, int]:
    """Remove the cells that no study's plan has, such as those of parameters of before; returns how many, and their bytes."""
    planned = [path.parent for path in (ROOT / "runs").glob("*/plan.json")]
    plans = [read(folder) for folder in planned if (ROOT / "params" / f"{folder.name}.yaml").exists()]
    kept = {store(entry.phase, entry.fingerprint) for plan in plans for entry in plan.cells.values()}
    gone = [folder for folder in (ROOT / "runs" / "cells").glob("*/*") if folder not in kept]
    size = sum(path.stat().st_size for folder in gone for path in folder.rglob("*") if path.is_file())
    for folder in gone:
        shutil.rmtree(folder)
    return len(gone), size
