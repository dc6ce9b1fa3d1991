"""One way down, and nothing lost: signals to the command, killed processes, records that a crash cut."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid

import psutil
import pytest

from xtools.run import cell, torture

VICTIM = "target-tiny-mnli-xnli-s0"

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _hear() -> None:
    """Let signals end the command also where the tests were started by what ignores them (nohup)."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


class Running:
    """The small study, of which a cell is to be run again."""

    def __init__(self, project):
        self.project, self.token = project, uuid.uuid4().hex
        environment = os.environ | {"PYTHONPATH": str(project.folder), torture.TOKEN: self.token}
        command = [sys.executable, "-m", "xtools", "study", "micro"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True, "preexec_fn": _hear}
        self.process = subprocess.Popen(command, cwd=project.folder, env=environment, **pipes)

    def until(self, who: str) -> psutil.Process:
        """Wait for a process of that kind, and until the cell has begun."""
        while self.process.poll() is None:
            if (self.project.folder / f"runs/micro/target/{VICTIM}/running").exists():
                for process in torture.of_run(self.token):
                    if torture.called(process, self.process.pid, "micro") == who:
                        return process
            time.sleep(0.05)
        raise AssertionError(self.process.communicate()[0])

    def end(self, seconds: float) -> str:
        return self.process.communicate(timeout=seconds)[0]


@pytest.fixture
def running(own_micro):
    """A function that starts the study; what it leaves is ended."""
    own_micro.records("micro")[VICTIM].unlink()
    started = []

    def start():
        started.append(Running(own_micro))
        return started[-1]

    yield start
    for one in started:
        for process in torture.of_run(one.token):
            process.kill()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_everything_and_says_how_to_go_on(running, number):
    run = running()
    run.until("kernel")
    run.process.send_signal(number)
    told = run.end(10)
    assert run.process.returncode == 130
    assert told.splitlines()[-1] == "stopped: 0 of 1 cells are done; make study PROFILE=micro goes on"
    assert not torture.of_run(run.token)


def test_nobody_outlives_a_command_that_was_killed_and_the_next_goes_on(running):
    run = running()
    run.until("kernel")
    run.process.kill()
    run.end(10)
    end = time.monotonic() + torture.ORPHANS
    while torture.of_run(run.token) and time.monotonic() < end:
        time.sleep(0.1)
    assert not torture.of_run(run.token)
    assert run.project.run("study", "micro").returncode == 0
    assert VICTIM in run.project.records("micro")


@pytest.mark.parametrize("who", ["server", "client", "Snakemake"])
def test_what_is_lost_with_a_killed_process_is_run_again(running, who):
    run = running()
    run.until(who).kill()
    told = run.end(100)
    assert run.process.returncode == 0, told
    assert f"and run again: {VICTIM}" in told and "Broken" not in told and "Traceback" not in told
    assert VICTIM in run.project.records("micro")


def test_a_cell_that_was_killed_is_a_failed_cell_with_one_line(running):
    run = running()
    run.until("cell").kill()
    told = run.end(100)
    assert run.process.returncode == 1 and "Traceback" not in told
    assert re.search(rf"failed: {VICTIM}: killed by SIGKILL; was it out of memory\?", told)


def test_a_record_that_is_empty_or_cut_is_none_and_told(own_micro):
    paths = own_micro.records("micro")
    paths[VICTIM].write_text("")
    other = paths["target-tiny-none-udpos-s0"]
    other.write_text(other.read_text()[:-200])
    done = own_micro.run("study", "micro")
    assert done.returncode == 0 and "2 records were empty or cut" in done.stdout
    assert "[2/2]" in done.stdout and paths[VICTIM].stat().st_size > 0


def test_the_reason_of_a_failure_needs_no_room_on_the_disk(tmp_path):
    kept = tmp_path / cell.RUNNING
    kept.write_text(" " * cell.LINE)
    before = kept.stat()
    cell.leave(tmp_path, "no space left on device")
    after = (tmp_path / cell.FAILED).stat()
    assert (tmp_path / cell.FAILED).read_text() == "no space left on device\n"
    assert after.st_ino == before.st_ino and after.st_blocks <= before.st_blocks


@pytest.mark.slow
def test_five_kills_lose_nothing():
    assert torture.main(["--rounds", "5", "--seed", "1"]) == 0
