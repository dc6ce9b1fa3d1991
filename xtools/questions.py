"""The five questions of the study, each as tables of figures with intervals, all read from records.

1. Does choosing the recipe by English scores lose anything?  2. Does the transfer gap depend on size, and on single or multi-task training?
3. Do XTREME and XTREME-R agree?  4. What is a gain worth in inference?  5. How much intermediate data does which language need?
"""

from functools import cache

import numpy as np
import pandas as pd
import yaml

from xtools import benchmark, report, stats
from xtools.sources import world
from xtools.study import ROOT, Recipe, Study


def choices(table: pd.DataFrame) -> pd.DataFrame:
    """Per backbone, target and seed: test score of the recipe with the best source development score, of the best in hindsight, and of
    `none`; targets without a development score are left out."""
    dev = table[table.split == "dev"][["backbone", "recipe", "target", "seed", "score"]].rename(columns={"score": "dev"})
    both = stats.task_scores(table).merge(dev, on=["backbone", "recipe", "target", "seed"])
    rows = []
    for (backbone, target, seed), found in both.groupby(["backbone", "target", "seed"], sort=False):
        if "none" in set(found.recipe) and len(found) > 1:
            chosen = found.loc[found.dev.idxmax()]
            none = found[found.recipe == "none"].score.iloc[0]
            rows.append((backbone, target, seed, chosen.recipe, chosen.score, found.score.max(), none))
    return pd.DataFrame(rows, columns=["backbone", "target", "seed", "recipe", "chosen", "best", "none"])


def regret_frame(table: pd.DataFrame) -> pd.DataFrame:
    """Question 1: per backbone, averaged over targets: gain over `none` of the recipe chosen in the source language, and its regret, the
    points that it lies below the best in hindsight (never negative, so its interval says how large, not whether)."""
    found = choices(table)
    means = found.assign(gain=found.chosen - found.none, regret=found.best - found.chosen, ceiling=found.best - found.none)
    means = means.groupby(["backbone", "seed"], sort=False)[["gain", "regret", "ceiling"]].mean().reset_index()
    rows = []
    for backbone, own in means.groupby("backbone", sort=False):
        shown = {k: stats.show(*stats.interval(own[k]), sign=k != "regret") for k in ("gain", "ceiling", "regret")}
        agreed = (found[found.backbone == backbone].chosen == found[found.backbone == backbone].best).mean()
        rows.append({"backbone": backbone, "gain of the chosen": shown["gain"], "gain of the best in hindsight": shown["ceiling"],
                     "regret": shown["regret"], "chosen = best": f"{100 * agreed:.0f}% of {len(found[found.backbone == backbone])}"})  # fmt: skip
    return pd.DataFrame(rows)


def gap_frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Question 2: mean transfer gap per backbone of single-task recipes, of `all` and of `none`, and multi-task minus single-task."""
    gaps = stats.gap(table, study.source_language)
    gaps["kind"] = gaps.recipe.map(lambda r: {"none": "none", "all": "multi-task"}.get(Recipe.parse(r).task, "single-task"))
    means = gaps.groupby(["backbone", "kind", "seed"], sort=False).gap.mean().unstack("kind").reset_index()
    rows = []
    for backbone, own in means.groupby("backbone", sort=False):
        row = {"backbone": backbone}
        for kind in ("none", "single-task", "multi-task"):
            row[kind] = stats.show(*stats.interval(own[kind].dropna())) if kind in own else "–"
        both = {"single-task", "multi-task"} <= set(own.columns)
        row["multi minus single"] = (
            stats.show(*stats.interval((own["multi-task"] - own["single-task"]).dropna()), sign=True) if both else "–"
        )
        rows.append(row)
    return pd.DataFrame(rows)


def size_interaction(study: Study, table: pd.DataFrame) -> tuple[float, float, float]:
    """Question 2: how multi-task minus single-task gap changes from the first backbone to the last, points, paired by seed."""
    gaps = stats.gap(table, study.source_language)
    gaps["kind"] = gaps.recipe.map(lambda r: {"none": "none", "all": "multi"}.get(Recipe.parse(r).task, "single"))
    wide = gaps.groupby(["backbone", "seed", "kind"]).gap.mean().unstack("kind")
    if not {"single", "multi"} <= set(wide.columns) or len(study.backbones) < 2:
        return stats.interval([])
    difference = (wide["multi"] - wide["single"]).unstack("backbone")
    first, last = next(iter(study.backbones)), list(study.backbones)[-1]
    return stats.interval((difference[last] - difference[first]).dropna()) if {first, last} <= set(difference) else stats.interval([])


def benchmark_gains(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Question 3: gain of each recipe over `none`, and of the last backbone over the first, averaged over the study's targets that are
    in XTREME and over those in XTREME-R."""
    scores = stats.task_scores(table)
    rows = []
    for name, members in benchmark.BENCHMARKS.items():
        targets = [t for t in study.targets if t in members]
        means = stats.complete(scores[scores.target.isin(targets)], targets)
        for backbone in study.backbones:
            gains = stats.gains(means[means.backbone == backbone], ["backbone"])
            rows += [
                {"what": f"{recipe}, {backbone}", "benchmark": name, "gain": stats.show(*stats.interval(own.gain), sign=True)}
                for recipe, own in gains.groupby("recipe", sort=False)
            ]
        first, last = (means[(means.backbone == b) & (means.recipe == "none")].set_index("seed").score for b in _ends(study))
        rows.append(
            {"what": "size, recipe none", "benchmark": name, "gain": stats.show(*stats.interval((last - first).dropna()), sign=True)}
        )
    found = pd.DataFrame(rows, columns=["what", "benchmark", "gain"])
    order = list(dict.fromkeys(found.what))
    wide = found.pivot(index="what", columns="benchmark", values="gain").reindex(order).fillna("–")
    return wide.rename_axis(None, axis=1).reset_index().rename(columns={"what": "gain (points)"})


def _ends(study: Study) -> tuple[str, str]:
    """The study's first and last backbone, its smallest and its largest."""
    return next(iter(study.backbones)), list(study.backbones)[-1]


def worth_frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Question 4: what going from the first backbone to the last costs and gives, recipe `none`: factors of latency, FLOPs and memory,
    points of average score, and points for each doubling of latency."""
    times = report.timing_table(study).groupby("backbone")[["latency", "throughput", "gflops", "memory"]].median()
    first, last = _ends(study)
    if not {first, last} <= set(times.index) or first == last:
        return pd.DataFrame()
    averages = stats.complete(stats.task_scores(table), study.targets)
    none = averages[averages.recipe == "none"].pivot(index="seed", columns="backbone", values="score")
    gain = (none[last] - none[first]).dropna() if {first, last} <= set(none) else pd.Series(dtype=float)
    factor = times.loc[last] / times.loc[first]
    doublings = np.log2(factor.latency)
    return pd.DataFrame(
        [
            {
                "from, to": f"{first}, {last}",
                "latency": f"x {factor.latency:.2f}",
                "throughput": f"x {factor.throughput:.2f}",
                "FLOPs": f"x {factor.gflops:.2f}",
                "memory": f"x {factor.memory:.2f}",
                "average score (points)": stats.show(*stats.interval(gain), sign=True),
                "points per doubling of latency": stats.show(*stats.interval(gain / doublings), sign=True) if doublings > 0 else "–",
            }
        ]
    )


def amounts(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Question 5: gain over `none` against the number of intermediate examples of one task, by kind of language, with intervals.

    Kinds are source, high-resource, low-resource and unseen: in the microworld by the share of pretraining text.
    """
    sizes = {}
    for recipe in study.recipes:
        parsed = Recipe.parse(recipe)
        if parsed.task not in ("none", "all") and not parsed.mlm and not parsed.translated:
            n = parsed.examples or study.intermediate.for_task(parsed.task).examples
            if n:
                sizes[recipe] = (parsed.task, n)
    test = table[table.split == "test"].assign(kind=lambda t: t.language.map(lambda lang: language_kind(study, lang)))
    means = test.groupby(["backbone", "recipe", "kind", "target", "seed"], sort=False).score.mean().reset_index()
    gains = stats.gains(means, ["backbone", "kind", "target"])
    gains = gains[gains.recipe.isin(sizes)].groupby(["backbone", "recipe", "kind", "seed"], sort=False).gain.mean().reset_index()
    found = stats.summarize(gains, ["backbone", "recipe", "kind"], "gain")
    found["task"], found["examples"] = ([sizes[r][i] for r in found.recipe] for i in (0, 1))
    several = found.groupby("task").examples.nunique()
    return found[found.task.isin(several[several > 1].index)]


def language_kind(study: Study, language: str) -> str:
    """source, high-resource, low-resource or unseen, by the amount of pretraining text."""
    if language == study.source_language:
        return "source"
    if study.source == "microworld":
        share = world.LANGUAGES[language].share
        return "unseen" if share == 0 else "low-resource" if share < 1 else "high-resource"
    known = _pretraining_text()
    size = known["gib"].get(language)
    return (
        "unknown" if size is None else "unseen" if size == 0 else "low-resource" if size < known["low_resource_below"] else "high-resource"
    )


@cache
def _pretraining_text() -> dict:
    """params/languages.yaml: GiB of CC-100 per language."""
    return yaml.safe_load((ROOT / "params" / "languages.yaml").read_text())
