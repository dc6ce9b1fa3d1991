"""The ledger: each claim of params/ledgers/claims.yaml held against the records by one of the tests below; a verdict with its interval."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, TypeAdapter

from xtools import ROOT, benchmark, records, tasks
from xtools.report import blocks, centring, choosing, costs, stats, tables
from xtools.report.blocks import Interval
from xtools.settings import Strict
from xtools.study import Study

MANY = 1_000  # seeds beyond which the exact number says nothing


class Claim(Strict):
    """A sentence from a source, what it published and how surely that is known, and the test that decides it.

    Confidence tags: V read in the primary text; V2 read second-hand; A recalled, and arithmetic agrees; R recalled only.
    """

    id: str
    claim: str
    source: str
    published: str
    confidence: Literal["V", "V2", "A", "R"]
    points: float = np.nan  # the published figure, where it is one and of what the test measures
    test: Literal[
        "gain",
        "best",
        "largest_gain",
        "no_gain",
        "no_better",
        "no_cost",
        "best_per_target",
        "centred",
        "rows",
        "design",
        "format",
        "stated",
    ]
    recipe: str = ""
    rival: str = ""
    formats: dict[str, str] = {}  # of `format`: tasks and the published format of each
    figure: dict[str, int] = {}  # of `rows` and `design`: what is counted, and the published number
    target: str = ""
    group: str = ""  # of targets, as a benchmark calls it
    margin: Annotated[float, Field(ge=0)] = 0.0  # points, of `no_cost` percent; what is less counts as nothing


def load(path: Path = ROOT / "params" / "ledgers" / "claims.yaml") -> list[Claim]:
    """The claims of the ledger; every id once."""
    claims = TypeAdapter(list[Claim]).validate_python(yaml.safe_load(path.read_text()))
    if len({c.id for c in claims}) < len(claims):
        raise ValueError(f"{path.name}: an id stands twice")
    return claims


def decide(found: Interval) -> str:
    """supported when the whole interval is above zero, contradicted when it is below, else undecided, with the number of seeds that would
    decide."""
    if found.low > 0 or found.high < 0:
        return "supported" if found.low > 0 else "contradicted"
    more = blocks.seeds_to_decide(found)
    return "undecided" + (
        f" (about {more:,} seeds would decide)" if more and more <= MANY else f" (more than {MANY:,} seeds)" if more else ""
    )


@dataclass(frozen=True)
class Evidence:
    """What a study has measured of one backbone, for a claim's test: gains over `none` in points [seeds, recipes], with zeros for `none`
    (`blocks.wide`), averaged over targets and of each target; the source's development scores (`choosing.development`); what a recipe costs in
    inference, as seconds of scoring after it over those after `none`, each end a one-sided bound; and gains as `average` has them, over
    the searched targets alone and of centred vectors (None: no such scores)."""

    average: pd.DataFrame
    per_target: dict[str, pd.DataFrame]
    dev: pd.DataFrame
    cost: Interval = blocks.NOTHING
    centred: pd.DataFrame | None = None


def _fit(claim: Claim, seen: Evidence, control: str = "none") -> blocks.Fit | None:
    """All recipes against a control, on the claim's target or on the average over targets."""
    values = seen.per_target.get(claim.target) if claim.target else seen.average
    return None if values is None else blocks.fit(values, control)


def gain(claim: Claim, seen: Evidence) -> Interval:
    """The recipe's gain on a target, or on the average over targets, is above zero: its interval is simultaneous with all recipes'."""
    found = _fit(claim, seen)
    return found.interval(claim.recipe) if found else blocks.NOTHING


def best(claim: Claim, seen: Evidence) -> Interval:
    """The recipe is better than every other, `none` among them: what it has over the best of them is above zero.

    Held against all at once, so that no rival is chosen, by whatever scores: the ends are the least that the simultaneous intervals of the
    differences leave to it.
    """
    found = _fit(claim, seen, control=claim.recipe)
    if found is None or len(found.recipes) < 2:
        return blocks.NOTHING
    over = [made.minus_from(0) for made in found.intervals().values()]
    return min(over)._replace(low=min(made.low for made in over), high=min(made.high for made in over))


def largest_gain(claim: Claim, seen: Evidence) -> Interval:
    """The gain, averaged over recipes, is larger on the claim's group of targets, as far as the study has it, than on all others together.

    One figure a seed: its t-interval over seeds.
    """
    gains = {target: own.iloc[:, 1:].mean(axis=1, skipna=False) for target, own in seen.per_target.items()}
    inside = set(benchmark.group(claim.group)) & set(gains)
    if not inside or inside == set(gains):
        return blocks.NOTHING
    means = (pd.DataFrame({target: gains[target] for target in side}).mean(axis=1, skipna=False) for side in (inside, set(gains) - inside))
    return over_seeds((next(means) - next(means)).dropna())


def no_gain(claim: Claim, seen: Evidence) -> Interval:
    """No recipe gains `margin` or more on the target: margin minus the largest gain is above zero.

    Two one-sided tests. Supported where every recipe's own bound lies below the margin (Berger's intersection-union test, which needs no
    correction); contradicted where some recipe's simultaneous bound lies above it.
    """
    found = _fit(claim, seen)
    if found is None:
        return blocks.NOTHING
    alone, together = ([*found.intervals(sides=1, together=which).values()] for which in (False, True))
    largest = Interval(max(found.means), max(i.low for i in together), max(i.high for i in alone), together[0].seeds, together[0].how)
    return largest.minus_from(claim.margin)


def no_better(claim: Claim, seen: Evidence) -> Interval:
    """The rival is better than the recipe by less than `margin` on the average over targets: margin minus (rival minus recipe) is above zero.

    That nothing is gained cannot be seen, that less than a margin is gained can: a one-sided test on either side of it, so each end of the
    interval is a one-sided bound of 95%.
    """
    found = _fit(claim, seen, control=claim.recipe)
    return found.interval(claim.rival, sides=1, together=False).minus_from(claim.margin) if found else blocks.NOTHING


def no_cost(claim: Claim, seen: Evidence) -> Interval:
    """Scoring after a recipe takes neither `margin` percent more nor less time than after `none`: two one-sided tests, so that the margin
    minus the change, whatever its sign, is above zero."""
    mean, low, high = (100 * (ratio - 1) for ratio in seen.cost[:3])
    least = 0.0 if low < 0 < high else min(abs(low), abs(high))
    return seen.cost._replace(mean=abs(mean), low=least, high=max(abs(low), abs(high))).minus_from(claim.margin)


def best_per_target(claim: Claim, seen: Evidence) -> Interval:
    """The mean over targets of the best recipe's gain is above zero, the best chosen for each target and seed by the development scores of
    the other seeds.

    A run that is lucky on the development set is so on the test set too: choosing by a seed's own scores would make the gain of chance
    alone positive. The seeds' figures share the seeds that chose, so the t-interval is one of 97%, which covers 95% or a little more
    (results/statistics.csv; one of 95% covers 91 to 95%, the less the more alike a run's two scores are).
    """
    chosen = choosing.per_target(choosing.by_other_seeds(seen.dev), [*seen.per_target])
    values = []
    for seed, row in zip(chosen.index, chosen.to_dict("records"), strict=True):
        found = [seen.per_target[target].get(recipe, {}).get(seed, np.nan) for target, recipe in row.items()]
        values += [np.mean(found)] if found and not np.isnan(found).any() else []
    without = choosing.unscored(seen.dev, [*seen.per_target])
    how = f"; for {', '.join(without)} the recipe that the other targets' development scores choose" if without else ""
    return over_seeds(values, how, level=0.97)


def centred(claim: Claim, seen: Evidence) -> Interval:
    """The recipe's gain on searched targets is above zero when each language's mean vector is subtracted from both sides (`centring`): its
    interval is simultaneous with all recipes'."""
    found = None if seen.centred is None else blocks.fit(seen.centred)
    return found.interval(claim.recipe) if found else blocks.NOTHING


def over_seeds(values, how: str = "", level: float = stats.LEVEL) -> Interval:
    """The t-interval of one figure a seed."""
    return Interval(*stats.interval(values, level), len(values), f"{len(values)} seeds, t{how}")


TESTS = {
    "gain": gain,
    "best": best,
    "largest_gain": largest_gain,
    "no_gain": no_gain,
    "no_better": no_better,
    "no_cost": no_cost,
    "best_per_target": best_per_target,
    "centred": centred,
}


COUNTED = ("rows", "design", "format", "stated")  # tests of what is there, without an interval


def counted(claim: Claim, study: Study) -> tuple[str, str]:
    """The verdict of a claim about what is there, and what was found: rows that a study's cells trained on, the registry's tasks, or
    their formats. Rows are counted only in a study that reads the whole published sets; what a paper says of itself is not tested."""
    if claim.test == "stated":
        return "not tested (what the source did cannot be measured here)", ""
    if claim.test == "format":
        formats = {name: tasks.get(name).format for name in claim.formats}
        return ("supported" if formats == claim.formats else "contradicted"), ", ".join(formats.values())
    count = {name: _trained_rows(study, name) if claim.test == "rows" else _design()[name] for name in claim.figure}
    if None in count.values():
        return "not tested (the data is not in this study)", ""
    return ("supported" if count == claim.figure else "contradicted"), ", ".join(f"{n:,} {what}" for what, n in count.items())


def _trained_rows(study: Study, task: str) -> int | None:
    if study.source != "hub" or study.subset or study.intermediate is None or study.intermediate.for_task(task).examples:
        return None
    trained = (record for cell, record in records.of_phase(study, "intermediate") if cell.recipe == task)
    return next((record.result.examples[task] for record in trained), None)


@cache
def _design() -> dict[str, int]:
    """What this project has of the source paper's design, counted over the paper's own list (params/ledgers/design.yaml)."""
    paper = yaml.safe_load((ROOT / "params" / "ledgers" / "design.yaml").read_text())
    known = {name: task.format for name, task in tasks.registry().items()}
    intermediate, targets = (
        {name for name, form in paper[key].items() if known.get(name) == form} for key in ("intermediate tasks", "targets")
    )
    return {
        "intermediate tasks": len(intermediate),
        "formats of intermediate tasks": len({known[name] for name in intermediate}),
        "targets": len(targets),
        "phases of training": len(set(paper["phases"]) & set(records.NOTEBOOKS)),
        "most languages of a target": max(len(benchmark.XTREME[name]) for name in targets),
    }


def ledger(table: pd.DataFrame, study: Study, claims: list[Claim] | None = None) -> pd.DataFrame:
    """One row per claim (None: all of the ledger's) and backbone: the claim, published figure, measured figure with interval, seeds, verdict.

    A claim whose recipe or target the study lacks, or of whose group it has none, is `not tested`; one whose cells are missing has no
    interval and is undecided.
    """
    seen = evidence(table, study)
    rows = []
    for claim in load() if claims is None else claims:
        if tables.is_reduced(study, claim.recipe or "none"):
            claim = claim.model_copy(update={"claim": f"{claim.claim} (here without {', '.join(study.left_out)})"})
        if claim.test in COUNTED:
            verdict, figures = counted(claim, study)
            rows.append(_row(claim, "–", blocks.NOTHING, verdict, behind(claim, study, None), figures))
            continue
        lacking = _lacking(claim, study)
        for backbone in study.backbones:
            found = blocks.NOTHING if lacking else TESTS[claim.test](claim, seen[backbone])
            verdict = f"not tested ({', '.join(sorted(lacking))} not in this study)" if lacking else decide(found)
            rows.append(_row(claim, backbone, found, verdict, [] if lacking else behind(claim, study, backbone)))
    return pd.DataFrame(rows)


def evidence(table: pd.DataFrame, study: Study) -> dict[str, Evidence]:
    """What the tests see of each backbone."""
    averages = choosing.gains(table, study.targets)
    per_target = stats.gains(stats.task_scores(table), ["backbone", "target"])
    cost, both = costs.recipe_cost(study, stats.ONE_SIDED), centring.Both.of(study)
    return {
        backbone: Evidence(
            blocks.wide(averages[averages.backbone == backbone]),
            {target: blocks.wide(own) for target, own in per_target[per_target.backbone == backbone].groupby("target", sort=False)},
            choosing.development(table, backbone),
            cost.get(backbone, blocks.NOTHING),
            blocks.wide(both.gains("centred", backbone)) if both.targets else None,
        )
        for backbone in study.backbones
    }


def _lacking(claim: Claim, study: Study) -> set[str]:
    """What a claim is about and the study does not have; of a group of targets any one is enough."""
    group = {claim.group} if claim.group and not set(benchmark.group(claim.group)) & set(study.targets) else set()
    return ({claim.recipe, claim.rival, claim.target} - {"", *study.recipes, *study.targets}) | group


def behind(claim: Claim, study: Study, backbone: str | None) -> list[str]:
    """The names of the cells with a record that a claim's figure is computed from."""
    if claim.test in COUNTED:
        wanted = [c for c in study.cells() if c.phase == "intermediate" and c.recipe in claim.figure]
    else:
        recipes = {claim.recipe, claim.rival or "none", "none"} if claim.test in ("gain", "no_better", "centred") else set(study.recipes)
        wanted = [c for c in study.cells() if c.phase == "target" and c.backbone == backbone and c.recipe in recipes]
        about = {claim.target} if claim.target else benchmark.group(claim.group) if claim.test == "centred" else study.targets
        wanted = [c for c in wanted if c.target in about]
    return [cell.name for cell in wanted if cell.record.exists()]


def _row(claim: Claim, backbone: str, found: Interval, verdict: str, cells: list[str], counted: str = "") -> dict:
    decided = {"backbone": backbone, "mean": found.mean, "low": found.low, "high": found.high, "how": found.how}
    decided |= {"counted": counted, "verdict": verdict, "cells": cells}
    return claim.model_dump(include={"id", "claim", "source", "published", "confidence", "points"}) | decided
