"""One cell: what it leaves when it succeeds, fails, or was run by somebody else meanwhile."""

import json

import pytest

from xtools import records, study
from xtools.problems import Problem
from xtools.results import Backbone, Size
from xtools.run import cell as cells
from xtools.run import fingerprints
from xtools.study import Cell

CELL = Cell("any", "backbone", "tiny", seed=1)


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """The cell's notebook in an empty project: a function that says what it does, and the parameters that it was given."""
    given = []
    for module in (study, records, cells):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(cells, "check", lambda cell, fingerprint: {"ours/tiny": "c0ffee"})
    monkeypatch.setattr(cells.pages, "page", lambda executed, output, title: output.write_text(title))

    def does(action):
        def execute(source, parameters, output):
            given.append(parameters)
            output.write_text("{}")
            assert (CELL.folder / "running").exists()
            action()

        monkeypatch.setattr(cells.kernels, "execute", execute)
        return given

    return does


def succeed():
    records.write_result(CELL.folder / "result.json", Backbone(card={}, parameters=Size(all=2, embeddings=1)), {"pretraining": 0.25})


def fail():
    raise Problem("label 7 is outside 0..2")


def test_a_record_is_all_that_is_left_beside_the_notebook(notebook):
    given = notebook(succeed)
    cells.execute(CELL, "abc")
    record = records.read(CELL)
    assert record.read == {"ours/tiny": "c0ffee"}
    assert record.fingerprint == "abc" and record.times["pretraining"] == 0.25 and record.times["seconds"] >= 0
    assert given == [{"backbone": "tiny", "study": "any", "folder": str(CELL.folder), "seed": 1}]
    assert {path.name for path in CELL.folder.iterdir()} == {"record.json", "notebook.ipynb", "notebook.html", "lock"}


def test_a_failure_leaves_its_reason_and_no_record(notebook):
    notebook(fail)
    with pytest.raises(Problem, match=r"backbone-tiny-s1: label 7 is outside 0..2 \(see runs/.*notebook.ipynb\)"):
        cells.execute(CELL, "abc")
    assert (CELL.folder / "failed.txt").read_text() == "label 7 is outside 0..2\n"
    assert (CELL.folder / "notebook.html").read_text().endswith("(failed)")
    assert not CELL.record.exists() and not (CELL.folder / "running").exists()


def test_a_cell_of_a_job_that_asked_for_a_gpu_does_not_run_on_a_cpu(notebook, monkeypatch):
    monkeypatch.setattr(cells.encoder.torch.cuda, "is_available", lambda: False)
    given = notebook(succeed)
    with pytest.raises(Problem, match="its job asked for a GPU, and torch sees none on "):
        cells.execute(CELL, "abc", needs_gpu=True)
    assert not given and "asked for a GPU" in (CELL.folder / "failed.txt").read_text()


def test_a_notebook_without_a_result_is_a_failure(notebook):
    notebook(lambda: None)
    with pytest.raises(Problem, match="ended without a result"):
        cells.execute(CELL, "abc")


def test_what_training_had_saved_stays_until_there_is_a_record(notebook):
    saved = [CELL.folder / f"checkpoint{stem}.safetensors" for stem in ("", "-social_iqa", "-social_iqa-1")]

    def fail_after_training():
        for path in saved:
            path.touch()
        fail()

    notebook(fail_after_training)
    with pytest.raises(Problem):
        cells.execute(CELL, "abc")
    assert all(path.exists() for path in saved)
    notebook(lambda: [succeed(), assert_all_there(saved)])
    cells.execute(CELL, "abc")
    assert not (CELL.folder / "failed.txt").exists() and not any(path.exists() for path in saved)


def assert_all_there(paths):
    assert all(path.exists() for path in paths), "a later attempt goes on from what the first had saved"


def test_a_cell_that_is_there_is_not_run_again(notebook):
    given = notebook(succeed)
    cells.execute(CELL, "abc")
    notebook(fail)
    cells.execute(CELL, "abc")
    assert len(given) == 1 and json.loads(CELL.record.read_text())["fingerprint"] == "abc"


def test_a_cell_whose_parameters_have_changed_since_it_was_planned_is_refused(monkeypatch, tmp_path):
    smoke, cell = study.load("smoke"), Cell("smoke", "target", "tiny", "none", "xnli")
    planned = fingerprints.fingerprint(smoke, cell, {})
    for module in (study, records, cells):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    cell.folder.mkdir(parents=True)
    monkeypatch.setattr(cells.study, "load", lambda name: smoke)
    cells.check(cell, planned)
    other = smoke.model_copy(update={"evaluation": smoke.evaluation.model_copy(update={"test": 7})})
    monkeypatch.setattr(cells.study, "load", lambda name: other)
    with pytest.raises(Problem, match="have changed since it was planned; run the study again"):
        cells.execute(cell, planned)
    assert "changed since it was planned" in (cell.folder / "failed.txt").read_text()
