"""Cells as jobs of a cluster: which make one, what Snakemake is told, and on Slurm, which of a study's jobs live and what became of others.

A job carries the cells of one phase that take about half an hour together. It asks for the time and memory that the plan expects of them;
everything else (partition, account, GPU, the longest time) stands in `profiles/<executor>/config.yaml`, a workflow profile of Snakemake.
"""

import functools
import hashlib
import importlib.util
import itertools
import math
import os
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
import yaml

from xtools import ROOT
from xtools.problems import Problem
from xtools.run import cell, estimate
from xtools.run.jobs import Job
from xtools.run.plan import Plan
from xtools.run.warm import DRIVER, SHARED
from xtools.study import Cell, Study

JOB = 30  # minutes of work that a job carries
OVERHEAD = 1  # minutes that a cell takes beside its floating-point operations
FACTOR, FLOOR = 3, 7  # a job asks for so many times what is expected of its cells, and for so many minutes at least
UNKNOWN = "t4"  # the slowest GPU that `estimate` knows stands for one that it does not
QUOTES = "'\""  # which a profile puts around what is no expression
POLL, LOOK = 5, 60  # seconds between looks at the queue, while nothing or something else is done
IDLE = 400  # seconds without a job: more than the 180 between Snakemake's looks
AGE, CHECK = 300, 40  # seconds: how long Slurm tells of a job that has ended, and the plugin waits before it asks, unless told otherwise
OURS = ("TIMEOUT", "DEADLINE", "OUT_OF_MEMORY")  # ends that come again with the same request
WORDS = {"TIMEOUT": "ran out of time", "DEADLINE": "ran out of time", "OUT_OF_MEMORY": "ran out of memory", "CANCELLED": "was cancelled"}


class Cluster:
    """A study's jobs, by one of Snakemake's executors."""

    def __init__(self, executor: str, study: Study):
        """Raises Problem for an executor that is not installed, one without a profile that can be read, and a Slurm that does not answer, or takes
        no job such as the profile asks for."""
        self.executor, self.study = executor, study
        self.folder = ROOT / "profiles" / executor
        self.profile = _profile(executor)
        self.defaults = self.profile.get("default-resources") or {}
        self.name = _name(study)
        self.looked = self.seen = time.monotonic()  # when Slurm was asked for jobs, and last had one
        if not isinstance(self.defaults, dict) or not isinstance(self.longest, int) or self.longest < 1:
            raise Problem(f"profiles/{executor}/config.yaml: default-resources holds `runtime: <minutes>`, the longest that a job may take")
        if self.has_queue and _ask("squeue", "--me") is None:
            raise Problem("EXECUTOR=slurm: squeue does not answer here; run this where sbatch works, such as a login node")
        if self.has_queue:
            self._try()

    def _try(self) -> None:
        """Ask Slurm whether it would take a job as the profile has it, since Snakemake keeps to itself why one was refused."""
        names = {
            "slurm_partition": "--partition",
            "slurm_account": "--account",
            "gres": "--gres",
            "constraint": "--constraint",
            "runtime": "--time",
        }
        asked = [f"{option}={str(self.defaults[name]).strip(QUOTES)}" for name, option in names.items() if self.defaults.get(name)]
        done = subprocess.run(["sbatch", "--test-only", *asked, "--wrap", "true"], capture_output=True, text=True)
        if done.returncode:
            reason = " ".join(done.stderr.replace("sbatch: error: ", "").split())
            raise Problem(f"profiles/slurm/config.yaml: Slurm would take no job that asks for {' '.join(asked)}: {reason}")

    @property
    def longest(self) -> int:
        """Minutes that a job may ask for at most."""
        return self.defaults.get("runtime")

    @property
    def has_queue(self) -> bool:
        """Whether Slurm's own commands tell of the jobs."""
        return self.executor == "slurm"

    def on_cpu(self) -> list[str]:
        """The phases that ask for no GPU."""
        study = self.study
        if study.device == "cpu":
            return ["backbone", "intermediate", "target", "timing"]
        return ["backbone"] if all(backbone.load for backbone in study.backbones.values()) else []

    def gpu(self) -> str | None:
        """The type of GPU that jobs ask for, as `estimate` calls it; None where they ask for none."""
        asked = " ".join(str(self.defaults.get(name) or "") for name in ("gres", "gpu", "gpu_model", "nvidia_gpu")).lower()
        known = [name for name in estimate.GPUS if re.search(rf"(?<![a-z0-9]){name}(?![0-9])", asked)]
        return None if not asked.strip() or self.study.device == "cpu" else max(known, key=len, default=UNKNOWN)

    @functools.cached_property
    def expected(self) -> dict[Cell, float]:
        """Minutes that each cell is expected to take, worked out once for cells that differ in their seed alone."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.study.threads)  # what is measured here is a product as cells compute it
        machine = estimate.machine(self.gpu())
        torch.set_num_threads(threads)
        alike: dict[Cell, float] = {}
        for one in self.study.cells():
            key = replace(one, seed=0)
            if key not in alike:
                work, search = estimate.cell_flops(self.study, one, set()), estimate.search_flops(self.study, one, set())
                alike[key] = OVERHEAD + 60 * machine.hours(work, search)
        return {one: alike[replace(one, seed=0)] for one in self.study.cells()}

    def jobs(self, grid: Plan, names: list[str]) -> dict[str, Job]:
        """The cells of each phase, in their order, as few jobs as carry half an hour each, and less where that might take the longest that a job
        may; about equal ones. Each asks for more time than is expected of it, and for the memory of its largest cell beside a server."""
        self.seen = time.monotonic()
        found = {}
        alone = SHARED + (DRIVER if self.gpu() else 0)
        for phase in dict.fromkeys(grid.cells[name].phase for name in names):
            for number, cells in enumerate(self._parts(grid, [name for name in names if grid.cells[name].phase == phase])):
                memory = int((max(grid.cells[name].memory for name in cells) + alone) / 1e6)
                asked = math.ceil(FACTOR * sum(self._minutes(grid, name) for name in cells))
                found[f"{phase}-{number}"] = Job(phase, cells, memory, min(self.longest, max(FLOOR, asked)))
        return found

    def _minutes(self, grid: Plan, name: str) -> float:
        return self.expected[Cell(*grid.cells[name].cell)]

    def _parts(self, grid: Plan, names: list[str]) -> Iterable[list[str]]:
        """The names of cells, divided where another job begins."""
        ends = [*itertools.accumulate(self._minutes(grid, name) for name in names)]
        number = math.ceil(ends[-1] / min(JOB, self.longest / FACTOR))
        parts: dict[int, list[str]] = {}
        for name, end in zip(names, ends, strict=True):
            middle = end - self._minutes(grid, name) / 2
            parts.setdefault(int(number * middle / ends[-1]), []).append(name)
        return parts.values()

    def words(self, cores: int | None) -> list[str]:
        """What Snakemake is told, for `cores` jobs at a time at most (None: as many as the profile says)."""
        words = ["--executor", self.executor, "--workflow-profile", str(self.folder), "--cores", str(self.study.threads)]
        words += ["--jobs", str(cores)] if cores else []
        return words + (["--slurm-jobname-prefix", self.name, *self._status_words()] if self.has_queue else [])

    def _status_words(self) -> list[str]:
        """Where accounting is off, sacct is there and knows nothing; then squeue is asked, which tells of jobs for a while after their end."""
        if _ask("sacct", "--noheader", "--allocations") is not None:
            return []
        found = re.search(r"MinJobAge\s*=\s*(\d+)", _ask("scontrol", "show", "config") or "")
        age, check = int(found[1]) if found else AGE, self.profile.get("slurm-init-seconds-before-status-checks", CHECK)
        words = ["--slurm-status-command", "squeue"]
        return words + (["--slurm-init-seconds-before-status-checks", str(max(1, age // 3))] if 3 * check > age else [])

    def live(self) -> dict[str, str] | None:
        """The state of this study's jobs that wait or run, by their number; None where Slurm does not answer."""
        told = _ask("squeue", "--me", "--noheader", "--format=%i|%T|%j") if self.has_queue else ""
        rows = [line.split("|", 2) for line in told.splitlines()] if told is not None else None
        return rows if rows is None else {number: state for number, state, name in rows if name.startswith(f"{self.name}_")}

    def settle(self) -> None:
        """Cancel the jobs of an earlier run that still wait, and wait for those that run, so that nothing runs twice."""
        found = self.live() or {}
        waiting = [number for number, state in found.items() if state == "PENDING"]
        self.cancel(waiting)
        if running := found.keys() - {*waiting}:
            print(f"{len(running)} jobs of an earlier run are at work ({', '.join(sorted(running))}); waiting for them", flush=True)
        try:
            while self.live() != {}:
                time.sleep(POLL)
        except KeyboardInterrupt:
            self.cancel()
            raise

    def is_idle(self) -> bool:
        """Whether no job has waited or run for so long that Snakemake waits in vain, as for one that was preempted and is not to begin again."""
        now = time.monotonic()
        if self.has_queue and now - self.looked > LOOK:
            self.looked = now
            if self.live() != {}:
                self.seen = now
        return self.has_queue and now - self.seen > IDLE

    def is_drained(self) -> bool:
        """Whether all jobs end soon after the last cell has, so that Snakemake, which looks for that at ever longer intervals, is not waited for."""
        end = time.monotonic() + LOOK
        while self.has_queue and time.monotonic() < end:
            if self.live() == {}:
                return True
            time.sleep(1)
        return False

    def cancel(self, jobs: Sequence[str] | None = None) -> None:
        """Cancel some of this study's jobs, or all."""
        if jobs := [*(self.live() or {})] if jobs is None else jobs:
            _ask("scancel", *jobs)

    def explain(self, grid: Plan, names: list[str], last: bool) -> None:
        """Of cells whose job ended before them, leave the reason where it would come again with the same request, or this was the last try."""
        for name in names:
            folder = grid.record(name).parent
            kept = folder / cell.RUNNING
            job = kept.read_text().strip() if kept.exists() else ""
            state = self._state(job) if job else ""
            if state in OURS or (job and last):
                logs = [path.relative_to(ROOT) for path in (grid.folder / ".snakemake" / "slurm_logs").rglob(f"{job}.log")]
                lacking = {"TIMEOUT": "runtime", "OUT_OF_MEMORY": "mem_mb"}.get(state)
                where = f"; set more `{lacking}` in set-resources of profiles/{self.executor}/config.yaml" if lacking else ""
                told = f"its job {job} {WORDS.get(state, 'was lost')} ({state}){where}"
                cell.leave(folder, told + (f"; log: {logs[0]}" if logs else ""))

    @staticmethod
    def _state(job: str) -> str:
        """How a job ended, in Slurm's word, by whichever of its commands still knows."""
        found = re.search(r"JobState=(\w+)", _ask("scontrol", "show", "job", "--oneliner", job) or "")
        told = _ask("sacct", "--noheader", "--allocations", "--format=State", "--jobs", job) or ""
        return found[1] if found else (told.split() or ["UNKNOWN"])[0]


def _profile(executor: str) -> dict:
    """The workflow profile of an executor."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", executor):
        raise Problem(f"EXECUTOR={executor}: no name of an executor; slurm is one")
    if not importlib.util.find_spec(f"snakemake_executor_plugin_{executor.replace('-', '_')}"):
        raise Problem(f"EXECUTOR={executor}: not installed; .venv/bin/pip install snakemake-executor-plugin-{executor}")
    path = ROOT / "profiles" / executor / "config.yaml"
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise Problem(f"EXECUTOR={executor}: write profiles/{executor}/config.yaml first, as profiles/slurm/config.yaml is") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise Problem(f"profiles/{executor}/config.yaml: {' '.join(str(error).split())}") from None
    return values if isinstance(values, dict) else {}


def _name(study: Study) -> str:
    """What the names of a study's jobs begin with: its own, and which copy of the project runs it."""
    place = hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9-]', '-', study.name)[:30]}-{place}"


def _ask(*words: str) -> str | None:
    """What one of Slurm's commands prints; None where it fails, or is not there."""
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
