"""The verdicts' tests on simulated studies, in short; `make statistics` is the long form."""

import csv

import numpy as np
import pytest

from xtools.run import planting
from xtools.run.planting import World


@pytest.mark.parametrize("world", [World(3), World(5, "1 to 4", True)])
def test_nothing_planted_is_nothing_called(world):
    rng = np.random.default_rng(0)
    found = [planting.without_effect(world, rng) for _ in range(120)]
    for what in found[0]:
        if planting.bar(what, world) == (0, 5):
            assert sum(study[what] for study in found) <= 14, what  # 5% is 6, and 14 more than three standard errors beyond


def test_claims_of_nothing_are_seldom_decided_at_their_margin():
    rng = np.random.default_rng(1)
    found = [planting.at_the_margin(World(3), rng) for _ in range(120)]
    assert all(sum(study[what] for study in found) <= 14 for what in found[0])


def test_a_planted_gain_of_the_detectable_size_is_found_four_times_in_five():
    rng = np.random.default_rng(2)
    found = [planting.with_effect(World(5), rng) for _ in range(120)]
    assert all(82 <= sum(study[what] for study in found) <= 110 for what in found[0])  # 96 and three standard errors


def test_the_table_that_is_kept_has_every_kind_of_study_and_says_what_breaks_its_bar():
    with open(planting.TABLE) as file:
        rows = list(csv.DictReader(file))
    kinds = {(int(row["seeds"]), row["variances"], row["collapses"] == "1 in 50") for row in rows}
    assert kinds == {(world.seeds, world.variances, world.collapses) for world in planting.WORLDS}
    fresh = {row["what"] for row in planting.rates(World(3), studies=2)}
    assert {row["what"] for row in rows} == fresh, "made by this code: make statistics"
