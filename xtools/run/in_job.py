"""A cluster's job, from inside: `python -m xtools.run.in_job PROCESSOR STUDY CELL...` runs cells one after another beside one warm server, so
that only the first waits for imports.
"""

import os
import sys

from xtools import ROOT
from xtools.processes import die_with_parent
from xtools.run import plan, warm
from xtools.run.engine import cell_server


def run(processor: str, profile: str, *names: str) -> int:
    """Run the cells of a job that asked for a `processor`, `gpu` or `cpu`. The exit status is 0 also where cells fail, which leave their
    reason: jobs that wait for this one run those of their cells that can be run."""
    os.environ[warm.JOB] = processor
    grid = plan.read(ROOT / "runs" / profile)
    with cell_server() as server:
        for name in names:
            above = grid.cells[name].upstream
            if above is None or grid.is_there(above):
                server.ask(profile, name)
    return 0


if __name__ == "__main__":
    die_with_parent()
    try:
        sys.exit(run(*sys.argv[1:]))
    except KeyboardInterrupt:  # its scheduler ends the job
        sys.exit(130)
