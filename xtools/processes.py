"""What processes owe each other: none outlives the one that it works for, and each says what it held of memory."""

import contextlib
import ctypes
import signal
from pathlib import Path

PR_SET_PDEATHSIG = 1  # of prctl(2)


def die_with_parent() -> None:
    """Let this process be killed when its parent ends, however that ends (Linux; elsewhere it lives on)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def stop_on_signals() -> None:
    """Let TERM and HUP, which schedulers and closed terminals send, end this process as Ctrl-C does: what it started is ended first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


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
