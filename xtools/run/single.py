"""One cell of a study by itself, for who needs its record alone."""

import os
import subprocess
import sys

from xtools import ROOT, records, study
from xtools.problems import Problem, nearest
from xtools.processes import SAME
from xtools.run import engine, footprint
from xtools.run.plan import link, plan, planned
from xtools.study import Cell


def run(cell: Cell) -> records.Record:
    """Run a cell, and before it those that it starts from, where they have no current record, each in a process of its own; its record.

    Raises Problem for a cell that the study does not have, for what it reads and is not there, and for a cell that fails, with the reason.
    """
    loaded = study.load(cell.study)
    if cell.name not in (names := [known.name for known in loaded.cells()]):
        raise Problem(f"cell {cell.name}: not in params/{cell.study}.yaml{nearest(cell.name, names)}")
    with engine.locked(loaded.folder):
        grid = plan(loaded, footprint.of_all(loaded))
        grid.write()
        link(grid)
        chain = [cell.name]
        while above := grid.cells[chain[0]].upstream:
            chain.insert(0, above)
        todo = [name for name in chain if not grid.is_there(name)]
        engine.check(loaded, [planned(cell.study, name)[0] for name in todo])
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | SAME
        for name in todo:
            command = [sys.executable, "-m", "xtools.run.warm", cell.study, name]
            done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise Problem(done.stderr.strip().splitlines()[-1] if done.returncode == 2 else engine.failure(grid, name))
    return records.read(cell)
