import os
import re
import subprocess
import sys

import jupytext
import pytest

from xtools import ROOT
from xtools.report import pages

PAGES = sorted((ROOT / "notebooks").glob("*.py"))


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_text_survives_the_way_through_a_notebook(path):
    text = path.read_text()
    again = jupytext.writes(jupytext.reads(text, "py:percent"), "py:percent")

    def cells(source):
        return source.split("# %%", 1)[1]

    assert cells(again) == cells(text)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_a_typed_and_commented_parameters_cell_and_short_cells(path):
    notebook = jupytext.read(path)
    code = [c for c in notebook.cells if c.cell_type == "code"]
    parameters = [c for c in code if "parameters" in c.metadata.get("tags", [])]
    assert len(parameters) == 1
    for line in parameters[0].source.splitlines():
        assert re.fullmatch(r"\w+: (str|int|float|bool) = .+  # .+", line), line
    assert all(len(c.source.splitlines()) <= 9 for c in code)
    assert sum(c.cell_type == "markdown" for c in notebook.cells) >= 3


def test_no_derived_notebook_is_kept():
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files", "*.ipynb"], capture_output=True, text=True)
    assert tracked.stdout == ""


def test_a_page_cannot_run_or_load_anything(tmp_path):
    import nbformat

    evil = '<script>alert(1)</script><img src="http://x/y.png" onerror="alert(1)"><b onclick="x()">bold</b><table><tr><td>kept</td></tr></table>'
    output = nbformat.v4.new_output("display_data", {"text/html": evil, "application/javascript": "alert(1)"})
    cell = nbformat.v4.new_code_cell("1", outputs=[output], execution_count=1)
    markdown = nbformat.v4.new_markdown_cell("# Title\n\n[link](http://example.org) <script>alert(2)</script>")
    nbformat.write(nbformat.v4.new_notebook(cells=[markdown, cell]), tmp_path / "n.ipynb")
    pages.page(tmp_path / "n.ipynb", tmp_path / "n.html", "a <title>")
    page = (tmp_path / "n.html").read_text()
    assert "kept" in page and "Title" in page
    own = re.findall(r"<script[^>]*>(.*?)</script>", page, re.S)
    assert own == ["", pages.SCRIPT] and '<script src="../../cells.js">' in page, "the order of the cells and the page's own script alone"
    assert not re.search(r"alert|onerror=|onclick=|https?://|<link|<iframe", page)
    assert re.search(r"Content-Security-Policy\" content=\"default-src 'none'; img-src data:", page)
    assert "a &lt;title&gt;" in page


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_every_notebook_runs_by_itself_on_its_defaults(path, project):
    """As in JupyterLab: on the pocket study, which has not been run, keeping no result."""
    (project.folder / "backbones").symlink_to(ROOT / "backbones")
    code = (
        f"from pathlib import Path; from xtools.run import kernels; kernels.execute(Path('notebooks/{path.name}'), {{}}, Path('n.ipynb'))"
    )
    environment = os.environ | {"PYTHONPATH": str(project.folder)}
    done = subprocess.run([sys.executable, "-c", code], cwd=project.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    written = {found.relative_to(project.folder).parts[:2] for found in (project.folder / "runs").rglob("*")}
    assert written <= {("runs", "encoded")}
