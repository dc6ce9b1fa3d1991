"""The ledger: each claim of params/ledgers/claims.yaml held against the records by one of the tests below; a verdict with its interval."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import yaml
from pydantic import Field, TypeAdapter

from xtools import ROOT, benchmark, records, tasks
from xtools.report import stats, tables
from xtools.settings import Strict
from xtools.study import Study


class Claim(Strict):
    """A sentence from a source, what it published and how surely that is known, and the test that decides it.

    Confidence tags: V read in the primary text; V2 read second-hand; A recalled, and arithmetic agrees; R recalled only.
    """

    id: str
    claim: str
    source: str
    published: str
    confidence: Literal["V", "V2", "A", "R"]
    test: Literal["gain", "best", "largest_gain", "no_gain", "no_better", "best_per_target", "rows", "design", "format", "stated"]
    recipe: str = ""
    rival: str = ""
    formats: dict[str, str] = {}  # of `format`: tasks and the published format of each
    figure: dict[str, int] = {}  # of `rows` and `design`: what is counted, and the published number
    target: str = ""
    group: str = ""  # of targets, as a benchmark calls it
    margin: Annotated[float, Field(ge=0)] = 0.0  # points; `no_gain` and `no_better` are refuted only by more than this


def load(path: Path = ROOT / "params" / "ledgers" / "claims.yaml") -> list[Claim]:
    """The claims of the ledger; every id once."""
    claims = TypeAdapter(list[Claim]).validate_python(yaml.safe_load(path.read_text()))
    if len({c.id for c in claims}) < len(claims):
        raise ValueError(f"{path.name}: an id stands twice")
    return claims


def decide(low: float, high: float) -> str:
    """supported when the whole interval is above zero, contradicted when it is below, else undecided."""
    return "supported" if low > 0 else "contradicted" if high < 0 else "undecided"


def _differences(a: pd.DataFrame, b: pd.DataFrame) -> pd.Series:
    """a's gain minus b's, of each seed that both have."""
    return (a.set_index("seed").gain - b.set_index("seed").gain).dropna()


def _paired(a: pd.DataFrame, b: pd.DataFrame) -> tuple[float, float, float]:
    """Mean and interval of a's gain minus b's over the seeds that both have."""
    return stats.interval(_differences(a, b))


def gain(claim: Claim, average: pd.DataFrame, per_target: pd.DataFrame) -> tuple:
    """The recipe's gain on a target, or on the average over targets, is above zero."""
    frame = per_target[per_target.target == claim.target] if claim.target else average
    return stats.interval(frame[frame.recipe == claim.recipe].gain)


def best(claim: Claim, average: pd.DataFrame, per_target: pd.DataFrame) -> tuple:
    """The recipe's average gain is above that of the best other recipe: the difference to the one with the largest mean."""
    others = average[average.recipe != claim.recipe]
    if others.empty or average[average.recipe == claim.recipe].empty:
        return stats.interval([])
    rival = others.groupby("recipe").gain.mean().idxmax()
    return _paired(average[average.recipe == claim.recipe], others[others.recipe == rival])


def largest_gain(claim: Claim, average: pd.DataFrame, per_target: pd.DataFrame) -> tuple:
    """The gain, averaged over recipes, is larger on the claim's group of targets, as far as the study has it, than on all others together."""
    is_inside = per_target.target.isin(benchmark.group(claim.group))
    inside, outside = (per_target[side].groupby("seed").gain.mean().reset_index() for side in (is_inside, ~is_inside))
    return _paired(inside, outside)


def no_gain(claim: Claim, average: pd.DataFrame, per_target: pd.DataFrame) -> tuple:
    """No recipe gains more than `margin` on the target: margin minus the gain of the recipe with the largest mean is above zero."""
    frame = per_target[per_target.target == claim.target]
    if frame.empty:
        return stats.interval([])
    leader = frame.groupby("recipe").gain.mean().idxmax()
    return stats.interval(claim.margin - frame[frame.recipe == leader].gain)


def no_better(claim: Claim, average: pd.DataFrame, per_target: pd.DataFrame) -> tuple:
    """The rival is better than the recipe by less than `margin` on the average over targets: margin minus (rival minus recipe) is above zero.

    That nothing is gained cannot be seen, that less than a margin is gained can: a one-sided test on either side of it, so each end of the
    interval is a one-sided bound of 95%.
    """
    recipe, rival = average[average.recipe == claim.recipe], average[average.recipe == claim.rival]
    return stats.interval(claim.margin - _differences(rival, recipe), stats.ONE_SIDED)


def best_per_target(claim: Claim, average: pd.DataFrame, per_target: pd.DataFrame) -> tuple:
    """The mean over targets of the best recipe's gain, chosen for each target by the other seeds, is above zero.

    Choosing by a seed's own score would make the gain of chance alone positive.
    """
    values = []
    for seed in per_target.seed.unique():
        others = per_target[per_target.seed != seed].groupby(["target", "recipe"]).gain.mean()
        own = per_target[per_target.seed == seed].set_index(["target", "recipe"]).gain
        chosen = [others[target].idxmax() for target in others.index.unique("target")]
        gains = [own.get((target, recipe)) for target, recipe in zip(others.index.unique("target"), chosen, strict=True)]
        values += [sum(gains) / len(gains)] if gains and None not in gains else []
    return stats.interval(values)


TESTS = {
    "gain": gain,
    "best": best,
    "largest_gain": largest_gain,
    "no_gain": no_gain,
    "no_better": no_better,
    "best_per_target": best_per_target,
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
    scores = stats.task_scores(table)
    averages = stats.gains(stats.complete(scores, study.targets), ["backbone"])
    per_target = stats.gains(scores, ["backbone", "target"])
    rows = []
    for claim in load() if claims is None else claims:
        if tables.is_reduced(study, claim.recipe or "none"):
            claim = claim.model_copy(update={"claim": f"{claim.claim} (here without {', '.join(study.left_out)})"})
        if claim.test in COUNTED:
            verdict, figures = counted(claim, study)
            rows.append(_row(claim, "–", stats.interval([]), verdict, behind(claim, study, None), figures))
            continue
        lacking = _lacking(claim, study)
        for backbone in study.backbones:
            a, t = averages[averages.backbone == backbone], per_target[per_target.backbone == backbone]
            interval = stats.interval([]) if lacking else TESTS[claim.test](claim, a, t)
            verdict = f"not tested ({', '.join(sorted(lacking))} not in this study)" if lacking else decide(*interval[1:])
            rows.append(_row(claim, backbone, interval, verdict, [] if lacking else behind(claim, study, backbone)))
    return pd.DataFrame(rows)


def _lacking(claim: Claim, study: Study) -> set[str]:
    """What a claim is about and the study does not have; of a group of targets any one is enough."""
    group = {claim.group} if claim.group and not set(benchmark.group(claim.group)) & set(study.targets) else set()
    return ({claim.recipe, claim.rival, claim.target} - {"", *study.recipes, *study.targets}) | group


def behind(claim: Claim, study: Study, backbone: str | None) -> list[str]:
    """The names of the cells with a record that a claim's figure is computed from."""
    if claim.test in COUNTED:
        wanted = [c for c in study.cells() if c.phase == "intermediate" and c.recipe in claim.figure]
    else:
        recipes = {claim.recipe, claim.rival or "none", "none"} if claim.test in ("gain", "no_better") else set(study.recipes)
        wanted = [c for c in study.cells() if c.phase == "target" and c.backbone == backbone and c.recipe in recipes]
        wanted = [c for c in wanted if not claim.target or c.target == claim.target]
    return [cell.name for cell in wanted if cell.record.exists()]


def _row(claim: Claim, backbone: str, interval: tuple, verdict: str, cells: list[str], counted: str = "") -> dict:
    mean, low, high = interval
    decided = {"backbone": backbone, "mean": mean, "low": low, "high": high, "counted": counted, "verdict": verdict, "cells": cells}
    return claim.model_dump(include={"id", "claim", "source", "published", "confidence"}) | decided
