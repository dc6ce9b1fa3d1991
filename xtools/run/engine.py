"""Run a study: let Snakemake run the cells that are missing, show progress, then make the report."""

import contextlib
import fcntl
import getpass
import os
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
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xtools import ROOT
from xtools.disk import size
from xtools.problems import Problem, nearest
from xtools.processes import SAME, die_with_parent, end_group, stop_on_signals, undisturbed
from xtools.run.plan import Plan, finished, link, plan, planned
from xtools.run.warm import ADDRESS, HELD, Server

POLL = 0.2  # seconds between looks at the records
ROUNDS = 3  # that cells may be lost in
LEFT = "xtools-"  # begins the names of temporary folders, before their engine's process


def run(profile: str, cores: int | None = None, engine: str = "", phase: str = "") -> int:
    """Run a study to its end and report; the exit status: 0, or 1 when cells failed.

    `engine` holds further words for Snakemake, such as `--executor slurm --jobs 64`. With a `phase`, only its cells and those that they
    start from are run.
    """
    if finished(profile):
        print(f"{profile}: finished, nothing to do; report: runs/{profile}/report.html")
        return 0
    from xtools import study

    loaded = study.load(profile)  # a mistake is told before what is heavy is imported
    from xtools import heads
    from xtools.run import footprint

    cores = cores or default_cores(loaded)
    if loaded.left_out:
        print(loaded.left_out_told())
    heads.check(loaded)
    fetch_first(loaded)
    heads.check(loaded)  # of what has been fetched, its weights say more
    with locked(loaded.folder), cell_server(loaded.folder / "server.log") as server:
        grid = plan(loaded, footprint.of_all(loaded))
        grid.write()
        link(grid)
        tell_cut(grid)
        todo = [name for name in grid.missing() if not phase or name in needed(grid, phase)]
        if todo:
            check(loaded, [planned(profile, name)[0] for name in todo])
            memory = footprint.room()
            print(*side_by_side(grid, todo, cores, loaded.threads, memory), sep="\n", flush=True)
            with told_when_stopped(grid, todo):
                run_cells(loaded, grid, todo, cores, server, engine, memory)
        failed = [name for name in todo if not grid.is_there(name)]
        headline = make_report(profile, server, grid)
    for name in failed:
        print(f"failed: {failure(grid, name)}")
    print(f"{headline}\nreport: runs/{profile}/report.html")
    if failed:
        print(f"{len(failed)} of {len(grid.cells)} cells failed; mend the cause and run again: only these are run")
    return 1 if failed else 0


def run_one(cell):
    """Run a cell, and before it those that it starts from, where they have no current record, each in a process of its own; its record.

    Raises Problem for a cell that the study does not have, for what it reads and is not there, and for a cell that fails, with the reason.
    """
    from xtools import records, study

    loaded = study.load(cell.study)
    if cell.name not in (names := [known.name for known in loaded.cells()]):
        raise Problem(f"cell {cell.name}: not in params/{cell.study}.yaml{nearest(cell.name, names)}")
    with locked(loaded.folder):
        grid = plan(loaded)
        grid.write()
        link(grid)
        chain = [cell.name]
        while above := grid.cells[chain[0]].upstream:
            chain.insert(0, above)
        todo = [name for name in chain if not grid.is_there(name)]
        check(loaded, [planned(cell.study, name)[0] for name in todo])
        for name in todo:
            command, environment = (
                [sys.executable, "-m", "xtools.run.warm", cell.study, name],
                os.environ | {"PYTHONPATH": str(ROOT)} | SAME,
            )
            done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
            if done.returncode:
                raise Problem(done.stderr.strip().splitlines()[-1] if done.returncode == 2 else failure(grid, name))
    return records.read(cell)


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


def run_cells(loaded, grid: Plan, todo: list[str], cores: int, server: Server, engine: str, memory: float) -> None:
    """Let Snakemake run the cells in `todo`, as many side by side as `cores` and `memory` (bytes) allow, showing what is done, what runs and
    the time left.

    Cells that are lost because their client, Snakemake or the server was killed are run again.

    Raises Problem when Snakemake stopped before any cell.
    """
    command = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(loaded.folder)]
    command += ["--cores", str(cores), "--keep-going", "--quiet", "all", "--nolock", "--drop-metadata", "--ignore-incomplete"]
    command += ["--rerun-triggers", "mtime", "--latency-wait", "5", "--config", f"study={loaded.name}", f"threads={loaded.threads}"]
    command += shlex.split(engine)
    environment, gently = os.environ | {ADDRESS: server.address, "PYTHONPATH": str(ROOT)}, signal.SIGKILL
    if "--executor" in engine:
        gently = signal.SIGINT  # upon which Snakemake takes its jobs back
        for name in (ADDRESS, "JUPYTER_RUNTIME_DIR"):
            environment.pop(name)  # a cluster's nodes reach neither this machine's server nor its folder for sockets
    else:
        command += ["--resources", f"mem_mb={max(1, int(memory / 1e6))}"]
    log, begun, left = loaded.folder / "snakemake.log", time.time(), todo
    log.unlink(missing_ok=True)
    rounds = 1 if "--executor" in engine else ROUNDS  # of jobs that a scheduler ended it knows why
    for further in reversed(range(rounds)):
        asked = [f"{grid.cells[name].phase}/{name}/record.json" for name in left]
        with open(log, "a") as file, snakemake([*asked, *command], environment, file, gently) as process:
            watch(grid, left, process, begun, server)
        left = lost(grid, todo, begun)
        if not left or not further or process.returncode > 1:  # 1: of jobs; more: it did not take its words
            break
        print(f"lost with a process that was killed, and run again: {', '.join(left)}", flush=True)
    if process.returncode and not any(ended(grid, name, begun) for name in todo):
        tail = " ".join(log.read_text().split()[-40:])
        raise Problem(f"snakemake stopped: {tail} (see {log.relative_to(ROOT)})")


@contextlib.contextmanager
def snakemake(words: list[str], environment: dict[str, str], log, gently: signal.Signals):
    """A Snakemake in a session of its own, which ends with the block, or with this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *words],
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid(), gently),
    )
    try:
        yield process
    finally:
        with undisturbed():
            end_group(process, gently, 5)


def lost(grid: Plan, names: list[str], begun: float) -> list[str]:
    """The cells that have neither come to an end nor wait for one that failed."""

    def waits_in_vain(name: str | None) -> bool:
        return name is not None and not grid.is_there(name) and (ended(grid, name, begun) or waits_in_vain(grid.cells[name].upstream))

    return [name for name in names if not grid.is_there(name) and not waits_in_vain(name)]


def ended(grid: Plan, name: str, begun: float) -> bool:
    """Whether a cell has a record, or has failed since this run began (s since 1970)."""
    failed = grid.record(name).with_name("failed.txt")
    return grid.is_there(name) or (failed.exists() and failed.stat().st_mtime >= begun)


def watch(grid: Plan, todo: list[str], process, begun: float, server: Server) -> None:
    """Follow the records as they appear: a bar on a terminal, a line per finished cell elsewhere."""
    console, started = Console(), time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task, waiting = bar.add_task("starting", total=len(todo), left=""), {name for name in todo if not ended(grid, name, begun)}
        while waiting:
            server.ensure()
            gone = process.poll() is not None  # asked first, so that nothing that it did is missed
            for name in sorted(name for name in waiting if ended(grid, name, begun)):
                waiting.discard(name)
                bar.update(task, left=time_left(started, len(todo) - len(waiting), len(todo)))
                if not console.is_terminal:
                    print(line(grid, name, started, len(todo) - len(waiting), len(todo)), flush=True)
            running = [name for name in waiting if grid.record(name).with_name("running").exists()]
            bar.update(task, completed=len(todo) - len(waiting), description=", ".join(sorted(running)) or "waiting")
            if gone:
                break
            time.sleep(POLL)
    process.wait()


def line(grid: Plan, name: str, started: float, done: int, total: int) -> str:
    """What is told of a finished cell where there is no terminal."""
    outcome = "" if grid.is_there(name) else "  FAILED"
    return f"[{done}/{total}] {clock(time.monotonic() - started)} {name}{outcome}, {time_left(started, done, total)}"


def time_left(started: float, done: int, total: int) -> str:
    """How long the other cells take if they take as long as those that are done."""
    return f"about {clock((time.monotonic() - started) / done * (total - done))} left"


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def failure(grid: Plan, name: str) -> str:
    """Why a cell has no record, in one line."""
    path, upstream = grid.record(name).with_name("failed.txt"), grid.cells[name].upstream
    if path.exists():
        return f"{name}: {path.read_text().strip()} (see {path.with_name('notebook.ipynb').relative_to(ROOT)})"
    return f"{name}: not run, as {upstream} failed" if upstream else f"{name}: not run"


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
