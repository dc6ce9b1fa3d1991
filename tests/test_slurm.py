"""A study's cells as jobs of a real Slurm, where one takes jobs: they come to an end, and none is lost, left or run twice."""

import collections
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from conftest import Project

from xtools.run import cell

VICTIMS = [f"target-tiny-{recipe}-{target}-s0" for recipe in ("none", "mnli", "hellaswag") for target in ("xnli", "xquad")]
PATIENCE = 300  # seconds for a job to begin, on a machine that is busy


def slurm(*words: str) -> str:
    """What one of Slurm's commands prints; nothing where it is not there, or fails."""
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


ANSWERS, PLUGIN = slurm("sinfo", "--noheader"), importlib.util.find_spec("snakemake_executor_plugin_slurm")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ANSWERS, reason="no Slurm answers here"),
    pytest.mark.skipif(not PLUGIN, reason="requirements-slurm.lock is not installed"),
]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The smoke study, as Slurm ran it: (project, what the command printed)."""
    project = Project(tmp_path_factory.mktemp("slurm") / "a project")
    ran = project.run("study", "smoke", "--executor", "slurm")
    assert ran.returncode == 0, ran.stdout + ran.stderr + (project.folder / "runs/smoke/snakemake.log").read_text()
    return project, ran.stdout


@pytest.fixture
def again(done, tmp_path):
    """A copy of the study of which some cells are to be run again, which is one job."""
    project = Project(tmp_path / "a project", like=done[0].folder)
    for name in VICTIMS:
        project.records("smoke")[name].unlink()
    yield project
    if left := live(project):
        slurm("scancel", *left)


def hear() -> None:
    """Let an interruption end the command also where the tests were started by what ignores it (a shell's `&`)."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(project) -> subprocess.Popen:
    command = [sys.executable, "-m", "xtools", "study", "smoke", "--executor", "slurm"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "start_new_session": True, "preexec_fn": hear}
    return subprocess.Popen(command, cwd=project.folder, env=os.environ | {"PYTHONPATH": str(project.folder)}, **pipes)


def job_of(project, process) -> str:
    """The number of the job in which one of the cells runs, as soon as one does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and process.poll() is None:
        for name in VICTIMS:
            path = project.folder / f"runs/smoke/target/{name}" / cell.RUNNING
            if path.exists() and (job := path.read_text().strip()):
                return job
        time.sleep(0.05)
    process.kill()
    raise AssertionError(process.communicate()[0])


def live(project) -> list[str]:
    """This copy's jobs that wait or run, by the folder that they were submitted from."""
    rows = (line.split("|") for line in slurm("squeue", "--me", "--noheader", "--states=PENDING,RUNNING", "--format=%i|%Z").splitlines())
    return [job for job, folder in rows if folder.startswith(str(project.folder))]


def submitted(project) -> list[str]:
    return re.findall(r"submitted with SLURM jobid (\d+)", (project.folder / "runs/smoke/snakemake.log").read_text())


def test_a_job_carries_the_cells_of_a_phase_and_states_what_it_takes(done):
    project, told = done
    phases = collections.Counter(path.parent.parent.name for path in project.records("smoke").values())
    assert phases == {"backbone": 2, "intermediate": 6, "target": 48, "timing": 2, "report": 1} and "report:" in told
    jobs = submitted(project)
    assert len(jobs) == 5, "one of each phase, and another for the many targets"
    for job in jobs:
        asked = slurm("scontrol", "show", "job", job)
        assert re.search(r"TimeLimit=(\d+-)?\d\d:\d\d:\d\d", asked)
        assert int(re.search(r"MinMemoryNode=(\d+)", asked)[1]) > 1000


def test_a_cancelled_job_is_run_again(again):
    process = start(again)
    slurm("scancel", job_of(again, process))
    told = process.communicate(timeout=500)[0]
    assert process.returncode == 0, told
    assert "run again: " in told and {*VICTIMS} <= set(again.records("smoke"))


def test_an_interruption_takes_all_jobs_back(again):
    process = start(again)
    job_of(again, process)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    told = process.communicate(timeout=60)[0]
    assert time.monotonic() - asked < 10 and process.returncode == 130 and "goes on" in told
    assert not live(again)


def test_jobs_that_outlive_their_submitter_are_waited_for(again):
    process = start(again)
    job = job_of(again, process)
    snakemake = next(child for child in psutil.Process(process.pid).children() if "snakemake" in child.cmdline())
    snakemake.suspend()  # or it would take the job back on its parent's end
    process.kill()
    snakemake.kill()
    process.communicate()
    assert live(again) == [job]
    then = again.run("study", "smoke", "--executor", "slurm")
    assert then.returncode == 0, then.stdout + then.stderr
    assert f"1 jobs of an earlier run are at work ({job})" in then.stdout
    assert submitted(again) == [job], "the cells came with that job, so nothing was submitted"


def test_words_that_hide_an_executor_from_the_engine_are_refused(again):
    for words in ("--executor slurm", "--profile there", "-e slurm"):
        refused = again.run("study", "smoke", "--engine", words)
        assert refused.returncode == 2 and "EXECUTOR=slurm" in refused.stderr
