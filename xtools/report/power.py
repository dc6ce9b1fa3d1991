"""Which gain a study can find: in 80% of studies like it, the simultaneous interval of a recipe with that gain leaves zero out."""

import numpy as np
import pandas as pd

from xtools import records
from xtools.report import blocks, choosing, stats
from xtools.study import Study

WANTED = 3.0  # points: what a study should be able to find, the least that its papers would call an effect


def noise(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """The standard deviation of one run (points), its seed's level left out, per backbone of each target and of the average."""
    averages = choosing.gains(table, study.targets).assign(target="average")
    gains = pd.concat([stats.gains(stats.task_scores(table), ["backbone", "target"]), averages])
    rows = []
    for (backbone, target), own in gains.groupby(["backbone", "target"], sort=False):
        found = blocks.fit(blocks.wide(own))
        rows += [(backbone, target, found.noise)] if found and not np.isnan(found.noise) else []
    return pd.DataFrame(rows, columns=["backbone", "target", "noise"])


def detectable(study: Study) -> float:
    """The gain that the study's seeds and recipes find with 80% power, in standard deviations of one run; nan where it has but one seed."""
    recipes = len(study.recipes) - 1
    return blocks.detectable(len(study.seeds), recipes) if recipes else np.nan


def frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Per backbone and target: a run's standard deviation, the gain that is found with 80% power, and about how many seeds find `WANTED`."""
    found, factor = noise(study, table), detectable(study)
    gain = factor * found.noise
    seeds = (
        [f"{n:,.0f}" for n in np.ceil(len(study.seeds) * np.maximum(gain / WANTED, 2 / len(study.seeds)) ** 2)] if factor == factor else "–"
    )
    shown = {"sd of a run": found.noise.round(1), "gain found with 80% power": gain.round(1), f"seeds for {WANTED:.0f} points": seeds}
    return found[["backbone", "target"]].assign(**shown)


def smallest(study: Study, table: pd.DataFrame, target: str = "average") -> dict[str, float]:
    """The gain (points) that is found with 80% power, per backbone, on a target or the average; those that are not known left out."""
    found, factor = noise(study, table), detectable(study)
    return {row.backbone: factor * row.noise for row in found[found.target == target].itertuples() if factor == factor}


def by_target(study: Study, table: pd.DataFrame, backbone: str) -> dict[str, float]:
    """The gain (points) that is found with 80% power on each target and the average, for one backbone."""
    found = noise(study, table[table.backbone == backbone])
    return dict(zip(found.target, (detectable(study) * found.noise).fillna(0.0), strict=True))


def first_words(study: Study, table: pd.DataFrame) -> str:
    """What a study that cannot find `WANTED` points on average says before all else; empty for one that can, or where nobody knows."""
    if len(study.recipes) < 2:
        return ""
    if len(study.seeds) < 2:
        return "One seed gives no interval: this study can decide no gain."
    least = smallest(study, table)
    unable = [f"{gain:.1f} points for {backbone}" for backbone, gain in least.items() if gain > WANTED]
    return f"This study cannot find an average gain of {WANTED:.0f} points: it takes {' and '.join(unable)} (80% power)." if unable else ""


def plan_lines(study: Study) -> list[str]:
    """For `make plan`: which gain the study can find, from its design and, where there are records, from their spread."""
    table = records.table(study)
    found = noise(study, table)
    words = first_words(study, table)
    design = (
        f"{len(study.seeds)} seeds and {len(study.recipes) - 1} recipes find a gain of {detectable(study):.1f} standard deviations of a run"
    )
    lines = [f"power: {words}"] if words else []
    if len(study.recipes) < 2 or len(study.seeds) < 2:
        return lines
    lines.append(f"power: {design} (80%)" + ("" if len(found) else "; no records yet to say how many points that is"))
    for backbone, own in found.groupby("backbone", sort=False):
        gains = ", ".join(f"{row.target} {detectable(study) * row.noise:.1f}" for row in own.itertuples())
        lines.append(f"  {backbone}, as its records vary, in points: {gains}")
    return lines
