import json
from types import SimpleNamespace

import pytest

from xtools import records, study
from xtools.problems import Problem
from xtools.results import Backbone, Score, Size
from xtools.study import Cell

CELL = Cell("never-run", "backbone", "tiny", seed=3)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The project's folder is an empty one."""
    for module in (study, records):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    CELL.folder.mkdir(parents=True)
    return tmp_path


def write(folder):
    records.write_result(folder / "result.json", Backbone(card={}, parameters=Size(all=10, embeddings=4)), {"scoring": 0.5})
    records.write(CELL, "abc", folder / "result.json", {"began": 1.0, "seconds": 2.0})


def test_a_record_says_what_was_measured_on_what_and_how(place):
    write(CELL.folder)
    record = records.read(CELL)
    assert record.result == Backbone(card={}, parameters=Size(all=10, embeddings=4))
    assert (record.study, record.phase, record.backbone, record.seed, record.fingerprint) == ("never-run", "backbone", "tiny", 3, "abc")
    assert record.times == {"began": 1.0, "seconds": 2.0, "scoring": 0.5}
    assert set(record.versions) == set(records.LIBRARIES) and record.machine.cores and record.commit


def test_a_cell_without_a_record_has_none(place):
    assert records.read(CELL) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema_version": 0}, "a record of schema 0, and this is"),
        ({"result": {"card": {}}}, "result.parameters: Field required"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_record_of_another_form_is_refused_in_one_line(place, change, told):
    write(CELL.folder)
    CELL.record.write_text(json.dumps(json.loads(CELL.record.read_text()) | change) + "\n")
    with pytest.raises(Problem) as problem:
        records.read(CELL)
    assert told in str(problem.value) and "\n" not in str(problem.value) and "backbone-tiny-s3/record.json" in str(problem.value)


def test_a_record_cut_short_or_empty_is_none_and_a_damaged_one_is_refused_in_one_line(place):
    write(CELL.folder)
    text = CELL.record.read_text()
    for cut in (text[:50], ""):
        CELL.record.write_text(cut)
        assert records.read(CELL) is None
    CELL.record.write_text(text.replace('"', "", 1))
    with pytest.raises(Problem, match=r"record.json: damaged .*; remove it"):
        records.read(CELL)


def test_a_number_that_is_not_finite_is_no_result():
    with pytest.raises(ValueError, match="finite"):
        Score(metrics={"accuracy": float("nan")}, n=3)


def test_scores_are_told_from_what_stands_beside_them():
    score = Score.of({"f1": 50.0, "accuracy": 60.0, "n": 7, "cut": 1})
    assert score == Score(metrics={"f1": 50.0, "accuracy": 60.0}, n=7, cut=1)
    assert Score.of({"f1": 1.0, "n": 2, "layers": {1: 0.5}}).layers == {1: 0.5}


def test_other_versions_are_told(place, monkeypatch):
    write(CELL.folder)
    record = records.read(CELL)
    assert records.of_other_versions([record]) == []
    monkeypatch.setattr(records, "versions", lambda: record.versions | {"torch": "99.0"})
    assert records.of_other_versions([record, record]) == [f"2 records are of torch {record.versions['torch']}, here it is 99.0"]


def test_predictions_come_back_with_the_ids_of_their_rows(place):
    records.write_predictions(CELL.folder, {"de": [1, 0]}, {"de": [{"id": "a"}, {"id": "b"}]})
    assert records.read_predictions(CELL) == {"de": [["a", 1], ["b", 0]]}


def test_json_is_whole_or_absent(tmp_path):
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


def test_the_table_holds_the_main_metric_or_every_one(monkeypatch):
    loaded, score = study.load("smoke"), Score(metrics={"f1": 60.0, "exact": 40.0, "f1_exact": 50.0}, n=7)
    cell = Cell("smoke", "target", "tiny", "none", "xquad", 0)
    result = SimpleNamespace(metric="f1_exact", scores={"qab": score}, dev=score)
    monkeypatch.setattr(
        records, "of_phase", lambda study, phase: [(cell, SimpleNamespace(result=result, recipe="none", target="xquad", seed=0))]
    )
    assert records.table(loaded)[["split", "metric", "score"]].values.tolist() == [["test", "f1_exact", 50.0], ["dev", "f1_exact", 50.0]]
    every = records.table(loaded, every=True)
    assert list(every.columns) == list(records.table(loaded).columns) and len(every) == 6
    assert dict(zip(every.metric, every.score, strict=True)) == {"f1": 60.0, "exact": 40.0, "f1_exact": 50.0}
