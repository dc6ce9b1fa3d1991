"""`make verify`: run some of a study's cells again beside their records, and tell what differs and by how much.

On one kind of machine, with the same versions, records are equal to the bit, and anything else is a fault. Elsewhere sums are rounded in
another order, and where training is in another precision no more can be said than that scores lie near each other: within `NEAR` points.
"""

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from xtools import ROOT, records
from xtools.problems import Problem
from xtools.records import Record
from xtools.run import cell as cells
from xtools.run.engine import cell_server, locked
from xtools.run.plan import Plan, plan
from xtools.run.warm import Server
from xtools.study import Cell, load

NEAR = 2.0  # points: between bf16 and fp32, scores of a language moved by up to half a point, and training carries differences on
EXACT = ("cpu", "gpu", "python")  # of a machine, what must be the same for numbers to be


def run(profile: str, number: int = 3, seed: int = 0) -> int:
    """Verify so many cells of a study that was run, drawn by the seed; the exit status: 0, or 1 where one differs.

    Raises Problem where the study has no record of current code and data.
    """
    loaded = load(profile)
    with locked(loaded.folder), cell_server(loaded.folder / "server.log") as server:
        grid = plan(loaded)
        tell_changed(grid)
        there = [cell for cell in loaded.cells() if cell.phase in ("intermediate", "target") and grid.is_there(cell.name)]
        if not there:
            raise Problem(f"{profile}: no record of the code and data that are here; run make study PROFILE={profile} first")
        drawn = random.Random(seed).sample(there, min(number, len(there)))
        with tempfile.TemporaryDirectory(dir=loaded.folder, prefix="verify-") as folder:
            well = [verify(cell, server, Path(folder, cell.name)) for cell in drawn]
    print(f"{sum(well)} of {len(well)} cells came out as recorded, of {len(there)} that are there")
    return 0 if all(well) else 1


def tell_changed(grid: Plan) -> None:
    """Say of which cells code, parameters, encoder or data are others than those that their records are of."""
    changed = [name for name in grid.cells if grid.record(name).exists() and not grid.is_there(name)]
    if changed:
        print(
            f"{len(changed)} of {len(grid.cells)} records are of other code, parameters or data than are here: {', '.join(changed[:3])} ..."
        )


def verify(cell: Cell, server: Server, folder: Path) -> bool:
    """Run a cell again in a folder and hold its result against its record; tells how it came out."""
    record = records.read(cell)
    assert record is not None
    kept, made = record.result.model_dump(mode="json"), again(cell, server, folder)
    unequal = [*differing(kept, made)]
    off = max((abs(a - b) for name, a, b in unequal if "metrics" in name), default=0.0)
    if not unequal:
        print(f"{cell.name}: equal to the bit")
    else:
        name, was, came = unequal[0]
        print(
            f"{cell.name}: {len(unequal)} values differ, scores by {off:.3g} points at most; the first is {name}: {was} recorded, {came} now"
        )
    if others := elsewhere(record):
        print(f"  recorded elsewhere ({others}): scores within {NEAR:g} points are as recorded")
        return off <= NEAR
    return not unequal


def again(cell: Cell, server: Server, folder: Path) -> dict:
    """The result of a cell's notebook, run in a folder of its own, where it leaves nothing that another cell reads.

    Raises Problem where it fails.
    """
    folder.mkdir()
    asked, result = folder / "asked.ipynb", folder / cells.RESULT
    jupytext.write(jupytext.read(ROOT / "notebooks" / f"{records.NOTEBOOKS[cell.phase]}.py"), asked)
    notebook = parameterize_notebook(load_notebook_node(str(asked)), cells.parameters(cell) | {"folder": str(folder)})
    nbformat.write(notebook, asked)
    if server.ask(str(asked), str(folder / "notebook.ipynb")) or not result.exists():
        raise Problem(f"{cell.name}: it fails when it is run again; make study runs it where its record is removed, and keeps its notebook")
    return json.loads(result.read_text())["result"]


def differing(kept, made, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The values in which two results differ, with their names."""
    if isinstance(kept, dict) and isinstance(made, dict):
        for key in sorted(kept.keys() | made.keys()):
            yield from differing(kept.get(key), made.get(key), f"{name}.{key}" if name else key)
    elif isinstance(kept, list) and isinstance(made, list) and len(kept) == len(made):
        for i, (a, b) in enumerate(zip(kept, made, strict=True)):
            yield from differing(a, b, f"{name}[{i}]")
    elif kept != made:
        yield name, kept, made


def elsewhere(record: Record) -> str:
    """In what the machine and libraries of a record differ from those here; empty where in nothing."""
    here = records.machine()
    machine = [f"{name} {getattr(record.machine, name)}" for name in EXACT if getattr(record.machine, name) != getattr(here, name)]
    return ", ".join(
        machine + [f"{name} {version}" for name, version in record.versions.items() if records.versions().get(name) != version]
    )
