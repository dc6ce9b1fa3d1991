"""The benchmark's own arithmetic; its times are for `make bench`, never for a test."""

import numpy as np
import pytest
import torch

from xtools import processes
from xtools.run import bench, contest


def test_examples_have_the_stated_mean_length_and_fit():
    lengths = [len(f["ids"][0]) for f in contest.examples(4000, 1000, contest.MEAN, 0)]
    assert np.mean(lengths) == pytest.approx(contest.MEAN, rel=0.05)
    assert max(lengths) <= contest.LONGEST
    assert {len(f["ids"][0]) for f in contest.examples(10, 1000, 512, 0)} == {512}


def test_examples_have_no_more_word_pieces_than_an_english_training_set():
    found = {i for f in contest.examples(4000, 250_037, contest.MEAN, 0) for i in f["ids"][0]}
    assert 0.9 * contest.PIECES < len(found) <= contest.PIECES + 2 and max(found) > 200_000


def test_contestants_take_turns_and_the_first_round_does_not_count():
    order = []
    contestants = {name: lambda name=name: order.append(name) or 1.0 for name in "ab"}
    seconds = contest.interleaved(contestants, 3, lambda line: None)
    assert order == list("ab" * 4) and seconds == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_factors_are_medians_of_the_rounds_ratios():
    seconds = {"ours, fp32": [1.0, 2.0, 1.0], "Trainer, pad to max, fp32": [3.0, 8.0, 2.0]}
    found = contest.summary("Trainer, pad to max, fp32", seconds, 1e9, 100, 10, torch.device("cpu"))
    assert found["slower_than"] == {"ours, fp32": {"median": 3.0, "range": [2.0, 4.0]}}
    assert found["examples_per_s"] == pytest.approx(10 / 3)


def test_both_sides_train_and_score_the_same_examples(monkeypatch):
    pytest.importorskip("accelerate")
    monkeypatch.setitem(contest.SHAPES, "toy", (1, 32, 2, 500))
    monkeypatch.setattr(contest, "peak", lambda *_: 10**9)
    found = contest.speed("toy", contest.MEAN, 16, 8, 1, torch.device("cpu"), lambda line: None)
    for phase in ("training", "inference"):
        assert {name.split(",")[0] for name in found[phase]} == {"ours", "Trainer"}
        assert len([name for name in found[phase] if name.startswith("Trainer")]) == 3
    assert all(r["seconds"] > 0 for phase in ("training", "inference") for r in found[phase].values())
    assert 0 < found["data_share"] < 1


def test_memory_is_that_of_a_process_which_trains_one_contestant():
    if processes.own_peak() is None:
        pytest.skip("the system does not tell")
    toy, real = (contest.peak("ours, fp32", shape, contest.MEAN, 4, 4) for shape in ("toy", "minilm"))
    assert toy > 1e8 and real - toy > 4 * 250_037 * 384, "that of word embeddings alone"


def test_search_is_measured_against_the_product():
    found = bench.search_speed(1, queries=20, candidates=500, width=16)
    assert found["over_product"]["median"] > 0


def test_mining_is_timed_beside_what_the_plan_foresees():
    found = bench.mining_speed(300, width=16)
    assert found["rows"] == 300 and 0 < found["pairs"] <= 300
    assert min(found[key] for key in ("seconds", "estimated_seconds", "memory", "estimated_memory")) > 0
