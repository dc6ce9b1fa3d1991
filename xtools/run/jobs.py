"""What Snakemake is given: jobs, each a cell, or on a cluster (xtools/run/cluster.py) as many of a phase as it carries."""

import shutil
from dataclasses import asdict, dataclass, replace

from xtools.records import write_json
from xtools.run.plan import Plan

FILE, DONE = "jobs.json", "jobs"  # in a study's folder: what the Snakefile reads, and the marks that it leaves of jobs that have ended


@dataclass(frozen=True)
class Job:
    """Cells of one phase, the names of the jobs that they wait for, and what they ask for: MB of memory, and minutes where a scheduler runs
    them."""

    phase: str
    cells: list[str]
    memory: int
    minutes: int = 0
    after: tuple[str, ...] = ()


def of_a_cell_each(grid: Plan, names: list[str]) -> dict[str, Job]:
    """Jobs of one cell, by the cell's name."""
    return {name: Job(grid.cells[name].phase, [name], int(grid.cells[name].memory / 1e6)) for name in names}


def write(grid: Plan, jobs: dict[str, Job]) -> None:
    """Leave the jobs to the Snakefile, each after those that run what its cells start from, and no mark of earlier ones."""
    job_of = {name: job for job, about in jobs.items() for name in about.cells}
    for name, job in jobs.items():
        above = {job_of.get(grid.cells[one].upstream) for one in job.cells} - {None}
        jobs[name] = replace(job, after=tuple(sorted(above)))
    shutil.rmtree(grid.folder / DONE, ignore_errors=True)
    write_json(grid.folder / FILE, {name: asdict(job) for name, job in jobs.items()})
