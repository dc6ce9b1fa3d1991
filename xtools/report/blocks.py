"""Recipes against a control in blocks of seeds: simultaneous intervals after Dunnett (1955), the set of the best after Hsu (1984).

A recipe's gain is the mean of its differences from the control over the seeds that have both: in complete blocks the estimate of the
two-way fit. Its variance is the larger of two, that of its own differences and the mean of all recipes'. A critical value is the 95% point
of the largest |t| with that variance where every run varies alike, by simulation of the seeds and recipes that are there, so that holes
need no approximation. Dunnett's own tables are for the residual of the two-way fit in its place.

Why not that residual: where `none` varies more than the recipes it is too small for every gain, and 10 to 12% of studies without an effect
would call some gain one; a test for unequal variances sees none of it in three to eight seeds, so that falling back on it leaves 10 to 12%
(results/statistics.csv, four recipes, `none` with four times the variance). The mean variance of the differences counts `none` as often as
the gains do, and a run that does not take off widens its own recipe's interval.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

LEVEL = 0.95
POWER = 0.8
DRAWS = 100_000  # simulated studies behind a critical value: 95% is met within 0.07


class Interval(NamedTuple):
    """A figure, the ends of its interval (nan where there is none), of how many seeds, and in words how the interval was made."""

    mean: float
    low: float
    high: float
    seeds: int = 0
    how: str = ""

    def minus_from(self, margin: float) -> "Interval":
        """The interval of margin minus the figure."""
        return self._replace(mean=margin - self.mean, low=margin - self.high, high=margin - self.low)


NOTHING = Interval(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Fit:
    """Differences of recipes from the control, an entry a recipe: mean, standard error, seeds; `uneven`: whether it varies plainly more than
    the others; `mask` [seeds, 1 + recipes] says which runs are there, the control's first; `variance` is the mean of all differences'."""

    recipes: list[str]
    means: np.ndarray
    errors: np.ndarray
    seeds: np.ndarray
    uneven: np.ndarray
    mask: tuple
    variance: float

    def interval(self, recipe: str | None, sides: int = 2, together: bool = True) -> Interval:
        """The recipe's mean difference with its interval, whose ends hold for all recipes `together` or for this one by itself; with one
        side each end is a one-sided bound of 95%."""
        if recipe not in self.recipes:
            return NOTHING
        at = self.recipes.index(recipe)
        mean, error, n = float(self.means[at]), float(self.errors[at]), int(self.seeds[at])
        varies = np.isfinite(error) and error > 0  # runs that are all alike have learnt nothing, and say nothing of what others would
        half = error * critical(self.mask, sides, None if together else at) if varies else np.nan
        return Interval(mean, mean - half, mean + half, n, self._how(at, together))

    def intervals(self, sides: int = 2, together: bool = True) -> dict[str, Interval]:
        """As `interval`, of every recipe."""
        return {recipe: self.interval(recipe, sides, together) for recipe in self.recipes}

    @property
    def noise(self) -> float:
        """The standard deviation of one run (points), its seed's level left out: half the variance of a difference is a run's."""
        return float(np.sqrt(self.variance / 2))

    def _how(self, at: int, together: bool) -> str:
        n, k = self.seeds[at], len(self.recipes)
        told = f"{n} seed{'' if n == 1 else 's'}" + (f", {k} recipes at once" if together and k > 1 else "")
        return told + ("; it varies plainly more than the others, so by its own variance" if self.uneven[at] else "")


def wide(gains: pd.DataFrame) -> pd.DataFrame:
    """Gains of a backbone (recipe, seed, gain; of one target or averaged over all) as [seeds, recipes], with a column of zeros for `none`."""
    values = gains.pivot(index="seed", columns="recipe", values="gain")[list(dict.fromkeys(gains.recipe))]
    values.insert(0, "none", 0.0)
    return values


def fit(values: pd.DataFrame, control: str = "none") -> Fit | None:
    """The differences of every other column of `values` [seeds, recipes] from the control's; None where there is none."""
    if control not in values:
        return None
    names = [*values]
    order = sorted(range(len(names)), key=lambda place: names[place] != control)
    found = values.to_numpy(float)[:, order]
    found = found[~np.isnan(found[:, 0])]
    kept = ~np.isnan(found).all(0)
    if not len(found) or not kept[1:].any():
        return None
    found, recipes = found[:, kept], [names[place] for place, keep in zip(order[1:], kept[1:], strict=True) if keep]
    there = ~np.isnan(found)
    mask = tuple(map(tuple, there.tolist()))
    means, errors, ratios, variance = (part[0] for part in measure(np.nan_to_num(found)[None], there))
    uneven = ratios > ratio_point(mask) if len(recipes) > 1 else np.zeros(1, bool)
    return Fit(recipes, means, errors, there[:, 1:].sum(0), uneven, mask, float(variance))


def measure(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of studies [studies, seeds, 1 + recipes] with runs where `mask` has them: means of the differences from the first column, their
    standard errors (nan without two seeds anywhere), each one's variance over the mean variance, and that mean variance."""
    there = mask[:, 1:] & mask[:, :1]
    n = there.sum(0)
    differences = (values[:, :, 1:] - values[:, :, :1]) * there
    means = differences.sum(1) / n
    squares = (((differences - means[:, None]) * there) ** 2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        pooled = squares.sum(1) / (n - 1).sum()
        own = squares / (n - 1)
        errors = np.sqrt(np.fmax(own, pooled[:, None]) / n)
        ratios = np.nan_to_num(own / pooled[:, None])
    return means, errors, ratios, pooled


@dataclass(frozen=True)
class _Null:
    """What `measure` finds in simulated studies without any effect, runs of variance 1: means, errors, and the 95% point of the largest
    ratio of variances."""

    means: np.ndarray
    errors: np.ndarray
    ratio: float


@lru_cache(64)
def _null(mask: tuple) -> _Null:
    draws = np.random.default_rng(0).standard_normal((DRAWS, *np.array(mask).shape), dtype=np.float32)
    means, errors, ratios, _ = measure(draws, np.array(mask))
    return _Null(means, errors, float(np.quantile(ratios.max(1), LEVEL)))


def ratio_point(mask: tuple) -> float:
    """What the largest ratio of a recipe's variance to the mean exceeds in 5% of studies where every run varies alike."""
    return _null(mask).ratio


@cache
def critical(mask: tuple, sides: int = 2, which: int | None = None) -> float:
    """The factor of the standard error that gives a 95% interval, or with one side a 95% bound: for all recipes together, or for the one
    at a place of the mask."""
    null = _null(mask)
    with np.errstate(invalid="ignore"):
        t = null.means / null.errors
    t = np.abs(t) if sides == 2 else t
    return float(np.quantile(t.max(1) if which is None else t[:, which], LEVEL))


def detectable(seeds: int, recipes: int) -> float:
    """The gain, in standard deviations of a run, that the simultaneous interval of one of so many recipes besides `none` tells from zero in
    80% of studies of so many seeds; nan for one seed."""
    if seeds < 2:
        return np.nan
    mask = tuple((True,) * (recipes + 1) for _ in range(seeds))
    null = _null(mask)
    return float(np.quantile(critical(mask) * null.errors - null.means, POWER))


def summarize(gains: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """A row per group of `keys` and recipe: the gain's `Interval`, simultaneous over the recipes of a group."""
    rows = []
    for key, group in gains.groupby(keys, sort=False):
        found = fit(wide(group))
        for recipe, made in found.intervals().items() if found else ():
            rows.append(dict(zip(keys, key, strict=True)) | {"recipe": recipe} | made._asdict())
    return pd.DataFrame(rows, columns=[*keys, "recipe", *Interval._fields])


def indistinguishable(values: pd.DataFrame) -> list[str]:
    """The columns of `values` [seeds, recipes] that cannot be told from the best: with 95% the best is among them (Hsu's multiple
    comparisons with the best). A column is out where some other one's lower simultaneous one-sided bound above it is positive."""
    kept = []
    for name in values:
        found = fit(values, name)
        beaten = found is not None and any(made.low > 0 for made in found.intervals(sides=1).values())
        kept += [] if beaten or values[name].isna().all() else [name]
    return kept


def seeds_to_decide(found: Interval) -> int | None:
    """How many seeds an interval would need to leave zero out, its estimate and spread staying as they are; None where that is not known."""
    half = found.mean - found.low if found.mean > 0 else found.high - found.mean
    if found.seeds < 2 or not np.isfinite(half) or found.mean == 0:
        return None
    return int(np.ceil(found.seeds * (half / found.mean) ** 2))
