"""A study's plan: equal cells are one, names lead to cells, what is missing is told."""

import json

import pytest

from xtools import study
from xtools.problems import Problem
from xtools.run import plan
from xtools.study import Cell

SMOKE = study.load("smoke").model_copy(update={"seeds": [0], "recipes": ["none", "mnli"], "targets": ["xnli", "tatoeba"]})


@pytest.fixture
def twins():
    """A study that names one encoder twice."""
    tiny = SMOKE.backbones["tiny"]
    return SMOKE.model_copy(update={"backbones": {"one": tiny, "two": tiny}})


@pytest.fixture
def place(tmp_path, monkeypatch):
    for module in (study, plan):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def test_equal_cells_are_run_once_and_found_under_both_names(twins, place):
    grid = plan.plan(twins)
    assert set(grid.cells) == {cell.name for cell in twins.cells()}
    assert all("two" not in name for name in grid.missing()) and len(grid.missing()) == len(grid.cells) / 2
    assert grid.cells["target-two-mnli-xnli-s0"].upstream == "intermediate-one-mnli-s0"
    plan.link(grid)
    one, two = (grid.record(f"target-{name}-none-xnli-s0") for name in ("one", "two"))
    one.write_text("{}\n")
    assert two.read_text() == "{}\n" and grid.is_there("target-two-none-xnli-s0")


def test_a_cells_own_name_leads_where_its_fingerprint_says(place):
    grid = plan.plan(SMOKE)
    plan.link(grid)
    for name, entry in grid.cells.items():
        cell = Cell(*entry.cell)
        assert cell.name == name and cell.folder.resolve() == plan.store(entry.phase, entry.fingerprint)


def test_a_plan_is_read_as_it_was_written(place):
    grid = plan.plan(SMOKE)
    grid.folder.mkdir(parents=True)
    grid.write()
    assert plan.read(grid.folder) == grid
    cell, fingerprint, _ = plan.planned("smoke", "backbone-tiny-s0")
    assert cell == Cell("smoke", "backbone", "tiny", seed=0) and fingerprint == grid.cells["backbone-tiny-s0"].fingerprint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"inputs": "x"}'])
def test_a_broken_plan_is_none(place, text):
    (place / "runs/smoke").mkdir(parents=True)
    (place / "runs/smoke/plan.json").write_text(text)
    with pytest.raises(Problem, match="smoke: not planned yet; run make study PROFILE=smoke"):
        plan.planned("smoke", "backbone-tiny-s0")
    assert not plan.finished("smoke")


def test_folders_of_another_version_of_the_project_are_refused_in_one_line(place):
    grid = plan.plan(SMOKE)
    grid.record("backbone-tiny-s0").parent.mkdir(parents=True)
    with pytest.raises(Problem, match="runs/smoke/backbone/backbone-tiny-s0: another version of the project left this folder"):
        plan.link(grid)


def test_only_what_is_there_is_linked_for_a_report(place):
    grid = plan.plan(SMOKE)
    record = plan.store("backbone", grid.cells["backbone-tiny-s0"].fingerprint) / "record.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({}))
    plan.link(grid, only_current=True)
    assert [name for name in grid.cells if grid.record(name).parent.exists()] == ["backbone-tiny-s0"]


def test_pruning_keeps_what_some_study_has(place):
    grid = plan.plan(SMOKE)
    plan.link(grid)
    grid.write()
    stray = plan.store("target", "0123456789abcdef")
    stray.mkdir(parents=True)
    (stray / "record.json").write_text("12345")
    (place / "params").mkdir()
    (place / "params/smoke.yaml").touch()
    assert plan.prune() == (1, 5) and not stray.exists()
    assert all(plan.store(entry.phase, entry.fingerprint).is_dir() for entry in grid.cells.values())
    (place / "params/smoke.yaml").unlink()
    assert plan.prune()[0] == len({entry.fingerprint for entry in grid.cells.values()}), "a study whose file is gone has no cells"
