"""Are the report's statistics right? Studies with known effects are simulated, and every test of a verdict is held against what was planted.

A run's score is its seed's level plus its recipe's gain plus noise; its development score shares half of the noise's variance, so that a
run that is lucky on one set tends to be so on the other. All studies of a kind are computed at once, as arrays [studies, seeds, recipes] with
`none` first; the tests hold these verdicts against those of xtools/report/claims.py. `make statistics` writes results/statistics.csv.
"""

import csv
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

from xtools import ROOT
from xtools.report import blocks

TABLE = ROOT / "results" / "statistics.csv"
STUDIES = 10_000
RECIPES = ["none", "mnli", "squad_v1", "hellaswag", "all"]
TARGETS = ["xnli", "xquad", "xcopa", "udpos", "tatoeba"]  # the last, retrieval, has no development scores
FALL = 10.0  # standard deviations that a collapsed run lies below the others
COLLAPSED = 1 / 50
MARGIN = 1.0


@dataclass(frozen=True)
class World:
    """How studies vary: seeds; runs' variances (`equal` all 1; `1 to 4` in even steps, over the recipes in any order; `none 4`: that of
    `none`, the others 1); whether runs collapse."""

    seeds: int
    variances: str = "equal"
    collapses: bool = False


WORLDS = [World(n, v, c) for n in (3, 5, 8) for v in ("equal", "1 to 4") for c in (False, True)] + [World(n, "none 4") for n in (3, 5, 8)]


@dataclass(frozen=True)
class Studies:
    """Simulated gains over `none` and development scores, [studies, seeds, recipes, targets]; `none` is among the recipes, with zeros."""

    gains: np.ndarray
    dev: np.ndarray

    @property
    def average(self) -> np.ndarray:
        """Gains averaged over targets [studies, seeds, recipes]."""
        return self.gains.mean(3)


def simulate(world: World, planted: dict[str, float], studies: int, rng: np.random.Generator, target: str = "") -> Studies:
    """Studies with planted gains, on all targets or on one."""
    shape = (studies, world.seeds, len(RECIPES), len(TARGETS))
    effect = np.zeros(shape[2:])
    for recipe, points in planted.items():
        effect[RECIPES.index(recipe), TARGETS.index(target) if target else slice(None)] = points
    common, test, dev = np.sqrt(0.5) * rng.standard_normal((3, *shape))
    fallen = FALL * (rng.random(shape) < COLLAPSED) * world.collapses
    level = 10 * rng.standard_normal((studies, world.seeds, 1, 1))
    spread = _spread(world, studies, rng)[:, None, :, None]
    scores, dev_scores = (level + effect + spread * (common + own - fallen) for own in (test, dev))
    return Studies(scores - scores[:, :, :1], dev_scores)


def _spread(world: World, studies: int, rng: np.random.Generator) -> np.ndarray:
    """Standard deviations [studies, recipes]."""
    n = len(RECIPES)
    fixed = {"equal": np.ones(n), "none 4": np.r_[4.0, np.ones(n - 1)]}
    shuffled = rng.permuted(np.tile(np.linspace(1, 4, n), (studies, 1)), axis=1)
    return np.sqrt(np.broadcast_to(fixed[world.variances], (studies, n)) if world.variances in fixed else shuffled)


# ---------------------------------------------------------------- the verdicts' tests: low and high ends, a study a row


Ends = tuple[np.ndarray, np.ndarray]


def ends(values: np.ndarray, control: str = "none", sides: int = 2, which: int | None = None) -> Ends:
    """As `blocks.Fit.interval`: the ends [studies, other recipes], of all together or with the critical value of one alone."""
    at = RECIPES.index(control)
    ordered = np.concatenate([values[:, :, at : at + 1], np.delete(values, at, axis=2)], axis=2)
    mask = np.ones(ordered.shape[1:], bool)
    means, errors, _, _ = blocks.measure(ordered, mask)
    half = blocks.critical(tuple(map(tuple, mask.tolist())), sides, which) * errors
    return means - half, means + half


def over_seeds(values: np.ndarray, level: float) -> Ends:
    """The ends of t-intervals of [studies, seeds]."""
    n = values.shape[1]
    half = student.ppf((1 + level) / 2, n - 1) * values.std(1, ddof=1) / np.sqrt(n)
    return values.mean(1) - half, values.mean(1) + half


def best(seen: Studies, recipe: str = "all") -> Ends:
    low, high = ends(seen.average, control=recipe)
    return (-high).min(1), (-low).min(1)


def no_gain(seen: Studies) -> Ends:
    values = seen.gains[..., TARGETS.index("xnli")]
    return MARGIN - ends(values, sides=1, which=0)[1].max(1), MARGIN - ends(values, sides=1)[0].max(1)


def no_better(seen: Studies, recipe: str = "mnli", rival: str = "hellaswag") -> Ends:
    others = [name for name in RECIPES if name != recipe]
    low, high = (end[:, others.index(rival)] for end in ends(seen.average, control=recipe, sides=1, which=0))
    return MARGIN - high, MARGIN - low


def no_cost(percent: np.ndarray) -> Ends:
    """From percent of seconds that recipes take more [studies, seeds]."""
    low, high = over_seeds(percent, 0.9)
    least = np.where((low < 0) & (high > 0), 0, np.minimum(abs(low), abs(high)))
    return MARGIN - np.maximum(abs(low), abs(high)), MARGIN - least


def largest_gain(seen: Studies) -> Ends:
    means = seen.gains[:, :, 1:].mean(2)
    return over_seeds(means[..., -1] - means[..., :-1].mean(2), 0.95)


def best_per_target(seen: Studies) -> Ends:
    others = (seen.dev.sum(1, keepdims=True) - seen.dev) / (seen.dev.shape[1] - 1)
    chosen = others[:, :, 1:].argmax(2)
    chosen[..., -1] = others[:, :, 1:, :-1].mean(3).argmax(2)
    return over_seeds(np.take_along_axis(seen.gains[:, :, 1:], chosen[:, :, None], 2)[:, :, 0].mean(2), 0.97)


def decided(low_high: Ends) -> np.ndarray:
    """1 supported, -1 contradicted, 0 undecided."""
    low, high = low_high
    return (low > 0) * 1 - (high < 0) * 1


# ---------------------------------------------------------------- what is asked of simulated studies


def without_effect(world: World, studies: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of studies without any effect: which of them wrongly call something one."""
    seen = simulate(world, {}, studies, rng)
    found = decided(ends(seen.average))
    on_targets = np.stack([decided(ends(seen.gains[..., i])) for i in range(len(TARGETS))], 2)
    average, some = (found != 0).any(1), (on_targets != 0).any(1)
    chosen = seen.dev[..., :-1].mean((1, 3))[:, 1:].argmax(1)
    asked = {
        "some recipe's average gain called": average,
        "some recipe's gain on a target called": some[:, 0],
        "some gain called, on average or on any of five targets": average | some.any(1),
        "headline's gain called": found[np.arange(studies), chosen] != 0,
        "best called": decided(best(seen)) != 0,
        "largest_gain called": decided(largest_gain(seen)) != 0,
        "best_per_target called": decided(best_per_target(seen)) != 0,
        "a recipe not among those that may be the best": (ends(seen.average, control="all", sides=1)[0] > 0).any(1),
        "all average gains inside their intervals": ~average,
    }
    others = {f"some average gain called by {name}": called for name, called in other_methods(seen.average).items()}
    return {f"no effect: {what}": rate for what, rate in (asked | others).items()}


def at_the_margin(world: World, studies: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of studies whose effects are as large as the margin: which of them decide a claim that there is none, either way."""
    one = simulate(world, dict.fromkeys(RECIPES[2:], -5.0) | {"mnli": MARGIN}, studies, rng, target="xnli")
    every = simulate(world, dict.fromkeys(RECIPES[1:], MARGIN), studies, rng, target="xnli")
    better = decided(no_better(simulate(world, {"hellaswag": MARGIN}, studies, rng)))
    cost = decided(no_cost(MARGIN + rng.standard_normal((studies, world.seeds))))
    asked = {
        "no_gain supported": decided(no_gain(one)) > 0,
        "no_gain contradicted": decided(no_gain(every)) < 0,
        "no_better supported": better > 0,
        "no_better contradicted": better < 0,
        "no_cost supported": cost > 0,
        "no_cost contradicted": cost < 0,
    }
    return {f"at the margin: {what}": rate for what, rate in asked.items()}


def with_effect(world: World, studies: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Of studies with a gain that is said to be found with 80% power: which find it, on average and on one target."""
    least = blocks.detectable(world.seeds, len(RECIPES) - 1)
    everywhere = simulate(world, {"mnli": least / np.sqrt(len(TARGETS))}, studies, rng)
    on_one = simulate(world, {"mnli": least}, studies, rng, target="xnli")
    return {
        "planted: average gain of the detectable size found": decided(ends(everywhere.average))[:, 0] > 0,
        "planted: a target's gain of the detectable size found": decided(ends(on_one.gains[..., 0]))[:, 0] > 0,
    }


# ---------------------------------------------------------------- other methods, for comparison


def other_methods(values: np.ndarray) -> dict[str, np.ndarray]:
    """Which of [studies, seeds, recipes] call some gain by Dunnett's method with the residual of the two-way fit, by each recipe's own paired
    t-test with Bonferroni's correction, and by the first unless some recipe's variance is plainly larger (at 5%), then by the second."""
    n, k = values.shape[1], values.shape[2] - 1
    residual = values - values.mean(1, keepdims=True) - values.mean(2, keepdims=True) + values.mean((1, 2), keepdims=True)
    pooled = np.sqrt(2 * (residual**2).sum((1, 2), keepdims=True)[:, 0] / ((n - 1) * k) / n)
    gains = np.abs(values[:, :, 1:].mean(1) - values[:, :, :1].mean(1))
    own = (values[:, :, 1:] - values[:, :, :1]).std(1, ddof=1) / np.sqrt(n)
    first = (gains > dunnett(n, k) * pooled).any(1)
    second = (gains > student.ppf(1 - 0.025 / k, n - 1) * own).any(1)
    mask = np.ones(values.shape[1:], bool)
    uneven = blocks.measure(values, mask)[2].max(1) > blocks.ratio_point(tuple(map(tuple, mask.tolist())))
    whichever = np.where(uneven, second, first)
    return {
        "the residual of the two-way fit": first,
        "each recipe's own variance": second,
        "whichever of the two a test prefers": whichever,
    }


@cache
def dunnett(seeds: int, recipes: int) -> float:
    """Dunnett's two-sided 5% point for recipes against `none` in complete blocks, (seeds - 1) x recipes degrees of freedom, by simulation:
    the largest of equally correlated t."""
    draws = np.random.default_rng(0).standard_normal((400_000, recipes + 1))
    scale = np.sqrt(np.random.default_rng(1).chisquare((seeds - 1) * recipes, 400_000) / ((seeds - 1) * recipes))
    largest = np.abs(draws[:, 1:] - draws[:, :1]).max(1) / np.sqrt(2) / scale
    return float(np.quantile(largest, 0.95))


# ---------------------------------------------------------------- all of them


def bar(what: str, world: World) -> tuple[float, float] | None:
    """What a rate (percent) must lie between; None where no bar is set."""
    if what.startswith("planted") or "inside" in what:
        low, high = (80, 100) if what.startswith("planted") else (94, 96)
        return (low, high) if world.variances == "equal" and not world.collapses else None
    is_own = " called by " not in what and "any of five" not in what
    return (0, 5) if is_own and world.variances != "none 4" else None


def rates(world: World, studies: int = STUDIES) -> list[dict]:
    """The rows of the table for one kind of study: in how many percent of simulated studies each thing happened, and what it should be."""
    rng = np.random.default_rng(WORLDS.index(world))
    found = {what: is_so for asked in (without_effect, at_the_margin, with_effect) for what, is_so in asked(world, studies, rng).items()}
    rows = []
    for what, rate in (100 * pd.DataFrame(found).mean()).items():
        bounds = bar(what, world)
        error = 2 * 100 * np.sqrt(max(rate, 1) / 100 * (1 - min(rate, 99) / 100) / studies)
        within = "" if bounds is None else "yes" if bounds[0] - error <= rate <= bounds[1] + error else "no"
        rows.append(
            {
                "seeds": world.seeds,
                "variances": world.variances,
                "collapses": "1 in 50" if world.collapses else "none",
                "what": what,
                "percent of studies": round(rate, 1),
                "bar": "" if bounds is None else f"{bounds[0]} to {bounds[1]}",
                "holds within two standard errors": within,
            }
        )
    return rows


def run() -> None:
    """Simulate every kind of study, write the table to results/statistics.csv and print those of its rows that broke their bar."""
    rows = [row for world in WORLDS for row in rates(world)]
    TABLE.parent.mkdir(exist_ok=True)
    with open(TABLE, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    broken = [row for row in rows if row["holds within two standard errors"] == "no"]
    table = Table(*rows[0], title=f"{len(broken)} of {sum(bool(row['bar']) for row in rows)} bars are broken")
    for row in broken:
        table.add_row(*map(str, row.values()))
    Console().print(table)
