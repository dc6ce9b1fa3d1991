"""Warm cells: a server that has imported everything forks one process per cell; `python -m xtools.run.warm STUDY CELL` asks it to.

Without a server (a cluster's compute node, a cell run by hand) the same command runs the cell in its own process.
"""

import contextlib
import fcntl
import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path

from xtools.processes import die_with_parent

ADDRESS = "XTOOLS_WARM"  # environment variable that holds the server's socket
SHARED = 0.9e9  # bytes that cells share: the server with all that it has imported, and the processes that run it
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
    from transformers import AutoModelForMaskedLM, AutoTokenizer, XLMRobertaForMaskedLM  # noqa: F401

    from xtools import cells, features, finetuning, scoring, timing  # noqa: F401
    from xtools.report import plots  # noqa: F401
    from xtools.run import cell, fingerprints  # noqa: F401

    features.code("xnli")  # the code is parsed here, not again in every cell


def serve(address: str) -> None:
    """Fork one child per request until killed; a request is the JSON list [study, cell], the answer one byte, the exit status."""
    preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # finished children need no wait
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        while True:
            connection, _ = server.accept()
            asked = json.loads(connection.makefile().readline())
            read_tokenizer(*asked)
            if os.fork() == 0:
                die_with_parent()
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                status = run(*asked)
                connection.sendall(bytes([status]))
                os._exit(status)
            connection.close()


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
                cell.execute(*plan.planned(profile, name))
    except Problem as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


@contextlib.contextmanager
def own_gpu():
    """Give this process, and the kernels it forks, one GPU that no other cell on this machine has; nothing where there is none.

    A GPU is taken by locking a file, which the system unlocks when the process ends, however it ends.
    """
    import torch

    count = torch.cuda.device_count()
    visible = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu] or [str(i) for i in range(count)]
    while count:
        for gpu in visible:
            with open(Path(tempfile.gettempdir(), f"xtools-gpu-{gpu}.lock"), "w") as file, contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.environ["CUDA_VISIBLE_DEVICES"] = gpu
                yield
                return
        time.sleep(0.2)
    yield


def ask(address: str, profile: str, name: str) -> int:
    """Ask the server to run a cell, waiting for the server to come up; the cell's exit status."""
    for _ in range(600):
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(address)
                client.sendall(json.dumps([profile, name]).encode() + b"\n")
                return (client.recv(1) or b"\1")[0]
        except (FileNotFoundError, ConnectionRefusedError):
            time.sleep(0.1)
    print(f"{name}: the cell server did not come up", file=sys.stderr)
    return 1


if __name__ == "__main__":
    address = os.environ.get(ADDRESS)
    sys.exit(ask(address, *sys.argv[1:]) if address else run(*sys.argv[1:]))
