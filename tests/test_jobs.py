"""What Snakemake is given, and what a job of a cluster runs."""

import contextlib
import json
from types import SimpleNamespace

import pytest

from xtools.run import in_job, jobs, plan, warm


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """Two backbones, the second of which has a record, each with a target."""
    monkeypatch.setattr(plan, "ROOT", tmp_path)
    monkeypatch.setattr(in_job, "ROOT", tmp_path)
    cells = {f"backbone-{i}": plan.Entry("backbone", None, f"b{i}", [], int(2e9)) for i in range(2)}
    cells |= {f"target-{i}": plan.Entry("target", f"backbone-{i}", f"t{i}", [], int(3e9)) for i in range(2)}
    made = plan.Plan(tmp_path / "runs/any", "", cells)
    made.folder.mkdir(parents=True)
    made.write()
    there = plan.store("backbone", "b1") / "record.json"
    there.parent.mkdir(parents=True)
    there.write_text("{}\n")
    assert made.is_there("backbone-1")
    return made


def test_each_cell_is_a_job_after_the_one_that_it_starts_from_where_that_is_missing(grid):
    mark = grid.folder / jobs.DONE / "target/target-0"
    mark.parent.mkdir(parents=True)
    mark.touch()
    jobs.write(grid, jobs.of_a_cell_each(grid, grid.missing()))
    told = json.loads((grid.folder / jobs.FILE).read_text())
    assert told == {
        "backbone-0": {"phase": "backbone", "cells": ["backbone-0"], "memory": 2000, "minutes": 0, "after": []},
        "target-0": {"phase": "target", "cells": ["target-0"], "memory": 3000, "minutes": 0, "after": ["backbone-0"]},
        "target-1": {"phase": "target", "cells": ["target-1"], "memory": 3000, "minutes": 0, "after": []},
    }
    assert not mark.exists(), "of an earlier run, which would keep this one from running it"


def test_a_job_runs_its_cells_in_order_but_those_without_what_they_start_from(grid, monkeypatch):
    monkeypatch.setenv(warm.JOB, "")
    asked = []
    server = SimpleNamespace(ask=lambda *words: asked.append(words) or 2)
    monkeypatch.setattr(in_job, "cell_server", lambda: contextlib.nullcontext(server))
    assert in_job.run("gpu", "any", "backbone-0", "target-0", "target-1") == 0
    assert asked == [("any", "backbone-0"), ("any", "target-1")], "one that fails keeps no other from running"
    assert in_job.os.environ[warm.JOB] == "gpu"
