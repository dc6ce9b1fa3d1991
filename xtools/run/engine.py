"""Run a study: plan its cells, let Snakemake run those that are missing or out of date, show progress, then make the report."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xtools import ROOT
from xtools.problems import Problem
from xtools.run.warm import ADDRESS, serve

POLL = 0.2  # seconds between looks at the records


# ---------------------------------------------------------------- plan


def inputs(profile: str) -> str:
    """Hash of every file that a study's cells could depend on: its parameters, the code, the notebooks, the backbones, a data folder.

    It is compared before anything heavy is imported, so that a finished study says so at once.
    """
    parameters = ROOT / "params" / f"{profile}.yaml"
    patterns = ("params/claims.yaml", "Snakefile", "xtools/**/*.py", "notebooks/*.py", "backbones/*/*")
    digest = hashlib.sha256()
    for path in sorted([parameters, *(p for pattern in patterns for p in ROOT.glob(pattern))]):
        if path.is_file():
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    if parameters.exists():
        source = re.search(r"^source: *[\"']?([^\s\"'#]+)", parameters.read_text(), re.M)
        folder = Path(os.path.expandvars(source[1])) if source else Path()
        for path in sorted(folder.rglob("*")) if folder.is_absolute() else ():
            digest.update(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}".encode())
    return digest.hexdigest()


def plan(study) -> dict:
    """The study's cells with fingerprints, written to runs/<study>/plan.json, where the Snakefile and each cell read it."""
    from xtools import records

    fingerprints = records.fingerprints(study)
    cells = {
        cell.name: {
            "phase": cell.phase,
            "upstream": study.upstream(cell).name if study.upstream(cell) else None,
            "fingerprint": fingerprint,
            "cell": [cell.study, cell.phase, cell.backbone, cell.recipe, cell.target, cell.seed],
        }
        for cell, fingerprint in fingerprints.items()
    }
    study.folder.mkdir(parents=True, exist_ok=True)
    found = {"inputs": inputs(study.name), "cells": cells}
    records.write_json(study.folder / "plan.json", found)
    return found


def planned(profile: str, name: str):
    """A cell of a planned study, and its fingerprint."""
    from xtools.study import Cell

    path = ROOT / "runs" / profile / "plan.json"
    if not path.exists():
        raise Problem(f"{profile}: not planned yet; run make plan PROFILE={profile}")
    if name == "report":
        return Cell(profile, "report"), ""
    cells = json.loads(path.read_text())["cells"]
    if name not in cells:
        raise Problem(f"cell {name}: not in the plan of {profile}")
    return Cell(*cells[name]["cell"]), cells[name]["fingerprint"]


def finished(profile: str) -> bool:
    """Whether nothing is to be done: the inputs are those of the plan, every record is there, and the report is of these records."""
    folder = ROOT / "runs" / profile
    try:
        found = json.loads((folder / "plan.json").read_text())
        if found["inputs"] != inputs(profile) or found.get("report") != folder.joinpath("report.html").stat().st_mtime_ns:
            return False
    except (FileNotFoundError, ValueError):
        return False
    return all(record_path(folder, name, entry).exists() for name, entry in found["cells"].items())


def record_path(folder: Path, name: str, entry: dict) -> Path:
    return folder / entry["phase"] / name / "record.json"


# ---------------------------------------------------------------- run


def run(profile: str, cores: int | None = None, engine: str = "", phase: str = "") -> int:
    """Run a study to its end and report; the exit status: 0, or 1 when cells failed.

    `engine` holds further words for Snakemake, such as `--executor slurm --jobs 64`. With a `phase`, only its cells and those that they
    start from are run.
    """
    if finished(profile):
        print(f"{profile}: finished, nothing to do; report: runs/{profile}/report.html")
        return 0
    from xtools import records, study

    loaded = study.load(profile)
    cores = cores or default_cores(loaded)
    with locked(loaded.folder), cell_server() as address:
        entries = plan(loaded)["cells"]
        todo = [name for name in outdated(loaded, entries) if not phase or name in needed(entries, phase)]
        if todo:
            run_cells(loaded, entries, todo, cores, address, engine)
        failed = [name for name in todo if not record_path(loaded.folder, name, entries[name]).exists()]
        make_report(profile, address)
    for name in failed:
        print(f"failed: {failure(loaded.folder, name, entries)}")
    print(f"{records.read(planned(profile, 'report')[0])['result']['headline']}\nreport: runs/{profile}/report.html")
    if failed:
        print(f"{len(failed)} of {len(entries)} cells failed; mend the cause and run again: only these are run")
    return 1 if failed else 0


def needed(entries: dict, phase: str) -> set[str]:
    """The cells of a phase, and all that they start from."""
    found, queue = set(), [name for name, entry in entries.items() if entry["phase"] == phase]
    while queue:
        name = queue.pop()
        found.add(name)
        queue += [entries[name]["upstream"]] if entries[name]["upstream"] else []
    return found


def default_cores(loaded) -> int:
    """Cells at a time: one per core on a CPU, one per GPU where there are GPUs."""
    import torch

    from xtools import encoder

    gpu = encoder.choose_device(loaded.device).type == "cuda"
    return torch.cuda.device_count() if gpu else len(os.sched_getaffinity(0))


def stale(folder: Path, entries: dict) -> list[str]:
    """Cells whose record is of other code or parameters than now."""
    paths = {name: record_path(folder, name, entry) for name, entry in entries.items()}
    there = [name for name, path in paths.items() if path.exists()]
    return [name for name in there if json.loads(paths[name].read_text())["fingerprint"] != entries[name]["fingerprint"]]


def outdated(loaded, entries: dict) -> list[str]:
    """Cells without a current record, cleared of what an earlier attempt left.

    A record that is out of date is set aside as record.old.json, so that Snakemake sees it missing.
    """
    for name in stale(loaded.folder, entries):
        path = record_path(loaded.folder, name, entries[name])
        path.replace(path.with_name("record.old.json"))
    todo = []
    for name, entry in entries.items():
        path = record_path(loaded.folder, name, entry)
        if not path.exists():
            for leftover in ("failed.txt", "running"):
                path.with_name(leftover).unlink(missing_ok=True)
            todo.append(name)
    return todo


@contextlib.contextmanager
def locked(folder: Path):
    """Only one run of a study at a time; the lock goes with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem(f"{folder.name}: another run of this study is under way; wait for it, or stop it") from None
        yield


@contextlib.contextmanager
def cell_server():
    """A server of warm cells, in a session of its own; it and all that it started end with the block."""
    with tempfile.TemporaryDirectory(prefix="xtools-") as folder:
        os.environ["JUPYTER_RUNTIME_DIR"] = folder  # connection files and sockets: a short path, removed at the end
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = "1"
        address = str(Path(folder, "server"))
        pid = os.fork()
        if pid == 0:
            os.setsid()
            try:
                serve(address)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        try:
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def run_cells(loaded, entries: dict, todo: list[str], cores: int, address: str, engine: str) -> None:
    """Let Snakemake run the cells in `todo`, showing what is done, what runs and the time left."""
    records = [f"{entries[name]['phase']}/{name}/record.json" for name in todo]
    command = [sys.executable, "-m", "snakemake", *records, "--snakefile", str(ROOT / "Snakefile"), "--directory", str(loaded.folder)]
    command += ["--cores", str(cores), "--keep-going", "--quiet", "all", "--nolock", "--drop-metadata", "--ignore-incomplete"]
    command += ["--rerun-triggers", "mtime", "--latency-wait", "5", "--config", f"plan={loaded.folder / 'plan.json'}", *shlex.split(engine)]
    log = loaded.folder / "snakemake.log"
    environment = os.environ | {ADDRESS: address, "PYTHONPATH": str(ROOT)}
    if "--executor" in engine:
        for name in (ADDRESS, "JUPYTER_RUNTIME_DIR"):
            environment.pop(name)  # a cluster's nodes reach neither this machine's server nor its folder for sockets
    with open(log, "w") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            watch(loaded.folder, entries, todo, process)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise
    ended = [record_path(loaded.folder, name, entries[name]) for name in todo]
    if process.returncode and not any(path.exists() or path.with_name("failed.txt").exists() for path in ended):
        tail = " ".join(log.read_text().split()[-40:])
        raise Problem(f"snakemake stopped: {tail} (see {log.relative_to(ROOT)})")


def watch(folder: Path, entries: dict, todo: list[str], process) -> None:
    """Follow the records as they appear: a bar on a terminal, a line per finished cell elsewhere."""
    console, started = Console(), time.monotonic()
    waiting, done = set(todo), 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task, left = bar.add_task("starting", total=len(todo), left=""), ""
        while waiting:
            ended = process.poll() is not None
            records = {name: record_path(folder, name, entries[name]) for name in sorted(waiting)}
            for name, record in records.items():
                if not record.exists() and not record.with_name("failed.txt").exists():
                    continue
                waiting.discard(name)
                done, spent = done + 1, time.monotonic() - started
                left = f"about {clock(spent / done * (len(todo) - done))} left"
                if not console.is_terminal:
                    print(f"[{done}/{len(todo)}] {clock(spent)} {name}{'' if record.exists() else '  FAILED'}, {left}", flush=True)
            running = [name for name in waiting if records[name].with_name("running").exists()]
            bar.update(task, completed=done, description=", ".join(sorted(running)) or "waiting", left=left)
            if ended:
                break
            time.sleep(POLL)
    process.wait()


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def failure(folder: Path, name: str, entries: dict) -> str:
    """Why a cell has no record, in one line."""
    path = folder / entries[name]["phase"] / name / "failed.txt"
    upstream = entries[name]["upstream"]
    if path.exists():
        return f"{name}: {path.read_text().strip()} (see {path.with_name('notebook.ipynb').relative_to(ROOT)})"
    return f"{name}: not run, as {upstream} failed" if upstream else f"{name}: not run"


def make_report(profile: str, address: str) -> None:
    """Execute the report's notebook, render it, and note in the plan of a complete study which report is its own.

    Raises Problem when the notebook fails.
    """
    from xtools import records
    from xtools.report import pages
    from xtools.run.warm import ask

    if ask(address, profile, "report"):
        raise Problem(f"{profile}: the report failed; its notebook is in runs/{profile}/report")
    cell, _ = planned(profile, "report")
    folder = ROOT / "runs" / profile
    page = folder / "report.html"
    pages.page(cell.folder / "notebook.ipynb", page, f"{profile}: report", code=False)
    found = json.loads((folder / "plan.json").read_text())
    if all(record_path(folder, name, entry).exists() for name, entry in found["cells"].items()):
        records.write_json(folder / "plan.json", found | {"report": page.stat().st_mtime_ns})


def report(profile: str) -> int:
    """Rebuild the report from the records alone."""
    from xtools import study

    loaded = study.load(profile)
    with locked(loaded.folder), cell_server() as address:
        entries = plan(loaded)["cells"]
        if old := stale(loaded.folder, entries):
            print(
                f"{len(old)} of {len(entries)} records are of other code or parameters than now; make study PROFILE={profile} runs them anew"
            )
        make_report(profile, address)
    print(f"report: runs/{profile}/report.html")
    return 0
