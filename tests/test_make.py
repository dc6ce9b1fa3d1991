"""What the Makefile hands on: a user's words as they are, from any folder, to an environment that is the project's own."""

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from xtools import ROOT

PLACES = ("a clone", "it's", """it's "a" clone; touch $HOME""")
PYTHON = """#!/bin/sh
for word in "$@"; do printf '%s\\0' "$word"; done > told
printf '%s' "$PYTHONPATH" > path
"""


@pytest.fixture
def clone(tmp_path):
    """A function that makes a clone of the project in a folder of some name, with an interpreter that only tells what it is asked."""

    def make(name: str = "clone") -> Path:
        folder = tmp_path / name
        (folder / ".venv/bin").mkdir(parents=True)
        for file in ("Makefile", "requirements.lock", "requirements-slurm.lock"):
            shutil.copy(ROOT / file, folder)
        for lock in ("lock", "slurm.lock"):
            (folder / ".venv" / lock).touch()
        (folder / ".venv/bin/python").write_text(PYTHON)
        (folder / ".venv/bin/python").chmod(0o755)
        return folder

    return make


def told(folder: Path, *words: str) -> list[str]:
    """What the interpreter is asked by `make WORDS`."""
    done = subprocess.run(["make", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return (folder / "told").read_text().split("\0")[:-1]


HOSTILE = (
    "$(touch x)",
    "$(shell touch x)",
    "`touch x`",
    "a; touch x",
    "a' ; touch x '",
    'a" ; touch x "',
    "a\ntouch x",
    "$$(touch x)",
    "#",
    "*",
    "~",
)


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("target", ["study", "plan", "verify", "compare", "score", "torture", "gpu"])
def test_what_a_user_writes_is_handed_on_as_it_is_and_never_run(clone, target, word):
    names = {
        "study": ["PROFILE", "CORES", "EXECUTOR", "ENGINE"],
        "plan": ["PROFILE", "GPU"],
        "verify": ["PROFILE", "CELLS", "SEED"],
        "compare": ["A", "B"],
        "score": ["PREDICTIONS", "LABELS", "BENCHMARK"],
        "torture": ["ROUNDS", "SEED"],
        "gpu": ["GPU_OPTIONS"],
    }[target]
    folder = clone()
    there = {path.name for path in folder.iterdir()} | {"told", "path"}
    found = told(folder, target, *(f"{name}={word}" for name in names))
    if target == "gpu":
        assert found[2:] == word.split(), "several words"
    else:
        assert [one.partition("=")[2] if one.startswith("--") else one for one in found[-len(names) :]] == [word] * len(names)
    assert {path.name for path in folder.iterdir()} == there


def test_what_the_environment_has_is_no_command_either(clone):
    folder = clone()
    done = subprocess.run(["make", "study"], cwd=folder, env=os.environ | {"PROFILE": "$(shell touch x)"}, capture_output=True, text=True)
    assert done.returncode == 0 and "$(shell touch x)" in (folder / "told").read_text()
    assert not (folder / "x").exists()


@pytest.mark.parametrize("place", PLACES)
def test_a_clone_in_any_folder_runs_its_study(clone, place):
    folder = clone(place)
    assert told(folder, "study", "PROFILE=smoke") == ["-m", "xtools", "study", "smoke"]
    assert (folder / "path").read_text() == str(folder)


@pytest.mark.parametrize("in_job", [False, True])
def test_the_grid_calls_an_interpreter_in_any_folder(tmp_path, in_job):
    """Snakemake really runs a job, of which only the words are told, as its modules are none of the project's."""
    folder = tmp_path / PLACES[-1]
    (folder / "xtools/run").mkdir(parents=True)
    (folder / "runs/any").mkdir(parents=True)
    shutil.copy(ROOT / "Snakefile", folder)
    told = "import pathlib, sys; pathlib.Path('told').write_text('\\0'.join([sys.executable, *sys.argv[1:]]))\n"
    for module in ("warm", "in_job"):
        (folder / f"xtools/run/{module}.py").write_text(told)
    job = {"phase": "target", "cells": ["one", "two"], "memory": 1, "minutes": 1, "after": []}
    (folder / "runs/any/jobs.json").write_text(json.dumps({"first": job, "then": job | {"cells": ["three"], "after": ["first"]}}))
    python = interpreter(folder / ".venv")
    words = ["-m", "snakemake", "--snakefile", str(folder / "Snakefile"), "--directory", str(folder / "runs/any"), "--cores", "1"]
    words += ["--nolock", "--config", "study=any", *(["on_cpu="] if in_job else [])]
    done = subprocess.run([python, *words], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "runs/any/told").read_text().split("\0") == [python, *(["cpu"] if in_job else []), "any", "three"]
    assert {path.name for path in (folder / "runs/any/jobs/target").iterdir()} == {"first", "then"}


def interpreter(folder: Path) -> str:
    """Another environment with what this one has."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").symlink_to(Path(sys.executable).resolve())
    (folder / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    packages.mkdir(parents=True)
    (packages / "all.pth").write_text("".join(f"{path}\n" for path in site.getsitepackages()))
    return str(folder / "bin/python")


@pytest.mark.parametrize("words", [["study"], ["study", "EXECUTOR=slurm"]])
def test_an_environment_behind_a_link_is_used_where_it_has_what_is_needed(clone, tmp_path, words):
    folder = clone()
    (folder / ".venv").rename(tmp_path / "other")
    (folder / ".venv").symlink_to(tmp_path / "other")
    assert told(folder, *words)[:3] == ["-m", "xtools", "study"]


@pytest.mark.parametrize("lock", ["lock", "slurm.lock"])
def test_an_environment_behind_a_link_is_never_changed(clone, tmp_path, lock):
    folder, other = clone(), tmp_path / "other"
    (folder / ".venv").rename(other)
    (folder / ".venv").symlink_to(other)
    (other / lock).unlink()
    there = sorted(other.rglob("*"))
    done = subprocess.run(["make", "study", "EXECUTOR=slurm"], cwd=folder, capture_output=True, text=True)
    assert (
        done.returncode == 2
        and ".venv leads to an environment" in done.stderr
        and f"cp requirements{'-slurm' * (lock != 'lock')}.lock" in done.stderr
    )
    assert sorted(other.rglob("*")) == there and not (folder / "told").exists()
