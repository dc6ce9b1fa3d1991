"""`make torture`: kill a random process of a running study at a random moment, again and again, and see that nothing is lost.

Each round takes records away, starts the study, and sends KILL, TERM or HUP to one of its processes: the command, Snakemake, a cell's
client, the server, a cell, or its kernel. Then the command must end, at once where it was itself asked to; 15 seconds later no process of it
may be left; and run again, it must end well, with records that equal those of a run that nobody disturbed.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import yaml

from xtools.processes import die_with_parent
from xtools.run import trial

STUDY = {
    "like": "smoke",
    "title": "The smallest study",
    "seeds": [0],
    "recipes": ["none", "mnli"],
    "targets": ["xnli", "tatoeba"],
    "pretraining": {"documents": 100, "vocabulary": 300, "epochs": 1, "batch_size": 16, "max_length": 128, "learning_rate": 1e-3},
    "timing": {"examples": 6, "repetitions": 1},
}
NAME = "tortured"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)
TOKEN = "XTOOLS_TORTURE"  # environment variable by which all processes of a run are known, whoever is their parent
WAY_DOWN, ORPHANS, PATIENCE = 10, 15, 300  # seconds for the command to stop when asked, until all is gone, for a run to end
STARTED = 2  # seconds until Python itself has started, on a machine that is busy


@dataclass
class Project:
    """A copy of the project, in which the study is run."""

    folder: Path

    @classmethod
    def copied(cls, folder: Path) -> "Project":
        trial.copy(folder)
        (folder / "params" / f"{NAME}.yaml").write_text(yaml.safe_dump(STUDY))
        return cls(folder)

    def start(self, token: str) -> subprocess.Popen:
        told = open(self.folder / "told.txt", "w")
        environment = os.environ | {"PYTHONPATH": str(self.folder), TOKEN: token}
        command = [sys.executable, "-m", "xtools", "study", NAME]
        follow = partial(die_with_parent, os.getpid(), signal.SIGTERM)
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=told, stderr=told, start_new_session=True, preexec_fn=follow
        )

    def told(self) -> str:
        return (self.folder / "told.txt").read_text()

    def records(self) -> dict[str, dict]:
        """What each cell measured, without what differs from run to run."""
        found = {}
        for path in (self.folder / "runs" / NAME).glob("*/*/record.json"):
            record = json.loads(path.read_text())
            record["result"].pop("measured", None)
            found[path.parent.name] = {key: record[key] for key in ("fingerprint", "read", "result")}
        found.pop("report", None)
        return found

    def forget(self, draw: random.Random) -> int:
        """Take some of the records away, one at least; how many."""
        paths = sorted((self.folder / "runs" / "cells").glob("*/*/record.json"))
        chosen = draw.sample(paths, draw.randint(1, len(paths)))
        for path in chosen:
            shutil.rmtree(path.parent)
        return len(chosen)


def of_run(token: str) -> list[psutil.Process]:
    """The living processes of a run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(TOKEN) == token:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def called(process: psutil.Process, top: int, study: str = NAME) -> str:
    """What a process is in its run."""
    try:
        words = process.cmdline()
        if process.pid == top:
            return "command"
        if "snakemake" in words:
            return "Snakemake"
        if "xtools.run.warm" in words:
            return "client"
        depth = [parent.pid for parent in process.parents()].index(top)
        return ("server", "cell", "kernel")[depth] if depth < 3 and words[-2:] == ["study", study] else "helper"
    except (psutil.Error, ValueError):
        return "helper"


def ended(process: subprocess.Popen, seconds: float) -> float | None:
    """How long it took a run to end; None where it had not in so many seconds."""
    began = time.monotonic()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    return time.monotonic() - began


def disturb(project: Project, draw: random.Random, lasts: float) -> tuple[str, list[str]]:
    """One round of a study that whole `lasts` so many seconds; what was done in words, and what went wrong."""
    whole = len(project.records())
    forgotten, token, wrong = project.forget(draw), uuid.uuid4().hex, []
    run = project.start(token)
    moment, number = draw.uniform(0, lasts * (1 + forgotten) / (1 + whole)), draw.choice(SIGNALS)
    time.sleep(moment)
    there = of_run(token)
    if not there:
        return f"{forgotten} cells: ended before {moment:.1f} s", []
    victim = draw.choice(there)
    who = called(victim, run.pid)
    try:
        victim.send_signal(number)
    except psutil.Error:
        who += " (gone)"
    asked = who == "command" and number != signal.SIGKILL and moment > STARTED
    took = ended(run, WAY_DOWN if who == "command" else PATIENCE)
    if took is None:
        wrong.append("the command did not end")
        run.kill()
        run.wait()
    if "Traceback" in project.told() or "BrokenPipe" in project.told():
        wrong.append("a traceback on the terminal")
    if asked and took is not None and "PROFILE=" not in project.told() and "go on" not in project.told():
        wrong.append("not a word on how to go on")
    end = time.monotonic() + ORPHANS
    while (left := of_run(token)) and time.monotonic() < end:
        time.sleep(0.2)
    wrong += [f"left running: {called(process, run.pid)}" for process in left]
    for process in left:
        process.kill()
    return f"{forgotten} cells, {number.name} to {who} after {moment:.1f} s, ended in {took or 0:.1f} s with {run.returncode}", wrong


def again(project: Project, expected: dict[str, dict]) -> list[str]:
    """Run the study to its end; what is wrong with it then."""
    run = project.start(uuid.uuid4().hex)
    if ended(run, PATIENCE) is None:
        run.kill()
        return ["the rerun did not end"]
    if run.returncode:
        return [f"the rerun failed: {project.told().strip().splitlines()[-1:]}"]
    found = project.records()
    return [f"{name} differs" for name in expected if found.get(name) != expected[name]]


def main(words: list[str] | None = None) -> int:
    """Torture the study; the exit status: 0, or 1 when something was lost."""
    parser = argparse.ArgumentParser(prog="xtools.run.torture", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(words)
    draw, good = random.Random(asked.seed), 0
    with tempfile.TemporaryDirectory(prefix="xtools-torture-") as folder:
        project = Project.copied(Path(folder))
        began = time.monotonic()
        if wrong := again(project, {}):
            print(f"undisturbed: {'; '.join(wrong)}", file=sys.stderr)
            return 1
        lasts, expected = time.monotonic() - began, project.records()
        print(f"undisturbed: {len(expected)} cells in {lasts:.0f} s", flush=True)
        for number in range(1, asked.rounds + 1):
            what, wrong = disturb(project, draw, lasts)
            wrong += again(project, expected)
            good += not wrong
            print(f"{number}: {what}: {'; '.join(wrong) or 'nothing lost'}", flush=True)
    print(f"{good} of {asked.rounds} rounds lost nothing")
    return int(good < asked.rounds)


if __name__ == "__main__":
    sys.exit(main())
