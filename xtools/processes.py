"""What processes owe each other: none outlives the one that it works for."""

import contextlib
import ctypes
import signal

PR_SET_PDEATHSIG = 1  # of prctl(2)


def die_with_parent() -> None:
    """Let this process be killed when its parent ends, however that ends (Linux; elsewhere it lives on)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def stop_on_signals() -> None:
    """Let TERM and HUP, which schedulers and closed terminals send, end this process as Ctrl-C does: what it started is ended first."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
