"""CONTRIBUTING's examples, applied to a copy of the project as a reader would: they run, and the project's own tests still pass."""

import os
import re
import subprocess
import sys

import pytest
from conftest import Project

from xtools import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
ASKING = "test_formats test_house test_study test_benchmark test_claims test_tasks"  # the tests that ask what there is
KEPT = "not learns and not null and not chance and not packed"


def examples() -> dict[str, list[tuple[str, str]]]:
    """Per example its edits, (the words that say where, the block)."""
    marked = re.findall(r"<!-- example: (\w+) -->(.*?)<!-- end -->", TEXT, re.S)
    return {name: re.findall(r"([^\n]*`[^\n]*?):\n\n```\w+\n(.*?)```", body, re.S) for name, body in marked}


EXAMPLES = examples()


def apply(folder, where: str, block: str) -> None:
    """One edit, where its words say."""
    path = folder / re.search(r"`([\w/.]+)`", where)[1]
    if where.startswith("A new file"):
        path.write_text(block)
        return
    text = path.read_text()
    if "At the end of" in where:
        path.write_text(text.rstrip("\n") + "\n" + block)
        return
    place = re.search(r"(after|before) the (?:line|words) `(.*?)`", where)
    assert place and text.count(place[2]) == 1, f"{path.name}: {where}"
    if "in the same line" in where:
        new = place[2] + block.rstrip("\n") + " "
    else:
        new = f"{place[2]}\n{block.rstrip()}" if place[1] == "after" else f"{block.rstrip()}\n\n\n{place[2]}"
    path.write_text(text.replace(place[2], new))


@pytest.fixture(scope="module")
def enlarged(tmp_path_factory):
    """The project with every example applied."""
    project = Project(tmp_path_factory.mktemp("enlarged") / "project")
    for name in (
        "tests",
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "Makefile",
        ".github",
        ".ci",
        "backbones",
    ):
        (project.folder / name).symlink_to(ROOT / name)
    for edits in EXAMPLES.values():
        for where, block in edits:
            apply(project.folder, where, block)
    return project


def test_there_is_an_example_of_everything_that_can_be_added():
    assert set(EXAMPLES) == {"tasks", "study", "format", "encoder", "claim"}
    assert all(edits for edits in EXAMPLES.values())


def test_a_study_with_the_new_tasks_format_and_claim_runs_to_its_report(enlarged):
    enlarged.write_study("all_ours", like="ours", recipes=["none", "mrpc", "stsb"])
    done = enlarged.run("study", "all_ours")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"intermediate-tiny-stsb-s0", "target-tiny-mrpc-americas_nli-s0"} <= set(enlarged.records("all_ours"))
    assert "HellaSwag harms XNLI" in (enlarged.folder / "runs/all_ours/report.html").read_text()


def test_the_projects_own_tests_pass_with_the_new_tasks(enlarged):
    files = [f"tests/{name}.py" for name in ASKING.split()]
    environment = os.environ | {"PYTHONPATH": str(enlarged.folder)}
    environment.pop("PYTEST_XDIST_WORKER", None)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-p",
        "no:xdist",
        "-o",
        "addopts=-q -p no:cacheprovider --durations=5",
        "-k",
        KEPT,
        *files,
    ]
    done = subprocess.run(command, cwd=enlarged.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
