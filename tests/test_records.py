import json

import pytest

from xtools import records, study, versions
from xtools.study import Cell


@pytest.fixture
def code_of(project, monkeypatch):
    """The code hash of a phase, or of a task's entry, in the project's copy, after an edit of one of its files."""

    def edited(phase, name, old="", new=""):
        path = project.folder / name
        before = path.read_text()
        assert old in before
        for module in (records, versions):
            monkeypatch.setattr(module, "ROOT", project.folder)
        path.write_text(before.replace(old, new, 1))
        cached = (versions._module, versions._modules, versions._tables, versions.entry, records.code)
        for function in cached:
            function.cache_clear()
        try:
            return records.code(phase) if phase in records.NOTEBOOKS else versions.entry(phase)
        finally:
            path.write_text(before)
            for function in cached:
                function.cache_clear()

    return edited


def test_comments_layout_and_docstrings_do_not_count(code_of):
    same = code_of("target", "xtools/scoring.py")
    assert code_of("target", "xtools/scoring.py", "import numpy", "# why not\nimport numpy") == same
    assert code_of("target", "xtools/scoring.py", '"""Predictions and scores', '"""Scores') == same


def test_code_counts_where_it_is_used(code_of):
    change = ("xtools/targets.py", "n = features.rows", "n = features.rows + 1")
    assert code_of("target", *change) != code_of("target", "xtools/targets.py")
    assert code_of("backbone", *change) == code_of("backbone", "xtools/targets.py")
    deep = ("xtools/training.py", "CURVE_POINTS = 40", "CURVE_POINTS = 41")
    for phase in ("backbone", "intermediate", "target"):
        assert code_of(phase, *deep) != code_of(phase, "xtools/training.py")


def test_pictures_and_new_tasks_do_not_count(code_of):
    same = code_of("target", "xtools/plots.py")
    assert code_of("target", "xtools/plots.py", '"o", "s"', '"s", "o"') == same
    entry = 'Task("anli_plus", "classification", "accuracy", "nli_plus", ANLI_PLUS, labels=NLI, chance=100 / 3),'
    assert code_of("target", "xtools/tasks/classification.py", entry, entry + entry.replace('"anli_plus"', '"anli2"')) == same


def test_an_entry_counts_for_its_own_task_alone(code_of):
    change = (
        "xtools/tasks/classification.py",
        '_pair("sentence1", "sentence2"), rows=49_401',
        '_pair("sentence2", "sentence1"), rows=49_401',
    )
    assert code_of("pawsx", *change) != code_of("pawsx", change[0])
    assert code_of("qqp", *change) == code_of("qqp", change[0]) != code_of("pawsx", change[0])


def test_the_notebook_counts(code_of):
    assert code_of("target", "notebooks/3_target.py", "print(", "print( ") != code_of("target", "notebooks/3_target.py")


def changed(**updates) -> set[str]:
    """Names of smoke's cells whose fingerprint changes with an update of its parameters."""
    loaded = study.load("smoke")
    before, after = records.fingerprints(loaded), records.fingerprints(loaded.model_copy(update=updates))
    return {cell.name for cell in after if after[cell] != before.get(cell)}


def test_a_changed_parameter_touches_exactly_what_depends_on_it():
    loaded = study.load("smoke")
    cells = loaded.cells()
    target = loaded.target.model_copy(update={"tasks": {"xnli": {"epochs": 2}}})
    assert changed(target=target) == {c.name for c in cells if c.target == "xnli"}
    intermediate = loaded.intermediate.model_copy(update={"tasks": {"mnli": {"epochs": 2}}})
    touched = {c.name for c in cells if c.recipe in ("mnli", "all")}
    assert changed(intermediate=intermediate) == touched
    assert changed(pretraining=loaded.pretraining.model_copy(update={"epochs": 2})) == {c.name for c in cells}
    assert changed(title="another") == set()
    timing = loaded.timing.model_copy(update={"examples": 9})
    assert changed(timing=timing) == {c.name for c in cells if c.phase == "timing"}


def test_json_is_whole_or_absent(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    with pytest.raises(TypeError):
        records.write_json(path, {"x": object()})
    assert not path.exists()
    records.write_json(path, {"b": 1, "a": 2})
    assert json.loads(path.read_text()) == {"a": 2, "b": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_table_of_a_study_without_records_is_empty_but_has_its_columns():
    loaded = study.load("smoke").model_copy(update={"name": "never-run"})
    table = records.table(loaded)
    assert len(table) == 0 and "score" in table.columns
    assert records.read(Cell("never-run", "target", "tiny", "none", "xnli")) is None
