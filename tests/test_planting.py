"""The verdicts' tests on simulated studies, in short; `make statistics` is the long form."""

import csv

import numpy as np
import pandas as pd
import pytest

from xtools.report import blocks, choosing, claims, stats
from xtools.report.claims import Claim, Evidence
from xtools.run import planting
from xtools.run.planting import RECIPES, TARGETS, World


def claim(test, **about):
    return Claim(id=test, claim="planted", source="-", published="-", confidence="V", test=test, **about)


CLAIMS = [
    (claim("gain", recipe="mnli"), lambda seen: tuple(end[:, 0] for end in planting.ends(seen.average))),
    (claim("gain", recipe="all", target="udpos"), lambda seen: tuple(end[:, 3] for end in planting.ends(seen.gains[..., 3]))),
    (claim("best", recipe="all"), planting.best),
    (claim("largest_gain", group="retrieval"), planting.largest_gain),
    (claim("no_gain", target="xnli", margin=1.0), planting.no_gain),
    (claim("no_better", recipe="mnli", rival="hellaswag", margin=1.0), planting.no_better),
    (claim("best_per_target"), planting.best_per_target),
]


def evidence(seen, i):
    """Study i as the report's tests see it."""
    of_targets = {target: pd.DataFrame(seen.gains[i, :, :, j], columns=RECIPES) for j, target in enumerate(TARGETS)}
    columns = pd.MultiIndex.from_product([TARGETS[:-1], RECIPES], names=["target", "recipe"])
    dev = pd.DataFrame(seen.dev[i, :, :, :-1].transpose(0, 2, 1).reshape(seen.dev.shape[1], -1), columns=columns)
    return Evidence(pd.DataFrame(seen.average[i], columns=RECIPES), of_targets, dev)


@pytest.mark.parametrize(("tested", "at_once"), CLAIMS, ids=[tested.id + tested.target for tested, _ in CLAIMS])
def test_what_is_simulated_all_at_once_is_what_the_reports_tests_find(tested, at_once):
    seen = planting.simulate(World(4, "1 to 4", True), {"mnli": 2.0, "all": 3.0}, 15, np.random.default_rng(3))
    low, high = at_once(seen)
    for i in range(15):
        found = claims.TESTS[tested.test](tested, evidence(seen, i))
        assert (found.low, found.high) == pytest.approx((low[i], high[i]), rel=0.01, abs=0.02), "to the error of a critical value"


def test_every_verdict_with_an_interval_is_among_what_is_simulated():
    assert {tested.test for tested, _ in CLAIMS} | {"no_cost", "centred"} == set(claims.TESTS), "centred: `gain` on other scores"
    percent = np.random.default_rng(4).normal(0.5, 1, (20, 4))
    for own, low, high in zip(percent, *planting.no_cost(percent), strict=True):
        cost = blocks.Interval(*stats.interval(1 + own / 100, stats.ONE_SIDED))
        found = claims.no_cost(claim("no_cost", margin=1.0), Evidence(pd.DataFrame(), {}, pd.DataFrame(), cost))
        assert (found.low, found.high) == pytest.approx((low, high))


def test_the_headlines_choice_and_the_set_of_the_best_are_the_reports():
    seen = planting.simulate(World(3), {"all": 1.0}, 20, np.random.default_rng(5))
    chosen = seen.dev[..., :-1].mean((1, 3))[:, 1:].argmax(1)
    out = (planting.ends(seen.average, control="all", sides=1)[0] > 0).any(1)
    for i in range(20):
        assert choosing.overall(evidence(seen, i).dev) == RECIPES[1:][chosen[i]]
        assert ("all" not in blocks.indistinguishable(evidence(seen, i).average)) == out[i]


@pytest.mark.parametrize("world", [World(3), World(5), World(3, "1 to 4"), World(8, "1 to 4", True)], ids=str)
def test_what_is_simulated_keeps_its_bars(world):
    for row in planting.rates(world, studies=2_000):
        if row["bar"]:
            low, high = map(int, row["bar"].split(" to "))
            assert low - 3 <= row["percent of studies"] <= high + 2, row  # four standard errors: 0.5 of 5%, 0.9 of 80%


def test_the_level_breaks_where_the_method_is_another():
    """What the table is for: the residual of the two-way fit calls more than 8% of studies an effect where `none` varies more."""
    rows = {row["what"]: row["percent of studies"] for row in planting.rates(World(5, "none 4"), studies=2_000)}
    assert rows["no effect: some average gain called by the residual of the two-way fit"] > 8
    assert rows["no effect: some recipe's average gain called"] < 8


def test_the_table_that_is_kept_has_every_kind_of_study_and_breaks_no_bar():
    with open(planting.TABLE) as file:
        rows = list(csv.DictReader(file))
    kinds = {(int(row["seeds"]), row["variances"], row["collapses"] == "1 in 50") for row in rows}
    assert kinds == {(world.seeds, world.variances, world.collapses) for world in planting.WORLDS}
    assert {row["what"] for row in rows} == {row["what"] for row in planting.rates(World(3), studies=10)}, (
        "made by this code: make statistics"
    )
    broken = [row for row in rows if row["holds within two standard errors"] == "no"]
    assert len(broken) <= 6, "of 165 bars that are met exactly chance alone breaks four at two standard errors"
