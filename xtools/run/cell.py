"""Run one cell: clear what an earlier attempt left, execute its notebook in a fresh kernel, write its record, last and atomically."""

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import NoReturn

from xtools import ROOT, encoder, records, study
from xtools.disk import is_whole
from xtools.problems import Problem
from xtools.report import pages
from xtools.run import fingerprints, kernels
from xtools.study import Cell

RESULT, FAILED, RUNNING = "result.json", "failed.txt", "running"
LINE = 2000  # characters of a reason at most


def execute(cell: Cell, fingerprint: str, memory: int | None = None, needs_gpu: bool = False) -> None:
    """Run a cell unless its record is there; one that fails, however it does, leaves its notebook, with its traceback, and the reason in
    `failed.txt`.
    `memory` is what it is expected to hold (bytes), for its record. One that `needs_gpu` fails where there is none, as on a CPU it would
    take days, in silence.

    Raises Problem with that reason.
    """
    with alone(cell.folder):
        if not is_whole(cell.record):
            clear(cell.folder)
            try:
                if needs_gpu and encoder.choose_device("auto").type != "cuda":
                    raise Problem(f"its job asked for a GPU, and torch sees none on {socket.gethostname()}")
                check(cell, fingerprint)
                times = run(cell)
                record(cell, fingerprint, times, check(cell, fingerprint), memory)
            except Exception as error:
                fail(cell, error)


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
        raise Problem("its parameters, notebook or data have changed since it was planned; run the study again")
    return fingerprints.read(loaded, cell)


def fail(cell: Cell, error: Exception) -> NoReturn:
    """Leave the reason of a failure, in one line, and the notebook as far as it got, where there is room for them; raises Problem."""
    told = str(error) if isinstance(error, Problem) else f"{type(error).__name__}: {error}"
    executed, line = cell.folder / "notebook.ipynb", " ".join(told.split())
    leave(cell.folder, line)
    with contextlib.suppress(Exception):  # a notebook that was cut, a disk that is full: the reason is told already
        pages.page(executed, executed.with_suffix(".html"), f"{cell.name} (failed)")
    raise Problem(f"{cell.name}: {line} (see {executed.relative_to(ROOT)})") from error


def leave(folder: Path, line: str) -> None:
    """Write the reason of a failure into what was kept for it (`RUNNING`), since a full disk has no more."""
    kept = folder / RUNNING
    with contextlib.suppress(OSError):
        with open(kept, "r+" if kept.exists() else "w") as file:
            file.write(f"{line[:LINE]}\n")
            file.truncate()
        kept.rename(folder / FAILED)


def run(cell: Cell) -> dict[str, float]:
    """Execute the cell's notebook, which leaves its result; returns when it began (s since 1970) and how long it took (s).

    Raises Problem when the notebook fails or ends without a result.
    """
    began, clock = time.time(), time.monotonic()
    executed = cell.folder / "notebook.ipynb"
    job = os.environ.get("SLURM_JOB_ID", "")  # which knows how it ended where the cell could not say
    (cell.folder / RUNNING).write_text(job.ljust(LINE))  # what the engine shows as running, and room for the reason of a failure
    kernels.execute(ROOT / "notebooks" / f"{records.NOTEBOOKS[cell.phase]}.py", parameters(cell), executed)
    if not (cell.folder / RESULT).exists():
        raise Problem("its notebook ended without a result")
    return {"began": began, "seconds": time.monotonic() - clock}


def parameters(cell: Cell) -> dict:
    """What the cell's notebook is given."""
    given = {key: getattr(cell, key) for key in ("backbone", "recipe", "target") if getattr(cell, key)}
    return given | {"study": cell.study, "folder": str(cell.folder)} | ({} if cell.phase == "report" else {"seed": cell.seed})


def record(cell: Cell, fingerprint: str, times: dict[str, float], what: dict[str, str], memory: int | None) -> None:
    """Render the executed notebook and write the record of its result; what training had saved in case of a failure goes."""
    pages.page(cell.folder / "notebook.ipynb", cell.folder / "notebook.html", cell.name)
    records.write(cell, fingerprint, cell.folder / RESULT, times, what, memory)
    for done in (cell.folder / RESULT, cell.folder / RUNNING, *cell.folder.glob("checkpoint*.safetensors")):
        done.unlink(missing_ok=True)
