"""Run one cell: clear what an earlier attempt left, execute its notebook in a fresh kernel, write its record, last and atomically."""

import contextlib
import fcntl
import time
from pathlib import Path
from typing import NoReturn

from xtools import ROOT, records, study
from xtools.problems import Problem
from xtools.report import pages
from xtools.run import fingerprints, kernels
from xtools.study import Cell

RESULT, FAILED, RUNNING = "result.json", "failed.txt", "running"


def execute(cell: Cell, fingerprint: str, memory: int | None = None) -> None:
    """Run a cell unless its record is there; a failed one leaves its notebook, with its traceback, and the reason in `failed.txt`.
    `memory` is what it is expected to hold (bytes), for its record.

    Raises Problem with that reason.
    """
    with alone(cell.folder):
        if not cell.record.exists():
            clear(cell.folder)
            check(cell, fingerprint)
            times = run(cell)
            record(cell, fingerprint, times, check(cell, fingerprint), memory)


@contextlib.contextmanager
def alone(folder: Path):
    """Wait until no other study runs the same cell; the lock goes with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def clear(folder: Path) -> None:
    """Remove what an earlier attempt left, save its checkpoint."""
    for name in (RESULT, FAILED, RUNNING):
        (folder / name).unlink(missing_ok=True)


def check(cell: Cell, fingerprint: str) -> dict[str, str]:
    """What the cell reads, by `fingerprints.read`; nothing for one without a fingerprint.

    Raises Problem when its parameters, notebook or data are no longer those that it was planned with.
    """
    if not fingerprint:
        return {}
    loaded = study.load(cell.study)
    if fingerprints.fingerprint(loaded, cell, {}) != fingerprint:
        fail(cell, Problem("its parameters, notebook or data have changed since it was planned; run the study again"))
    return fingerprints.read(loaded, cell)


def fail(cell: Cell, problem: Problem) -> NoReturn:
    """Leave the reason of a failure, and the notebook as far as it got; raises Problem."""
    executed = cell.folder / "notebook.ipynb"
    (cell.folder / FAILED).write_text(f"{problem}\n")
    if executed.exists():
        pages.page(executed, executed.with_suffix(".html"), f"{cell.name} (failed)")
    raise Problem(f"{cell.name}: {problem} (see {executed.relative_to(ROOT)})") from problem


def run(cell: Cell) -> dict[str, float]:
    """Execute the cell's notebook, which leaves its result; returns when it began (s since 1970) and how long it took (s).

    Raises Problem when the notebook fails or ends without a result.
    """
    began, clock = time.time(), time.monotonic()
    executed = cell.folder / "notebook.ipynb"
    (cell.folder / RUNNING).touch()  # what the engine shows as running
    try:
        kernels.execute(ROOT / "notebooks" / f"{records.NOTEBOOKS[cell.phase]}.py", parameters(cell), executed)
        if not (cell.folder / RESULT).exists():
            raise Problem("its notebook ended without a result")
    except Problem as problem:
        fail(cell, problem)
    finally:
        (cell.folder / RUNNING).unlink(missing_ok=True)
    return {"began": began, "seconds": time.monotonic() - clock}


def parameters(cell: Cell) -> dict:
    """What the cell's notebook is given."""
    given = {key: getattr(cell, key) for key in ("backbone", "recipe", "target") if getattr(cell, key)}
    return given | {"study": cell.study, "folder": str(cell.folder)} | ({} if cell.phase == "report" else {"seed": cell.seed})


def record(cell: Cell, fingerprint: str, times: dict[str, float], what: dict[str, str], memory: int | None) -> None:
    """Render the executed notebook and write the record of its result; what training had saved in case of a failure goes."""
    pages.page(cell.folder / "notebook.ipynb", cell.folder / "notebook.html", cell.name)
    records.write(cell, fingerprint, cell.folder / RESULT, times, what, memory)
    for done in (cell.folder / RESULT, *cell.folder.glob("checkpoint*.safetensors")):
        done.unlink()
