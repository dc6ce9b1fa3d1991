"""Warm cells: a server that has imported everything forks one process per cell; `python -m xtools.run.warm STUDY CELL` asks it to.

Without a server (a cluster's compute node, a cell run by hand) the same command runs the cell in its own process.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from xtools.processes import STOPS, Child, die_with_parent, end_group

ADDRESS = "XTOOLS_WARM"  # environment variable that holds the socket of the engine's server
JOB = "XTOOLS_JOB"  # environment variable of cells in a scheduler's job: `gpu` where it asked for one, else `cpu`
HELD: list[int] = []  # descriptors of the engine's locks, which no child may keep
SHARED = 0.9e9  # bytes that cells share: the server with all that it has imported, and the processes that run it
DRIVER = 3e9  # what a process that computes on a GPU holds beside: CUDA's libraries, and the host's side of copies
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # nobody debugs these kernels: no warning that it would be hard
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # counting GPUs must not start CUDA here: forks could not use it then


def preload() -> None:
    """Import what the notebooks use. Nothing here may start a thread or touch a GPU: forks would inherit a broken state."""
    import datasets  # noqa: F401
    import ipykernel.debugger
    import ipykernel.kernelapp  # noqa: F401
    import IPython  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import pandas  # noqa: F401
    import seaborn  # noqa: F401
    import seqeval.metrics  # noqa: F401
    from transformers import AutoModelForMaskedLM, AutoTokenizer, CLIPVisionModel, XLMRobertaForMaskedLM  # noqa: F401

    from xtools import cells, features, finetuning, packing, scoring, timing  # noqa: F401
    from xtools.report import plots  # noqa: F401
    from xtools.run import cell, fingerprints  # noqa: F401

    packing.register()
    features.code("xnli")  # the code is parsed here, not again in every cell


def serve(address: str) -> None:
    """Fork one child per request until killed; a request is the JSON list [study, cell], the answer one byte, the exit status.

    An end without an answer means that this process was lost, and all its cells with it. Of a cell that was killed alone it tells.
    """
    preload()
    with socket.socket(socket.AF_UNIX) as server, contextlib.suppress(FileNotFoundError):
        server.bind(address)  # without its folder, whose end is the engine's, there is nobody to serve
        server.listen(64)
        wake, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # that it arrives is written to the pipe
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        under_way: dict[int, tuple[socket.socket, list[str]]] = {}
        while True:
            ready, _, _ = select.select([server.fileno(), wake], [], [])
            if wake in ready:
                os.read(wake, 512)
            for pid, status in ended_children():
                if pid in under_way:
                    answer(*under_way.pop(pid), status)
            if server.fileno() in ready:
                connection, _ = server.accept()
                with contextlib.suppress(OSError, ValueError):  # who asked is gone
                    asked = json.loads(connection.makefile().readline())
                    read_tokenizer(*asked)
                    under_way[fork(asked, [server, connection, *(other for other, _ in under_way.values())])] = connection, asked


def fork(asked: list[str], held: list[socket.socket]) -> int:
    """A child that runs what was asked, without the server's connections; its process id."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        die_with_parent(parent)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for connection in held:
            connection.close()
        os._exit(run(*asked))
    return pid


def ended_children() -> Iterator[tuple[int, int]]:
    """Children that have ended since, with their exit status, minus the signal's number where one ended them."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            yield found[0], os.waitstatus_to_exitcode(found[1])


def answer(connection: socket.socket, asked: list[str], status: int) -> None:
    """Tell who asked how a cell ended; of one that a signal ended, leave the reason, which it could not leave itself."""
    from xtools.run import cell, plan

    if status < 0 and not asked[0].endswith(".ipynb"):
        with contextlib.suppress(Exception):
            name = signal.Signals(-status).name
            mended = "Set more `mem_mb` in the cluster's profile" if JOB in os.environ else "Try fewer cells at once (CORES=1)"
            told = f"killed by {name}" + (f"; was it out of memory? {mended}" if status == -signal.SIGKILL else "")
            cell.leave(plan.planned(*asked)[0].folder, told)
    with contextlib.suppress(OSError), connection:
        connection.sendall(bytes([status if status >= 0 else 1]))


def read_tokenizer(profile: str, name: str) -> None:
    """Read here what a cell's tokenizer is, for all cells after it: one of XLM-R's vocabulary takes seconds. What is wrong, the cell tells."""
    from xtools import cells, study
    from xtools.run import plan

    with contextlib.suppress(Exception):
        cell, *_ = plan.planned(profile, name)
        if cell.phase != "report":
            cells.Run(study.load(profile), cell, None).read_tokenizer()


def run(profile: str, name: str) -> int:
    """Run one cell here; its exit status, 0, or 2 after a Problem, told in one line.

    With the path of an .ipynb file for a profile, that notebook is executed to the path `name` and nothing is recorded (`make bench`).
    """
    from xtools.problems import Problem
    from xtools.run import cell, kernels, plan

    try:
        with own_gpu():
            if profile.endswith(".ipynb"):
                kernels.execute(Path(profile), {}, Path(name))
            else:
                asked, fingerprint, memory = plan.planned(profile, name)
                cell.execute(asked, fingerprint, memory, needs_gpu=os.environ.get(JOB) == "gpu")
    except Problem as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    except BaseException:
        traceback.print_exc()  # into the server's log
        return 1
    return 0


@contextlib.contextmanager
def own_gpu():
    """Give this process, and the kernels it forks, one GPU that no other cell on this machine has; nothing where there is none.

    A GPU is taken by locking a file, which the system unlocks when the process ends, however it ends. In a job its scheduler gives it.
    """
    import torch

    if JOB in os.environ:
        yield
        return

    count = torch.cuda.device_count()
    visible = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu] or [str(i) for i in range(count)]
    folder = Path(tempfile.gettempdir(), f"xtools-gpus-{os.getuid()}")  # a user's own
    while count:
        folder.mkdir(mode=0o700, exist_ok=True)
        for gpu in visible:
            with open(folder / f"{gpu}.lock", "w") as file, contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu
                yield
                return
        time.sleep(0.2)
    yield


LOST = 75  # exit status of a cell whose server was lost (EX_TEMPFAIL of sysexits.h): it may be asked for again


def ask(address: str, profile: str, name: str, meanwhile: Callable[[], None] = lambda: None) -> int:
    """Ask the server to run a cell, waiting for the server to come up; the cell's exit status, or LOST. `meanwhile` is called as it waits."""
    for _ in range(6000 if JOB in os.environ else 600):  # the first import from a cluster's disk may take minutes
        meanwhile()
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(address)
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.1)
                continue
            try:
                client.sendall(json.dumps([profile, name]).encode() + b"\n")
                while not select.select([client], [], [], 0.2)[0]:
                    meanwhile()
                return (client.recv(1) or bytes([LOST]))[0]
            except OSError:
                return LOST
    print(f"{name}: the cell server did not come up", file=sys.stderr)
    return LOST


class Server:
    """The engine's side of a server of warm cells: a child in a session of its own, which is started again when it is lost. What it and its
    cells have to say goes to a file (None: to the terminal)."""

    def __init__(self, address: str, log: Path | None):
        self.address, self.log = address, log
        self.start()

    def start(self) -> None:
        Path(self.address).unlink(missing_ok=True)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                for number in STOPS:
                    signal.signal(number, signal.SIG_DFL)
                die_with_parent(parent)
                for lock in HELD:
                    os.close(lock)  # or it would be held as long as the server lives
                if self.log:
                    os.dup2(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
                    os.dup2(2, 1)
                serve(self.address)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        self.process = Child(pid)

    def ensure(self) -> None:
        """Start it again where it was lost."""
        if self.process.poll() is not None:
            self.start()

    def ask(self, profile: str, name: str) -> int:
        """As `ask`, of another server where one was lost; LOST after three."""
        status = LOST
        for _ in range(3):
            self.ensure()
            status = ask(self.address, profile, name, meanwhile=self.ensure)
            if status != LOST:
                break
        return status

    def stop(self) -> None:
        """End it and all that it started."""
        end_group(self.process, signal.SIGKILL, 5)


if __name__ == "__main__":
    die_with_parent()
    profile, name = sys.argv[1:]
    sys.exit(ask(os.environ[ADDRESS], profile, name) if os.environ.get(ADDRESS) else run(profile, name))
