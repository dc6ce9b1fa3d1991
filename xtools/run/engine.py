"""Run a study: let Snakemake run the cells that are missing, show progress, then make the report."""

import contextlib
import fcntl
import getpass
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import psutil

from xtools import ROOT
from xtools.disk import size
from xtools.problems import Problem
from xtools.processes import die_with_parent, end_group, stop_on_signals, undisturbed
from xtools.run import jobs
from xtools.run.plan import Plan, finished, link, plan, planned
from xtools.run.progress import Told
from xtools.run.warm import ADDRESS, HELD, Server

POLL = 0.2  # seconds between looks at the records
ROUNDS = 3  # that cells may be lost in
LEFT = "xtools-"  # begins the names of temporary folders, before their engine's process


def run(profile: str, cores: int | None = None, engine: str = "", phase: str = "", executor: str = "") -> int:
    """Run a study to its end and report; the exit status: 0, or 1 when cells failed.

    `executor` names one of Snakemake's, which runs the cells as jobs elsewhere; `engine` holds further words for Snakemake. With a `phase`,
    only its cells and those that they start from are run.
    """
    check_words(engine)
    if finished(profile):
        print(f"{profile}: finished, nothing to do; report: runs/{profile}/report.html")
        return 0
    from xtools import study

    loaded = study.load(profile)  # a mistake is told before what is heavy is imported
    from xtools import heads
    from xtools.run import footprint
    from xtools.run.cluster import Cluster

    cluster = Cluster(executor, loaded) if executor else None
    if loaded.left_out:
        print(loaded.left_out_told())
    heads.check(loaded)
    fetch_first(loaded)
    heads.check(loaded)  # of what has been fetched, its weights say more
    with locked(loaded.folder), cell_server(loaded.folder / "server.log") as server:
        if cluster:
            cluster.settle()
        grid = plan(loaded, footprint.of_all(loaded))
        grid.write()
        link(grid)
        tell_cut(grid)
        todo = [name for name in grid.missing() if not phase or name in needed(grid, phase)]
        if todo:
            check(loaded, [planned(profile, name)[0] for name in todo])
            with told_when_stopped(grid, todo):
                if cluster:
                    print(f"{len(todo)} cells, as jobs through {executor}; what it is told: runs/{profile}/snakemake.log", flush=True)
                    words = cluster.words(cores)
                else:
                    cores, memory = cores or default_cores(loaded), footprint.room()
                    print(*side_by_side(grid, todo, cores, loaded.threads, memory), sep="\n", flush=True)
                    words = f"--executor local --cores {cores} --quiet all --resources mem_mb={max(1, int(memory / 1e6))}".split()
                run_cells(loaded, grid, todo, words + shlex.split(engine), server, cluster)
        failed = [name for name in todo if not grid.is_there(name)]
        headline = make_report(profile, server, grid)
    for name in failed:
        print(f"failed: {failure(grid, name)}")
    print(f"{headline}\nreport: runs/{profile}/report.html")
    if failed:
        print(f"{len(failed)} of {len(grid.cells)} cells failed; mend the cause and run again: only these are run")
    return 1 if failed else 0


def check_words(engine: str) -> None:
    """Raises Problem for words to Snakemake that say where cells run, which this engine must know of."""
    if taken := re.search(r"(?<!\S)(--executor|-e|--profile|--workflow-profile|--jobs|-j)(?![\w-])", engine):
        raise Problem(f"ENGINE: {taken[0]} is not for it; EXECUTOR=slurm runs cells as jobs, by what profiles/slurm/config.yaml says")


@contextlib.contextmanager
def told_when_stopped(grid: Plan, todo: list[str]):
    """An interruption says what is done, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        done = sum(map(grid.is_there, todo))
        raise KeyboardInterrupt(f"stopped: {done} of {len(todo)} cells are done; make study PROFILE={grid.folder.name} goes on") from None


def fetch_first(loaded) -> None:
    """Download what the study takes from the Hub and was not fetched, once and in sight, before its cells start. Of what was fetched in part
    the rest is of the same commit: `make fetch` alone goes on to newer ones."""
    from xtools.run import fetch, lacking

    if not fetch.is_offline() and any(lacking.due(loaded)[:2]):
        fetch.run(loaded, newest=False)


def tell_cut(grid: Plan) -> None:
    """Remove records that are none, and say so."""
    if cut := grid.drop_cut():
        print(f"{len(cut)} records were empty or cut, and count as none: {', '.join(cut)}")


def check(loaded, cells: list) -> None:
    """Raises Problem, having told each by name, when something that cells read is not there; then none of them is run."""
    from xtools.run import lacking

    if lines := lacking.of(loaded, cells):
        print(*lines, sep="\n")
        raise Problem(
            f"{loaded.name}: {len(lines)} of the things that it reads are not there, so nothing was run; mend that, and run again"
        )


def needed(grid: Plan, phase: str) -> set[str]:
    """The cells of a phase, and all that they start from."""
    names, queue = set(), [name for name, entry in grid.cells.items() if entry.phase == phase]
    while queue:
        name = queue.pop()
        names.add(name)
        queue += [grid.cells[name].upstream] if grid.cells[name].upstream else []
    return names


def default_cores(loaded) -> int:
    """Cells at a time: one per core on a CPU, one per GPU where there are GPUs."""
    import torch

    from xtools import encoder

    gpu = encoder.choose_device(loaded.device).type == "cuda"
    return torch.cuda.device_count() if gpu else len(os.sched_getaffinity(0))


def side_by_side(grid: Plan, todo: list[str], cores: int, threads: int, memory: float) -> list[str]:
    """How many cells run at a time, and why; then those that expect more memory (bytes) than there is, which run alone."""
    most = max(todo, key=lambda name: grid.cells[name].memory)
    held, room = (grid.cells[most].memory, max(1, cores // threads))
    fit = max(1, int(memory / held)) if held else room
    told = f"{cores} cores and {size(memory)} of memory, of which a cell takes {size(held)} at most ({most})"
    lines = [f"{len(todo)} cells, at least {min(room, fit, len(todo))} at a time: {told}"]
    if held > memory:
        how = "a smaller max_length, gradient_checkpointing: true, or a smaller evaluation.test where it is searched"
        lines.append(f"{most} may need {size(held)} of memory, more than is free; it runs alone, and less of it takes {how}")
    return lines


@contextlib.contextmanager
def locked(folder: Path):
    """Only one run of a study at a time; the lock names its holder's process, and goes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise Problem(f"{folder.name}: another run of this study is under way (process {holder}); wait for it, or stop it") from None
        file.truncate(0)
        file.write(f"{os.getpid()}")
        file.flush()
        HELD.append(file.fileno())
        try:
            yield
        finally:
            HELD.remove(file.fileno())


@contextlib.contextmanager
def cell_server(log: Path | None = None):
    """A server of warm cells, which writes to `log` (None: to the terminal). It and all that it started end with the block; what it left in
    the temporary folder goes too, and what was left there by an engine that is dead."""
    stop_on_signals()
    sweep()
    with tempfile.TemporaryDirectory(prefix=f"{LEFT}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        os.environ["JUPYTER_RUNTIME_DIR"] = folder  # connection files and sockets: a short path, removed at the end
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = "1"
        server = Server(str(Path(folder, "server")), log)
        try:
            yield server
        finally:
            with undisturbed():
                server.stop()


def sweep() -> None:
    """Remove the temporary folders of engines that are dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{LEFT}[0-9]*-*"):
        holder = folder.name.removeprefix(LEFT).partition("-")[0]
        if holder.isdigit() and folder.owner() == getpass.getuser() and not psutil.pid_exists(int(holder)):
            shutil.rmtree(folder, ignore_errors=True)


def run_cells(loaded, grid: Plan, todo: list[str], words: list[str], server: Server, cluster) -> None:
    """Let Snakemake run the cells in `todo`, here or as jobs of a `cluster`, showing what is done, what runs and the time left; `words` tell
    it where, and how many at a time.

    Cells that are lost because their client, Snakemake, the server or their job was ended are run again, and so are those that a failed one
    in the same job, or in one before, kept from running.

    Raises Problem when Snakemake stopped before any cell.
    """
    command = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(loaded.folder)]
    command += ["--keep-going", "--nolock", "--drop-metadata", "--ignore-incomplete", "--rerun-triggers", "mtime"]
    command += [*words, "--config", f"study={loaded.name}", f"threads={loaded.threads}"]
    environment, gently = os.environ | {ADDRESS: server.address, "PYTHONPATH": str(ROOT)}, signal.SIGKILL
    if cluster:
        command += [f"on_cpu={' '.join(cluster.on_cpu())}"]
        gently = signal.SIGINT  # upon which Snakemake takes its jobs back
        for name in (ADDRESS, "JUPYTER_RUNTIME_DIR"):
            environment.pop(name)  # a cluster's nodes reach neither this machine's server nor its folder for sockets
    log, begun, left, tries = loaded.folder / "snakemake.log", time.time(), todo, ROUNDS
    log.unlink(missing_ok=True)
    while left and tries:
        before = left
        jobs.write(grid, cluster.jobs(grid, left) if cluster else jobs.of_a_cell_each(grid, left))
        with open(log, "a") as file, snakemake(command, environment, file, gently, cluster) as process:
            watch(grid, left, process, begun, server, cluster)
        left = lost(grid, todo, begun)
        tries -= len(left) == len(before)
        if cluster:
            cluster.explain(grid, left, last=not tries)
            left = lost(grid, todo, begun)
        if process.returncode > 1:  # 1: of jobs; more: it did not take its words
            break
        if left and tries:
            told = "not come to, or lost with their job" if cluster else "lost with a process that was killed"
            print(f"{told}, and run again: {', '.join(left)}", flush=True)
    if process.returncode and not any(ended(grid, name, begun) for name in todo):
        tail = " ".join(log.read_text().split()[-40:])
        raise Problem(f"snakemake stopped: {tail} (see {log.relative_to(ROOT)})")


@contextlib.contextmanager
def snakemake(words: list[str], environment: dict[str, str], log, gently: signal.Signals, cluster=None):
    """A Snakemake in a session of its own, which ends with the block, or with this process, and takes what it submitted with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=partial(follow, os.getpid(), gently),
    )
    try:
        yield process
    finally:
        with undisturbed():
            if cluster and process.poll() is None:
                cluster.cancel()
            end_group(process, gently, 2)
            if cluster:
                cluster.cancel()  # what was submitted meanwhile


def follow(parent: int, gently: signal.Signals) -> None:
    """Let a process hear the signal by which it is asked to end, also where this one was started to ignore it, and get it with its parent's end."""
    if gently != signal.SIGKILL:
        signal.signal(gently, signal.SIG_DFL)
    die_with_parent(parent, gently)


def lost(grid: Plan, names: list[str], begun: float) -> list[str]:
    """The cells that have neither come to an end nor wait for one that failed."""

    def waits_in_vain(name: str | None) -> bool:
        return name is not None and not grid.is_there(name) and (ended(grid, name, begun) or waits_in_vain(grid.cells[name].upstream))

    return [name for name in names if not grid.is_there(name) and not waits_in_vain(name)]


def ended(grid: Plan, name: str, begun: float) -> bool:
    """Whether a cell has a record, or has failed since this run began (s since 1970)."""
    failed = grid.record(name).with_name("failed.txt")
    return grid.is_there(name) or (failed.exists() and failed.stat().st_mtime >= begun)


def watch(grid: Plan, todo: list[str], process, begun: float, server: Server, cluster=None) -> None:
    """Follow the records as they appear, until Snakemake ends, or waits in vain, and tell of them."""
    with Told(grid, [name for name in todo if not ended(grid, name, begun)]) as told:
        while told.waiting:
            server.ensure()
            gone = process.poll() is not None  # asked first, so that nothing that it did is missed
            for name in sorted(name for name in told.waiting if ended(grid, name, begun)):
                told.ended(name)
            told.running([name for name in told.waiting if grid.record(name).with_name("running").exists()])
            if gone:
                break
            if cluster and cluster.is_idle():
                return
            time.sleep(POLL)
    if told.waiting or not cluster or not cluster.is_drained():
        process.wait()


def failure(grid: Plan, name: str) -> str:
    """Why a cell has no record, in one line."""
    path, upstream = grid.record(name).with_name("failed.txt"), grid.cells[name].upstream
    if path.exists():
        return f"{name}: {path.read_text().strip()} (see {path.with_name('notebook.ipynb').relative_to(ROOT)})"
    return f"{name}: not run, as {upstream} failed" if upstream and not grid.is_there(upstream) else f"{name}: not run"


def make_report(profile: str, server: Server, grid: Plan | None = None) -> str:
    """Execute the report's notebook, render it, and its index of all notebooks, and note in the plan of a complete study which report is its
    own; returns the headline.

    Raises Problem when the notebook fails.
    """
    from xtools import records, study
    from xtools.report import pages

    cell, *_ = planned(profile, "report")
    cell.record.unlink(missing_ok=True)
    if server.ask(profile, "report"):
        raise Problem(f"{profile}: the report failed; its notebook is in runs/{profile}/report")
    page = ROOT / "runs" / profile / "report.html"
    pages.page(cell.folder / "notebook.ipynb", page, f"{profile}: report", code=False)
    pages.site(study.load(profile, needs_data=False))
    if grid and not grid.missing():
        grid.report = page.stat().st_mtime_ns
        grid.write()
    return records.read(cell).result.headline


def report(profile: str) -> int:
    """Rebuild the report from the records alone: the current ones, where there is none that of the last run, and for a study of which nothing
    was run here those that are kept with the project."""
    from xtools import study
    from xtools.run import keep

    loaded = study.load(profile, needs_data=not keep.has(profile))
    with locked(loaded.folder), cell_server(loaded.folder / "server.log") as server:
        if keep.has(profile) and (kept := keep.restore(loaded)):
            print(f"{kept} records came with the project, in results/{profile}; nothing of it was run here")
            headline = make_report(profile, server)
        else:
            grid = plan(loaded)
            tell_cut(grid)
            link(grid, only_current=True)
            if old := [name for name in grid.cells if grid.record(name).exists() and not grid.is_there(name)]:
                print(
                    f"{len(old)} of {len(grid.cells)} records are of other code or parameters; make study PROFILE={profile} runs them anew"
                )
            headline = make_report(profile, server, grid)
    print(f"{headline}\nreport: runs/{profile}/report.html")
    return 0
