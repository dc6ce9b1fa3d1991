"""Execute a paired-text notebook with papermill in a fresh, forked kernel."""

import asyncio
import contextlib
import os
import queue
import signal
import sys
import tempfile
import time
import uuid
from functools import cache
from pathlib import Path

import jupytext
import papermill
from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from papermill.exceptions import PapermillExecutionError
from traitlets import default

from xtools import ROOT
from xtools.problems import Problem
from xtools.processes import Child, die_with_parent


class ForkProvisioner(LocalProvisioner):
    """Starts a kernel by forking this process: what is imported here need not be imported again, and nothing else is shared.

    Starting Python, torch and transformers anew costs seconds per notebook; a fork costs a tenth of one. This process must have no
    other thread and must not have touched a GPU (`xtools.warm` sees to both).
    """

    async def launch_kernel(self, cmd: list[str], **kwargs):
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        sys.stdout.flush()
        sys.stderr.flush()
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            die_with_parent(parent)
            _become_kernel(arguments, kwargs.get("cwd"))
        self.process = Child(pid)  # type: ignore[assignment]  # declared as Popen, of which it has the part in use
        self.pid, self.pgid = pid, None
        return self.connection_info


def _become_kernel(arguments: list[str], cwd: str | None) -> None:
    """Run an IPython kernel in this (forked) process until it is told to stop; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what cells print goes to the notebook; the rest is how to attach a debugger
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        asyncio._set_running_loop(None)
        asyncio.set_event_loop(asyncio.new_event_loop())
        os.chdir(cwd or ROOT)
        os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
        from ipykernel.kernelapp import IPKernelApp

        app = IPKernelApp.instance(log_level="CRITICAL")  # it is interrupted before it is shut down, and would call that an error
        app.initialize(arguments)
        app.start()
        status = 0
    finally:
        os._exit(status)


class PromptClient(AsyncKernelClient):
    """A client that starts as soon as the kernel has answered: the library's own first listens a fifth of a second for stale output, of
    which a new kernel has none."""

    async def wait_for_ready(self, timeout: float | None = None) -> None:
        end = time.monotonic() + (timeout or 60)
        while time.monotonic() < end and await self.is_alive():
            self.kernel_info()
            with contextlib.suppress(queue.Empty):
                reply = await self.shell_channel.get_msg(timeout=1)
                await self.iopub_channel.get_msg(timeout=0.2)  # so that no output is lost, this channel must be there too
                self._handle_kernel_info_reply(reply)
                return
        raise RuntimeError("the kernel died or did not answer")


@cache
def _folder() -> tempfile.TemporaryDirectory:
    """Where kernels without an engine have their sockets; it goes with this process."""
    return tempfile.TemporaryDirectory(prefix=f"xtools-{os.getpid()}-")


class ForkedKernelManager(AsyncKernelManager):
    """A kernel manager whose kernels are forks of this process, reached over Unix sockets (no ports to race for)."""

    @default("client_factory")
    def _client_factory(self):
        return PromptClient

    @default("transport")
    def _transport(self):
        return "ipc"

    @default("ip")
    def _ip(self):
        """The stem of the socket files; one per kernel, in a folder whose path is short enough for Unix sockets."""
        return os.path.join(os.environ.get("JUPYTER_RUNTIME_DIR") or _folder().name, uuid.uuid4().hex[:12])

    async def _async_finish_shutdown(self, waittime=None, pollinterval=0.01, restart=False):
        """As the library's, which looks only every tenth of a second whether the kernel has ended."""
        await super()._async_finish_shutdown(waittime, pollinterval, restart)

    async def _async_pre_start_kernel(self, **kwargs):
        self.provisioner = ForkProvisioner(parent=self, kernel_id=self.kernel_id, kernel_spec=self.kernel_spec)
        return await super()._async_pre_start_kernel(**kwargs)

    pre_start_kernel = _async_pre_start_kernel


def execute(source: Path, parameters: dict, output: Path) -> None:
    """Execute a notebook (py:percent text or .ipynb) with parameters; the executed one is kept at `output`, failed or not.

    Raises Problem with the last line of the traceback when a cell fails, or when the kernel dies.
    """
    notebook = jupytext.read(source)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for cell in notebook.cells:
        cell.metadata.setdefault("tags", [])
    try:
        papermill.execute_notebook(
            notebook,
            str(output),
            parameters=parameters,
            kernel_manager_class=ForkedKernelManager,
            progress_bar=False,
            cwd=str(ROOT),
        )
    except PapermillExecutionError as error:
        message = " ".join(error.evalue.split())
        raise Problem(message if error.ename == "Problem" else f"{error.ename}: {message}") from error
    except RuntimeError as error:  # nbclient's DeadKernelError: the kernel was killed, by the system when memory ran out
        raise Problem("its kernel died; was it out of memory? Try fewer cells at once (CORES=1) or a smaller batch_size") from error
    if any(c.cell_type == "code" and c.execution_count is None for c in papermill.iorw.load_notebook_node(str(output)).cells if c.source):
        raise Problem("its kernel died before the last cell; was it out of memory? Try fewer cells at once (CORES=1)")
