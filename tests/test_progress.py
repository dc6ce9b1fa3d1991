"""What is told while a study runs, of cells whose records are written here in the order and at the times in which they would come."""

import json
import random

import pytest

from xtools.run import progress
from xtools.run.plan import Entry, Plan

SECONDS = {"xnli": 8.0, "tydiqa": 2.0, "tatoeba": 1.0}


@pytest.fixture
def grid(tmp_path):
    """Two encoders, ten seeds and three targets, none run yet; large cells take twice as long."""
    cells = {}
    for backbone in ("small", "large"):
        for target in SECONDS:
            for seed in range(10):
                name = f"target-{backbone}-none-{target}-s{seed}"
                cells[name] = Entry("target", None, name, ["toy", "target", backbone, "none", target, seed])
    return Plan(tmp_path, "", cells)


@pytest.fixture
def now(monkeypatch):
    """A clock that the test sets."""
    held = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: held[0])
    return held


def took(grid, name) -> float:
    _, _, backbone, _, target, _ = grid.cells[name].cell
    return SECONDS[target] * (2 if backbone == "large" else 1)


def end(grid, name, failed=False):
    path = grid.record(name)
    path.parent.mkdir(parents=True)
    if not failed:
        path.write_text(json.dumps({"phase": "target", "result": {"score": 61.25}, "times": {"seconds": took(grid, name)}}) + "\n")


@pytest.mark.parametrize("order", ["mixed", "cheap first"])
def test_the_time_left_is_right_within_half_after_a_tenth_of_the_cells(grid, now, monkeypatch, capsys, order):
    monkeypatch.setattr(Plan, "_stored", Plan.record)
    names = [*grid.cells]
    random.Random(0).shuffle(names)
    if order == "cheap first":  # of each kind one has come, then the quickest
        names.sort(key=lambda name: (not name.endswith("s0"), took(grid, name)))
    total = sum(took(grid, name) for name in names) / 2  # two side by side
    with progress.Told(grid, names) as told:
        for i, name in enumerate(names):
            now[0] += took(grid, name) / 2
            end(grid, name)
            told.ended(name)
            if i + 1 >= len(names) / 10:
                minutes, seconds = map(int, told.left().split()[1].split(":"))
                left = total - now[0]
                assert left / 1.5 - 1 <= 60 * minutes + seconds <= 1.5 * left + 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(names) and f"{names[0]} 61.2, about " in lines[0] and lines[0].startswith("[1/60] 0:0")


def test_a_cell_that_failed_is_told_and_counts_for_no_time(grid, now, monkeypatch, capsys):
    monkeypatch.setattr(Plan, "_stored", Plan.record)
    first, second, *_ = names = [*grid.cells]
    with progress.Told(grid, names) as told:
        end(grid, first, failed=True)
        told.ended(first)
        assert told.left() == "" and told.failed == 1
        end(grid, second)
        told.ended(second)
        assert told.left().endswith(" left")
    assert f"[1/60] 0:00 {first} FAILED" in capsys.readouterr().out


def test_an_intermediate_tasks_score_is_that_of_its_own_metric():
    learnt = {"squad_v1": {"metrics": {"exact_match": 70.0, "f1_exact": 88.5}}, "mnli": {"metrics": {"accuracy": 90.0}}}
    assert progress.score({"phase": "intermediate", "result": {"dev": learnt}}) == "squad_v1 88.5 mnli 90.0"
    assert progress.score({"phase": "timing", "result": {}}) == ""
