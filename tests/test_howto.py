"""The guides: each runs as it stands, leaves nothing behind, is told in short cells, and does what it says in as few lines as it says."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import jupytext
import nbformat
import pytest
from conftest import Project

from xtools import ROOT

GUIDES = sorted((ROOT / "notebooks" / "howto").glob("*.py"))
STEMS = {path.stem for path in GUIDES}
HOME = (ROOT / "README.md").resolve().parent


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The project in a folder of its own, with what the guides read and nothing that was run."""
    project = Project(tmp_path_factory.mktemp("guides") / "project")
    for name in ("backbones", "results"):
        (project.folder / name).symlink_to(ROOT / name)
    return project


@pytest.fixture
def temporary():
    """A temporary folder of a short name: sockets of kernels lie in it, and their paths must be short."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def execute(copied, name: str, temporary) -> tuple[str, nbformat.NotebookNode]:
    """A guide as it was run in the copy: what its cells print and show, in one text, and the notebook."""
    output = temporary / "guide.ipynb"
    code = f"from pathlib import Path; from xtools.run import kernels; kernels.execute(Path('notebooks/howto/{name}.py'), {{}}, Path({str(output)!r}))"
    environment = os.environ | {"PYTHONPATH": str(copied.folder), "TMPDIR": str(temporary)}
    done = subprocess.run([sys.executable, "-c", code], cwd=copied.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    notebook = nbformat.read(output, as_version=4)
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    return "\n".join(out.get("text", "") or out.get("data", {}).get("text/plain", "") for out in outputs), notebook


SAID = {  # what of each guide's outputs shows that it did what it is for
    "add_a_task": r"\['de', 'en', 'fr'\](.|\n)*3 of 3 cells are there(.|\n)*'en': '(9\d|100)%'(.|\n)*names the task [1-9]\d+ times",
    "add_an_encoder": r"report: runs/depths(.|\n)*whole: [\d,]+ weights(.|\n)*lower: (.|\n)*layer: unknown key; did you mean layers",
    "add_a_claim": r"eight(.|\n)*twelve(.|\n)*undecided(.|\n)*Interval\(mean",
    "use_your_own_files": r"die Kiste(.|\n)*7 is outside 0\.\.2(.|\n)*report: runs/own/report.html(.|\n)*'mnli': \{'de': \d+, 'en': \d+\}",
    "run_offline": r"not there, so nothing was run(.|\n)*report: runs/small(.|\n)*finished, nothing to do(.|\n)*exit status 0",
    "compare_records": r"\d+ records(.|\n)*report: runs/twice(.|\n)*cell in common",
    "use_from_your_code": r"run_cell(.|\n)*contradicted(.|\n)*ms an example(.|\n)*'qac'(.|\n)*50\.0(.|\n)*did you mean",
}


@pytest.mark.parametrize("name", sorted(STEMS))
def test_a_guide_runs_shows_what_it_says_and_leaves_nothing_behind(name, copied, temporary):
    told, notebook = execute(copied, name, temporary)
    assert re.search(SAID[name], told), told
    assert not [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "error"]
    written = [path for path in (copied.folder / "runs").rglob("*") if path.is_file()]
    assert not written, "a guide writes into its own copy of the project alone"
    assert not list(temporary.glob("xtools-trial-*")), "which goes with it"


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide_is_short_cells_with_prose_between_and_survives_jupytext(path):
    notebook = jupytext.read(path)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    own = [re.sub(r'"""\n(.|\n)*?"""', '""', source) for source in code]  # files that a cell writes count as one line
    assert all(sum(bool(line.strip()) for line in source.splitlines()) <= 8 for source in own)
    assert not [source for source in own if re.search(r"^\s*(if|while)\b", source, re.M)]
    assert sum(cell.cell_type == "markdown" for cell in notebook.cells) >= len(code) / 2
    again = jupytext.writes(jupytext.reads(path.read_text(), "py:percent"), "py:percent")
    assert again.split("# %%", 1)[1] == path.read_text().split("# %%", 1)[1]


def test_a_new_task_needs_at_most_thirty_lines():
    text = (ROOT / "notebooks" / "howto" / "add_a_task.py").read_text()
    entry, study = (re.search(rf'^{name} = """\n(.*?)"""', text, re.M | re.S)[1].splitlines() for name in ("ENTRY", "STUDY"))
    lines = len(entry) + len(study) + len(["layout.describe(folder)", "make study PROFILE=topics"])
    assert 5 < lines <= 30
    assert f"to the report in {lines} lines" in (HOME / "README.md").read_text()


def test_the_readme_lists_every_guide_in_a_line():
    readme = (HOME / "README.md").read_text()
    assert STEMS == set(re.findall(r"^- \[[^]]+\]\(notebooks/howto/(\w+)\.py\)", readme, re.M)) == set(SAID)
