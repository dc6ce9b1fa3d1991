"""Blocks: critical values against Dunnett's table and scipy, intervals against a worked example, holes, and the set of the best."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import brentq

from xtools.report import blocks, claims
from xtools.run import planting

RECIPES = ["none", "a", "b", "c", "d"]


def study(rng, seeds=3, gains=(0, 0, 0, 0), sd=1.0):
    """Scores [seeds, recipes] with planted gains and a level of each seed."""
    values = rng.normal(0, 10, (seeds, 1)) + sd * rng.normal(size=(seeds, 5)) + np.array([0, *gains])
    return pd.DataFrame(values, columns=RECIPES)


def every(seeds, recipes):
    return tuple((True,) * (recipes + 1) for _ in range(seeds))


@pytest.mark.parametrize(
    ("seeds", "recipes", "published"),
    [(3, 4, 3.02), (6, 4, 2.65), (6, 2, 2.57), (5, 5, 2.73)],  # Dunnett's two-sided 5% points, of 8, 20, 10 and 20 degrees of freedom
)
def test_the_largest_of_equally_correlated_t_is_dunnetts(seeds, recipes, published):
    df, shape = (seeds - 1) * recipes, (np.eye(recipes) + 1) / 2
    t = stats.multivariate_t(shape=shape, df=df)
    point = brentq(lambda c: t.cdf(np.full(recipes, c), lower_limit=np.full(recipes, -c), random_state=0) - 0.95, 2, 6, xtol=0.01)
    assert planting.dunnett(seeds, recipes) == pytest.approx(point, rel=0.01) == pytest.approx(published, rel=0.015)


def test_our_critical_values_lie_between_dunnetts_and_bonferronis():
    for seeds, recipes in ((3, 4), (5, 4), (8, 4), (5, 12)):
        bonferroni = stats.t.ppf(1 - 0.025 / recipes, seeds - 1)
        assert 0.9 * planting.dunnett(seeds, recipes) < blocks.critical(every(seeds, recipes)) < bonferroni


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_one_recipe_has_the_paired_t_interval(seeds):
    rng = np.random.default_rng(seeds)
    values = study(rng, seeds)[["none", "a"]]
    found = blocks.fit(values).interval("a")
    expected = stats.ttest_rel(values.a, values.none).confidence_interval(0.95)
    assert found.low == pytest.approx(expected.low, abs=0.02 * (expected.high - expected.low))
    assert found.high == pytest.approx(expected.high, abs=0.02 * (expected.high - expected.low)) and found.seeds == seeds


def test_gains_are_the_two_way_fits_and_a_seeds_level_does_not_matter():
    values = study(np.random.default_rng(0))
    found, shifted = blocks.fit(values), blocks.fit(values.add([100, -50, 3], axis=0))
    assert found.means == pytest.approx((values.mean() - values.none.mean()).drop("none").to_numpy())
    assert found.means == pytest.approx(shifted.means)
    assert found.errors == pytest.approx(shifted.errors)


def test_the_larger_of_the_own_and_the_mean_variance_counts():
    values = study(np.random.default_rng(1))
    differences = values.drop(columns="none").sub(values.none, axis=0)
    expected = np.sqrt(np.maximum(differences.var(), differences.var().mean()) / 3)
    assert blocks.fit(values).errors == pytest.approx(expected) and blocks.fit(values).noise == pytest.approx(
        np.sqrt(differences.var().mean() / 2)
    )


def test_a_recipe_that_varies_plainly_more_is_told():
    values = study(np.random.default_rng(2), seeds=8)
    values["d"] *= np.array([30, -30, 30, -30, 30, -30, 30, -30])
    assert "own variance" in blocks.fit(values).interval("d").how and "own variance" not in blocks.fit(values).interval("a").how


def test_a_seed_that_is_missing_takes_its_difference_with_it_and_no_other():
    values = study(np.random.default_rng(3), gains=(5, 0, 0, 0), sd=0.1)
    values.loc[1, "b"] = np.nan
    found = blocks.fit(values)
    assert found.interval("b").seeds == 2 and found.interval("a").seeds == 3
    assert found.interval("b").mean == pytest.approx((values.b - values.none).mean()) and found.interval("a").low > 0
    assert blocks.fit(values.assign(none=np.nan)) is None and blocks.fit(values[["none"]]) is None
    assert np.isnan(blocks.fit(values[:1]).interval("a").low), "one seed has no interval"
    assert blocks.fit(values).interval("zzz") == blocks.NOTHING


def test_holes_keep_the_level():
    rng, wrong = np.random.default_rng(4), 0
    for _ in range(400):
        values = study(rng, seeds=4)
        values.loc[0, ["a", "b"]] = np.nan
        wrong += any(made.low > 0 or made.high < 0 for made in blocks.fit(values).intervals().values())
    assert wrong <= 34, "5% of 400 is 20, and 34 three standard errors beyond"


def test_the_best_are_those_that_cannot_be_told_from_the_best():
    rng = np.random.default_rng(5)
    assert blocks.indistinguishable(study(rng, gains=(20, 20, 0, -20), sd=0.5)) == ["a", "b"]
    assert blocks.indistinguishable(study(rng, gains=(0.1, 0, 0, 0))) == RECIPES


def test_more_seeds_find_less_and_more_recipes_find_no_less():
    least = [blocks.detectable(seeds, 4) for seeds in (3, 5, 8, 12)]
    assert least == sorted(least, reverse=True) and least[-1] == pytest.approx((2.6 + 0.85) * np.sqrt(2 / 12), rel=0.1)
    assert blocks.detectable(5, 12) > blocks.detectable(5, 4) and np.isnan(blocks.detectable(1, 4))


def test_a_summary_holds_for_the_recipes_of_a_group_at_once():
    gains = pd.DataFrame([{"target": t, "recipe": r, "seed": s, "gain": s + (r == "a")} for t in "xy" for r in "ab" for s in range(3)])
    found = blocks.summarize(gains, ["target"])
    assert list(zip(found.target, found.recipe, strict=True)) == [("x", "a"), ("x", "b"), ("y", "a"), ("y", "b")]
    assert set(found.how) == {"3 seeds, 2 recipes at once"} and found["mean"].tolist() == [2, 1, 2, 1]
    assert blocks.summarize(gains[:0], ["target"]).empty


def test_runs_that_are_all_alike_have_no_interval():
    """As where each predicts one label: a width of zero would call the absence of a gain proven."""
    values = pd.DataFrame({"none": [33.0, 33.0, 33.0], "mnli": [33.0, 33.0, 33.0]})
    found = blocks.fit(values).interval("mnli")
    assert found.mean == 0 and np.isnan(found.low) and np.isnan(found.high)
    assert claims.decide(found.minus_from(1.0)) == "undecided"
