"""The ledger: each claim of params/claims.yaml held against the records by one of the tests below; a verdict with its interval."""

from typing import Annotated, Literal

import pandas as pd
import yaml
from pydantic import Field, TypeAdapter

from xtools import stats
from xtools.study import ROOT, Strict


class Claim(Strict):
    """A sentence from a source, what it published and how surely that is known, and the test that decides it.

    Confidence tags: V read in the primary text; V2 read second-hand; A recalled, and arithmetic agrees; R recalled only.
    """

    id: str
    claim: str
    source: str
    published: str
    confidence: Literal["V", "V2", "A", "R"]
    test: Literal["gain", "best", "largest_gain", "no_gain"]
    recipe: str = ""
    target: str = ""
    group: list[str] = []
    margin: Annotated[float, Field(ge=0)] = 0.0  # points; `no_gain` is refuted only by more than this


def load(path=ROOT / "params" / "claims.yaml") -> list[Claim]:
    """The claims of the ledger; every id once."""
    claims = TypeAdapter(list[Claim]).validate_python(yaml.safe_load(path.read_text()))
    if len({c.id for c in claims}) < len(claims):
        raise ValueError(f"{path.name}: an id stands twice")
    return claims


def decide(low: float, high: float) -> str:
    """supported when the whole interval is above zero, contradicted when it is below, else undecided."""
    return "supported" if low > 0 else "contradicted" if high < 0 else "undecided"


def _paired(a: pd.DataFrame, b: pd.DataFrame) -> tuple[float, float, float]:
    """Mean and interval of a's gain minus b's over the seeds that both have."""
    difference = (a.set_index("seed").gain - b.set_index("seed").gain).dropna()
    return stats.interval(difference)


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
    """The gain, averaged over recipes, is larger on the claim's group of targets than on all others together."""
    inside = per_target[per_target.target.isin(claim.group)].groupby("seed").gain.mean().reset_index()
    outside = per_target[~per_target.target.isin(claim.group)].groupby("seed").gain.mean().reset_index()
    return _paired(inside, outside)


def no_gain(claim: Claim, average: pd.DataFrame, per_target: pd.DataFrame) -> tuple:
    """No recipe gains more than `margin` on the target: margin minus the gain of the recipe with the largest mean is above zero."""
    frame = per_target[per_target.target == claim.target]
    if frame.empty:
        return stats.interval([])
    leader = frame.groupby("recipe").gain.mean().idxmax()
    return stats.interval(claim.margin - frame[frame.recipe == leader].gain)


TESTS = {"gain": gain, "best": best, "largest_gain": largest_gain, "no_gain": no_gain}


def ledger(table: pd.DataFrame, study) -> pd.DataFrame:
    """One row per claim and backbone: the claim, published figure, measured figure with interval, seeds, verdict.

    A claim whose recipe, target or group the study lacks is `not tested`; one whose cells are missing has no interval and is undecided.
    """
    scores = stats.task_scores(table)
    averages = stats.gains(stats.complete(scores, study.targets), ["backbone"])
    per_target = stats.gains(scores, ["backbone", "target"])
    rows = []
    for claim in load():
        lacking = {claim.recipe, claim.target, *claim.group} - {"", *study.recipes, *study.targets}
        for backbone in study.backbones:
            a, t = averages[averages.backbone == backbone], per_target[per_target.backbone == backbone]
            mean, low, high = stats.interval([]) if lacking else TESTS[claim.test](claim, a, t)
            verdict = f"not tested ({', '.join(sorted(lacking))} not in this study)" if lacking else decide(low, high)
            rows.append(
                claim.model_dump(include={"id", "claim", "source", "published", "confidence"})
                | {"backbone": backbone, "mean": mean, "low": low, "high": high, "verdict": verdict}
            )
    return pd.DataFrame(rows)
