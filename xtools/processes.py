"""What processes owe each other: none outlives the one that it works for, and each says what it held of memory."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

SAME = {"PYTHONHASHSEED": "0", "TOKENIZERS_PARALLELISM": "false"}  # the environment that make sets
PR_SET_PDEATHSIG = 1  # of prctl(2)


def die_with_parent(parent: int | None = None, number: signal.Signals = signal.SIGKILL) -> None:
    """Let this process get a signal when its parent ends, however that ends, and now where it is not `parent` any more (Linux; elsewhere it
    lives on)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)


STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # what Ctrl-C, schedulers and closed terminals send


def stop_on_signals() -> None:
    """Let each of `STOPS` end this process as Ctrl-C does: what it started is ended first. One that it was started to ignore, as by nohup,
    it ignores."""
    for number in STOPS:
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


@contextlib.contextmanager
def undisturbed():
    """Let no further signal of `STOPS` interrupt the block, which ends what this process started."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


class Child:
    """A forked child with the part of subprocess.Popen's interface that the engine and Jupyter's local provisioner use."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int):
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def end_group(leader: Child | subprocess.Popen, gently: signal.Signals, seconds: float) -> None:
    """End a child that leads a process group, and all of the group: with a signal, and what is not gone in so many seconds, for good."""
    end = time.monotonic() + seconds
    _to_group(leader.pid, gently)
    while leader.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    _to_group(leader.pid, signal.SIGKILL)
    leader.wait()


def _to_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def own_peak() -> int | None:
    """Bytes at most of this process's memory so far that are its own: the kernel's peak, less the pages that it now shares with others or
    that lie in files, which the system takes back as it needs. None where the system does not say (elsewhere than on Linux)."""
    try:
        peak = _kilobytes("/proc/self/status")["VmHWM"]
        now = _kilobytes("/proc/self/smaps_rollup")
    except (OSError, KeyError):
        return None
    return 1024 * (peak - now["Rss"] + now["Private_Dirty"])


def _kilobytes(path: str) -> dict[str, int]:
    """The sizes (kB) that a file of /proc gives by name."""
    words = (line.split() for line in Path(path).read_text().splitlines())
    return {name.rstrip(":"): int(value) for name, value, *unit in (w for w in words if len(w) == 3) if unit == ["kB"]}
