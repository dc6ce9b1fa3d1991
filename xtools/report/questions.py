"""The five questions of the study: for each its tables of figures with intervals, all read from records, and its answer in words.

1. Does choosing the recipe by English scores lose anything?  2. Does the transfer gap depend on size, and on single or multi-task training?
3. Do XTREME and XTREME-R agree?  4. What is a gain worth in inference?  5. How much intermediate data does which language need?
"""

import collections
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, linregress

from xtools import benchmark, encoder, records, tasks
from xtools.report import blocks, costs, languages, stats, tables
from xtools.study import Recipe, Study


@dataclass(frozen=True)
class Answer:
    """`effect` is read from records, intervals are 95% over seeds; `limits` says what does not follow; `verdict` is the effect in a word or
    two, `figures` what it rests on, as `stats.show` has it, by name, in a `unit`."""

    effect: str
    limits: str
    verdict: str = "not answered"
    figures: dict[str, str] = field(default_factory=dict)
    unit: str = "points"


NO_ANSWER = "Not answered by this study"
UNDECIDED = "undecided"


def _verdict(shown: str, above: str, below: str) -> str:
    """What a figure's interval says: it lies above zero, below, or includes it."""
    _, low, high = stats.read(shown) or (np.nan,) * 3
    return above if low > 0 else below if high < 0 else UNDECIDED


def _show(values, sign: bool = False) -> str:
    return stats.show(*stats.interval(values), sign=sign)


def _sentence(parts: list[str]) -> str:
    return f"{parts[0][0].upper()}{'; '.join(parts)[1:]}."


# ---------------------------------------------------------------- 1. choosing by English scores


def choices(table: pd.DataFrame, by_task: pd.DataFrame | None = None) -> pd.DataFrame:
    """Per backbone, target and seed: test score of the chosen recipe, of the best in hindsight, and of `none`.

    Chosen is the recipe with the best source development score on the target, or, with `by_task` (see `own_scores`), the single-task recipe
    whose intermediate task itself was learnt best, the same for all targets. Targets without a development score are left out.
    """
    dev = table[table.split == "dev"][["backbone", "recipe", "target", "seed", "score"]].rename(columns={"score": "dev"})
    both = stats.task_scores(table).merge(dev, on=["backbone", "recipe", "target", "seed"])
    if by_task is not None:
        both = both.drop(columns="dev").merge(by_task, on=["backbone", "recipe", "seed"], how="left")
    rows = []
    for (backbone, target, seed), runs in both.groupby(["backbone", "target", "seed"], sort=False):
        if "none" in set(runs.recipe) and len(runs) > 1 and runs.dev.notna().any():
            chosen = runs.loc[runs.dev.idxmax()]
            none = runs[runs.recipe == "none"].score.iloc[0]
            rows.append((backbone, target, seed, chosen.recipe, chosen.score, runs.score.max(), none))
    return pd.DataFrame(rows, columns=["backbone", "target", "seed", "recipe", "chosen", "best", "none"])


def own_scores(study: Study) -> pd.DataFrame:
    """Per backbone, single-task recipe and seed: the source development score of the intermediate task, as the share of the way from
    chance to 100, so that tasks with two and with five choices compare."""
    rows = []
    for cell, record in records.of_phase(study, "intermediate"):
        for name, score in record.result.dev.items() if Recipe.parse(cell.recipe).task != "all" else ():
            task = tasks.get(name)
            rows.append((cell.backbone, cell.recipe, cell.seed, (score.metrics[task.metric] - task.chance) / (100 - task.chance)))
    return pd.DataFrame(rows, columns=["backbone", "recipe", "seed", "dev"])


def regrets(choice: pd.DataFrame) -> pd.DataFrame:
    """Choices averaged over targets, per backbone and seed: gain of the chosen recipe over `none`, its regret (the points that it lies
    below the best in hindsight, never negative), and the gain of that best."""
    choice = choice.assign(gain=choice.chosen - choice.none, regret=choice.best - choice.chosen, ceiling=choice.best - choice.none)
    return choice.groupby(["backbone", "seed"], sort=False)[["gain", "regret", "ceiling"]].mean().reset_index()


def regret_frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Question 1: per backbone and way of choosing, averaged over targets: gain over `none` and regret, with intervals."""
    rows = []
    for way, by_task in (("target's development score", None), ("intermediate task's own score", own_scores(study))):
        choice = choices(table, by_task)
        for backbone, means in regrets(choice).groupby("backbone", sort=False):
            of_backbone = choice[choice.backbone == backbone]
            shown = {k: stats.show(*stats.interval(means[k]), sign=k != "regret") for k in ("gain", "ceiling", "regret")}
            rows.append({"backbone": backbone, "chosen by": way, "gain of the chosen": shown["gain"],
                         "gain of the best in hindsight": shown["ceiling"], "regret": shown["regret"],
                         "chosen = best": f"{100 * (of_backbone.chosen == of_backbone.best).mean():.0f}% of {len(of_backbone)}"})  # fmt: skip
    columns = ["backbone", "chosen by", "gain of the chosen", "gain of the best in hindsight", "regret", "chosen = best"]
    return pd.DataFrame(rows, columns=columns)


def choosing(study: Study, table: pd.DataFrame) -> Answer:
    """1. What does choosing the recipe by English scores lose?"""
    last = study.last
    regret_of, regret_by_task = regrets(choices(table)), regrets(choices(table, own_scores(study)))
    mine, other = regret_of[regret_of.backbone == last], regret_by_task[regret_by_task.backbone == last]
    unchosen = sorted(set(study.targets) - set(table[table.split == "dev"].target))
    limits = "Regret is never negative, so its interval says how large it is, not whether it differs from none." + (
        f" Targets without a development score cannot be chosen for: {', '.join(unchosen)}." if unchosen else ""
    )
    if mine.empty:
        return Answer(f"{NO_ANSWER}: no recipe besides none, or no development scores yet.", limits)
    gain, ceiling, regret = _show(mine.gain, True), _show(mine.ceiling, True), _show(mine.regret)
    effect = (
        f"For {last}, the recipe with the best {study.source_language} development score gains {gain} points over none and "
        f"lies {regret} below the best in hindsight"
    )
    figures = {"gain of the chosen": gain, "best in hindsight": ceiling}
    figures |= {"task learnt best": _show(other.gain, True)} if len(other) else {}
    return Answer(f"{effect}.", limits, _verdict(gain, "choosing gains", "choosing loses"), figures)


# ---------------------------------------------------------------- 2. the transfer gap


def kinds_of_gap(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Mean transfer gap over targets per backbone and seed, with a column for `none`, for single-task recipes, for multi-task ones, and
    for multi minus single."""
    gaps = stats.gap(table, study.source_language)
    gaps["kind"] = gaps.recipe.map(lambda r: {"none": "none", "all": "multi-task"}.get(Recipe.parse(r).task, "single-task"))
    wide = gaps.groupby(["backbone", "seed", "kind"], sort=False).gap.mean().unstack("kind")
    wide = wide.reindex(columns=["none", "single-task", "multi-task"]).reindex(list(study.backbones), level="backbone")
    return wide.assign(**{"multi minus single": wide["multi-task"] - wide["single-task"]}).reset_index()


def gap_frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Question 2: the gap's means per backbone with intervals over seeds, and below them the slopes on size (`gap_slopes`)."""
    gaps_of, rows = kinds_of_gap(study, table), []
    kinds = [column for column in gaps_of if column not in ("backbone", "seed")]
    for backbone, of_backbone in gaps_of.groupby("backbone", sort=False):
        rows.append({"backbone": backbone} | {k: stats.show(*stats.interval(of_backbone[k].dropna()), sign=" minus " in k) for k in kinds})
    slopes = gap_slopes(study, table)
    if slopes:
        rows.append({"backbone": "change per tenfold size"} | {k: stats.show(*slopes[k], sign=True) for k in kinds})
    return pd.DataFrame(rows)


def gap_slopes(study: Study, table: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """Question 2: slope of the gap on log10 of the encoder's weights (word embeddings left out), points per tenfold size: one least-squares
    line per seed, mean and interval over seeds. That of multi minus single is the interaction. Empty with fewer than two sizes."""
    sizes = costs.encoder_sizes(study)
    gaps_of = kinds_of_gap(study, table)
    gaps_of = gaps_of.assign(size=np.log10(gaps_of.backbone.map(sizes).astype(float))).dropna(subset="size")
    if gaps_of["size"].nunique() < 2:
        return {}
    slopes = {}
    for kind in (column for column in gaps_of if column not in ("backbone", "seed", "size")):
        with_kind = gaps_of.dropna(subset=kind)
        lines = [linregress(line["size"], line[kind]).slope for _, line in with_kind.groupby("seed") if line["size"].nunique() > 1]
        slopes[kind] = stats.interval(lines)
    return slopes


def gaps(study: Study, table: pd.DataFrame) -> Answer:
    """2. How do size and multi-task training change the transfer gap?"""
    slopes = gap_slopes(study, table)
    limits = (
        f"{len(study.backbones)} encoders are few to fit a line through, and they differ in no more than size only where the study made them "
        "so. A low source score makes a small gap too."
    )
    if not slopes:
        return Answer(f"{NO_ANSWER}: it needs encoders of two sizes.", "A low source score makes a small gap too.")
    none, multi = (stats.show(*slopes[kind], sign=True) for kind in ("none", "multi minus single"))
    told = f", and multi minus single-task by {multi}." if multi != "–" else "; no multi-task recipe is there yet."
    figures = {"gap of none": none} | ({"multi minus single": multi} if multi != "–" else {})
    verdict = _verdict(none, "gap grows with size", "gap shrinks with size")
    return Answer(
        f"Tenfold size changes the gap of recipe none by {none} points{told}", limits, verdict, figures, "points per tenfold size"
    )


# ---------------------------------------------------------------- 3. XTREME and XTREME-R


def benchmark_averages(study: Study, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Per benchmark the average over those of the study's targets that it has (`benchmark.languages_in`), per backbone, recipe and seed."""
    averages = {}
    for name in benchmark.BENCHMARKS:
        own = benchmark.languages_in(name, study)
        averages[name] = stats.complete(stats.task_scores(stats.in_languages(table, own)), list(own))
    return averages


def data_kind(recipe: str) -> str:
    """What a recipe's intermediate data is, in words."""
    parsed = Recipe.parse(recipe)
    kind = "several languages, translated" if parsed.translated else "source language"
    return kind + (" + masked-LM" if parsed.mlm else "")


def benchmark_gains(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Question 3: gain of each recipe over `none`, and of the last backbone over the first, averaged over the study's targets that are
    in XTREME and over those in XTREME-R."""
    rows = []
    for name, means in benchmark_averages(study, table).items():
        gains = blocks.summarize(stats.gains(means, ["backbone"]), ["backbone"])
        rows += [
            (f"{r.recipe}, {r.backbone}", data_kind(r.recipe), name, stats.show(r.mean, r.low, r.high, sign=True))
            for r in gains.itertuples()
        ]
        first, last = (means[(means.backbone == b) & (means.recipe == "none")].set_index("seed").score for b in (study.first, study.last))
        rows.append((f"{study.last} over {study.first}, none", "–", name, stats.show(*stats.interval((last - first).dropna()), sign=True)))
    long = pd.DataFrame(rows, columns=["gain (points)", "intermediate data", "benchmark", "gain"])
    wide = long.pivot(index=["gain (points)", "intermediate data"], columns="benchmark", values="gain")
    order = list(dict.fromkeys(zip(long["gain (points)"], long["intermediate data"], strict=True)))
    return wide.reindex(order).fillna("–").rename_axis(None, axis=1).reset_index()


def rank_agreement(study: Study, table: pd.DataFrame) -> dict[str, float]:
    """Question 3: Kendall's tau between the two benchmarks' rankings of all recipes by mean score, per backbone."""
    means = {name: m.groupby(["backbone", "recipe"]).score.mean() for name, m in benchmark_averages(study, table).items()}
    both, taus = pd.DataFrame(means).dropna(), {}
    for backbone in study.backbones:
        of_backbone = both[both.index.get_level_values("backbone") == backbone]
        if len(of_backbone) > 2:
            taus[backbone] = float(kendalltau(of_backbone["xtreme"], of_backbone["xtreme_r"]).statistic)
    return taus


def benchmarks(study: Study, table: pd.DataFrame) -> Answer:
    """3. Do XTREME and XTREME-R say the same of size and recipes?"""
    first, last = study.first, study.last
    gains = []
    for means in benchmark_averages(study, table).values():
        wide = means[means.recipe == "none"].pivot(index="seed", columns="backbone", values="score")
        gains.append(_show((wide[last] - wide[first]).dropna(), True) if {first, last} <= set(wide) and first != last else "–")
    taus = rank_agreement(study, table)
    kinds = {data_kind(recipe) for recipe in study.recipes if recipe != "none"}
    limits = f"{tables.languages_told(study)} Intermediate data: {'; '.join(sorted(kinds)) or 'none'}."
    if set(gains) <= {"–"} and not taus:
        return Answer(f"{NO_ANSWER}: no average over a benchmark's targets is whole yet.", limits)
    told = [f"from {first} to {last} is worth {gains[0]} points on XTREME's targets and {gains[1]} on XTREME-R's"] if first != last else []
    agreed = ", ".join(f"{tau:+.2f} for {backbone}" for backbone, tau in taus.items() if tau == tau) or "not to be computed yet"
    told.append(f"agreement of their rankings of the recipes (Kendall's tau, 1 for the same order): {agreed}")
    verdicts = {_verdict(gain, "size gains on both", "size loses on both") for gain in gains}
    figures = dict(zip(("XTREME", "XTREME-R"), gains, strict=True))
    return Answer(_sentence(told), limits, verdicts.pop() if len(verdicts) == 1 else UNDECIDED, figures, f"points, {last} over {first}")


# ---------------------------------------------------------------- 4. what a gain costs


def efficiency(study: Study, table: pd.DataFrame) -> Answer:
    """4. What does a gain cost in inference, and does intermediate training change the cost?"""
    worth, limits = (
        costs.worth_frame(study, table),
        "Latency is this machine's. A recipe changes weights, not shapes: that it costs nothing is in the ledger.",
    )
    if worth.empty:
        return Answer(f"{NO_ANSWER}: it takes two encoders, timed.", limits)
    row = worth.iloc[0]
    pair, gain = row["from, to"].replace(", ", " to "), row["average score (points)"]
    cost = f"from {pair} costs {row['latency']} in latency and {row['FLOPs']} in FLOPs"
    effect = _sentence([f"{cost} and gives {gain} points"] if gain != "–" else [cost, "what it gives is not known yet"])
    return Answer(effect, limits, _verdict(gain, "size gains", "size loses"), {pair: gain}, "points of the average")


# ---------------------------------------------------------------- 5. amounts of intermediate data


def amount_gains(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Question 5: gain over `none` against the number of intermediate examples of one task, by kind of language, with intervals.

    Kinds are source, high-resource, low-resource and unseen (`languages.kind`).
    """
    gains = gains_by_kind(study, table)
    return stats.summarize(gains, ["backbone", "task", "examples", "kind"], "gain")


def gains_by_kind(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Gain over `none` averaged over targets, per backbone, task, number of examples, kind of language and seed, of the tasks that the
    study has in several amounts."""
    sizes = {}
    for backbone, recipe in itertools.product(study.backbones, study.recipes):
        parsed = Recipe.parse(recipe)
        if parsed.task not in ("none", "all") and not parsed.mlm and not parsed.translated:
            n = parsed.examples or study.of(backbone).intermediate.for_task(parsed.task).examples or _published_size(study, parsed.task)
            if n:
                sizes[backbone, recipe] = (parsed.task, n)
    several = [of for of, n in collections.Counter((backbone, task) for (backbone, _), (task, _) in sizes.items()).items() if n > 1]
    means = scores_by_kind(study, table)
    gains = stats.gains(means, ["backbone", "kind", "target"])
    found = [sizes.get(of, (None, None)) for of in zip(gains.backbone, gains.recipe, strict=True)]
    gains = gains.assign(task=[task for task, _ in found], examples=[n for _, n in found])
    gains = gains[np.array([of in several for of in zip(gains.backbone, gains.task, strict=True)], dtype=bool)]
    return gains.groupby(["backbone", "task", "examples", "kind", "seed"], sort=False).gain.mean().reset_index()


def scores_by_kind(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Mean test score per backbone, recipe, kind of language, target and seed."""
    test = table[table.split == "test"].assign(kind=lambda t: t.language.map(lambda lang: languages.kind(study, lang)))
    return test.groupby(["backbone", "recipe", "kind", "target", "seed"], sort=False).score.mean().reset_index()


def _published_size(study: Study, task: str) -> int | None:
    """Training rows of a task taken whole, from the Hub's published number."""
    known = [part.expected(study.source_language) for part in tasks.get(task).parts("train")] if study.source == "hub" else [None]
    return None if None in known else sum(known)


def needed(study: Study, table: pd.DataFrame, points: float = 2.0) -> pd.DataFrame:
    """Question 5: per backbone, task and kind of language, how many examples a gain of `points` takes: where the line through the mean
    gains (over the logarithm of the number of examples) first crosses it; and the smallest amount whose interval lies above zero."""
    rows = []
    for (backbone, task, kind), curve in amount_gains(study, table).groupby(["backbone", "task", "kind"], sort=False):
        curve = curve.sort_values("examples")
        sure = curve[curve.low > 0].examples
        crossing = _first_crossing(np.log10(curve.examples.to_numpy(float)), curve["mean"].to_numpy(), points)
        most = f"more than {curve.examples.max():,}"
        rows.append({"backbone": backbone, "task": task, "languages": kind,
                     f"examples for {points:+.0f} points": most if crossing is None else f"{10**crossing:,.0f}",
                     "fewest with a gain above zero": f"{sure.min():,}" if len(sure) else most})  # fmt: skip
    return pd.DataFrame(rows)


def _first_crossing(x: np.ndarray, y: np.ndarray, level: float) -> float | None:
    """The first x at which the line through the points reaches a level; None where it never does."""
    for i in range(len(x)):
        if y[i] >= level:
            return float(x[i]) if i == 0 else float(np.interp(level, [y[i - 1], y[i]], [x[i - 1], x[i]]))
    return None


def difference_by_kind(study: Study, table: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """Question 5: score of the last backbone minus that of the first (multimodal minus text-only, where these are the two), averaged over
    recipes and targets, per kind of language, paired by seed."""
    wide = scores_by_kind(study, table).groupby(["kind", "seed", "backbone"], sort=False).score.mean().unstack("backbone")
    first, last = study.first, study.last
    if first == last or not {first, last} <= set(wide):
        return {}
    return {kind: stats.interval(of_kind.dropna()) for kind, of_kind in (wide[last] - wide[first]).groupby(level="kind", sort=False)}


def pictures_differ(study: Study) -> bool:
    """Whether the first backbone learnt from text alone and the last from pictures too."""
    return _has_pictures(study, study.last) and not _has_pictures(study, study.first)


def _has_pictures(study: Study, backbone: str) -> bool:
    kinds = {record.result.architecture for cell, record in records.of_phase(study, "backbone") if cell.backbone == backbone}
    return study.backbones[backbone].pictures or bool(kinds & encoder.TOWERS.keys())


def amounts(study: Study, table: pd.DataFrame) -> Answer:
    """5. How much intermediate data is needed, in which languages, and do pictures change it?"""
    amounts_needed = needed(study, table)
    pictures = pictures_differ(study)
    limits = (
        "Amounts between those measured are read off a line. "
        + ("The encoder with pictures has read their captions too, so what it gains may be the captions' doing." if pictures else
           "No encoder of this study has learnt from pictures.")
    )  # fmt: skip
    if amounts_needed.empty:
        varied = [r for r in study.recipes if Recipe.parse(r).examples]
        return Answer(f"{NO_ANSWER}: " + ("its cells are missing." if varied else "it varies no amount; PROFILE=amounts does."), limits)
    last = study.last
    column = next(name for name in amounts_needed if name.startswith("examples for"))
    told = [f"{row[column]} for {row.languages} languages" for _, row in amounts_needed[amounts_needed.backbone == last].iterrows()]
    effect = f"For {last}, the examples that a gain of {column.split()[2]} points takes: {', '.join(told)}"
    if pictures:
        by_kind = difference_by_kind(study, table)
        effect += "; pictures change the mean score by " + ", ".join(f"{stats.show(*v, sign=True)} ({kind})" for kind, v in by_kind.items())
    gains = amount_gains(study, table)
    most = gains[(gains.backbone == last) & (gains.examples == gains.examples.max())]
    figures = {f"{r.kind}, {r.examples:,} examples": stats.show(r.mean, r.low, r.high, sign=True) for r in most.itertuples()}
    found = [_verdict(gain, "gains", "loses") for gain in figures.values()]
    verdict = f"gains in {found.count('gains')} of {len(found)} kinds of language" if "gains" in found else UNDECIDED
    return Answer(f"{effect}.", limits, verdict, figures)


QUESTIONS: dict[str, Callable] = {
    "choosing": choosing,
    "gaps": gaps,
    "benchmarks": benchmarks,
    "efficiency": efficiency,
    "amounts": amounts,
}
