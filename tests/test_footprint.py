"""What a cell is expected to hold, what it held, and how many fit side by side."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from xtools import ROOT, memory, processes, study
from xtools.run import engine, footprint, plan


def cells_of(name):
    loaded = study.load(name)
    return loaded, {cell.name: size for cell, size in footprint.of_all(loaded).items()}


def test_a_cell_holds_more_the_larger_its_encoder():
    _, sizes = cells_of("pocket")
    assert sizes["target-large-none-xnli-s0"] > sizes["target-small-none-xnli-s0"] > footprint.PROCESS


def test_seeds_hold_the_same_and_every_cell_is_estimated():
    loaded, sizes = cells_of("smoke")
    assert len(sizes) == len(loaded.cells()) and all(size >= footprint.PROCESS for size in sizes.values())
    assert sizes["target-tiny-none-xnli-s0"] == sizes["target-tiny-none-xnli-s1"]


def test_a_part_of_long_sequences_is_cut_to_fit_and_one_of_short_ones_is_not(tiny):
    wide = replace(tiny)
    assert memory.budget(tiny, 64, 64) == memory.PART
    wide.config.num_hidden_layers = 4000
    assert 64 <= memory.budget(wide, 64, 64) < memory.PART
    wide.config.num_hidden_layers = 10**6
    assert memory.budget(wide, 64, 64) == 64, "an example at least"


PRODUCTS = """
import torch
from xtools import memory, processes
torch.set_num_threads(1)
layer, before = torch.nn.Linear(384, 1536), processes.own_peak()
for rows in range(1000, 1150):
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.ones(rows, 384)).sum().backward()
print((processes.own_peak() - before) / 1e6)
"""


def test_products_of_many_shapes_are_not_all_kept():
    if processes.own_peak() is None:
        pytest.skip("the system does not tell")
    caches = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
    plain = {name: value for name, value in os.environ.items() if name not in caches} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PRODUCTS]
    ours, theirs = (
        float(subprocess.run(command, env=given, check=True, capture_output=True).stdout)
        for given in (plain, plain | dict.fromkeys(caches, "1024"))
    )
    assert ours < 0.9 * theirs


def test_a_control_groups_limit_counts(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/user/cell\n")
    folder = tmp_path / "user"
    (folder / "cell").mkdir(parents=True)
    for place, limit in ((folder, "3000"), (folder / "cell", "max")):
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text("1000\n")
        (place / "memory.stat").write_text("anon 600\ninactive_file 300\n")
    assert footprint._of_groups(tmp_path, own) == [2300]
    own.write_text("4:cpu:/x\n5:memory:/slice\n")
    place = tmp_path / "memory" / "slice"
    place.mkdir(parents=True)
    (place / "memory.limit_in_bytes").write_text("5000\n")
    (place / "memory.usage_in_bytes").write_text("1000\n")
    (place / "memory.stat").write_text("total_rss 1\ninactive_file 0\n")
    assert footprint._of_groups(tmp_path, own) == [4000]


def grid(tmp_path, *sizes):
    return plan.Plan(tmp_path, "", {f"cell{i}": plan.Entry("target", None, str(i), [], size) for i, size in enumerate(sizes)})


def test_the_engine_says_how_many_run_side_by_side_and_why(tmp_path):
    of = grid(tmp_path, 10**9, 2 * 10**9)
    (line,) = engine.side_by_side(of, [*of.cells], 8, 1, 5e9)
    assert line == "2 cells, at least 2 at a time: 8 cores and 5 GB of memory, of which a cell takes 2 GB at most (cell1)"
    of = grid(tmp_path, *[2 * 10**9] * 9)
    assert engine.side_by_side(of, [*of.cells], 8, 1, 5e9)[0].startswith("9 cells, at least 2 at a time")
    assert engine.side_by_side(of, [*of.cells], 2, 2, 50e9)[0].startswith("9 cells, at least 1 at a time")


def test_a_cell_that_does_not_fit_is_named_before_anything_runs(tmp_path):
    of = grid(tmp_path, 10**9, 9 * 10**9)
    warning = engine.side_by_side(of, [*of.cells], 8, 1, 5e9)[1]
    assert warning.startswith("cell1 may need 9 GB") and "max_length" in warning


def test_a_record_has_what_was_expected_and_what_it_held(micro):
    project, _ = micro
    for name, path in project.records("micro").items():
        record = json.loads(path.read_text())
        if name == "report":
            continue
        assert 0.5 < record["peak_memory"] / record["expected_memory"] < 1.2, name
