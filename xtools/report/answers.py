"""One answer to each of the five questions: a sentence with the effect and its interval, and one with what the study cannot say."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from xtools import benchmark
from xtools.report import questions, stats
from xtools.study import Recipe, Study


@dataclass(frozen=True)
class Answer:
    """`effect` is read from records, intervals are 95% over seeds; `limits` says what does not follow."""

    effect: str
    limits: str


NO_ANSWER = "Not answered by this study"


def choosing(study: Study, table: pd.DataFrame) -> Answer:
    """1. What does choosing the recipe by English scores lose?"""
    last = list(study.backbones)[-1]
    found = questions.regrets(questions.choices(table))
    own = questions.regrets(questions.choices(table, questions.own_scores(study)))
    mine, other = found[found.backbone == last], own[own.backbone == last]
    unchosen = sorted(set(study.targets) - set(table[table.split == "dev"].target))
    limits = "Regret is never negative, so its interval says how large it is, not whether it differs from none." + (
        f" Targets without a development score cannot be chosen for: {', '.join(unchosen)}." if unchosen else ""
    )
    if mine.empty:
        return Answer(f"{NO_ANSWER}: no recipe besides none, or no development scores yet.", limits)
    effect = (
        f"For {last}, the recipe with the best {study.source_language} development score gains {_show(mine.gain, True)} points over none and "
        f"lies {_show(mine.regret)} below the best in hindsight"
    )
    by_own = f"; the intermediate task that was itself learnt best gains {_show(other.gain, True)}" if len(other) else ""
    return Answer(f"{effect}{by_own}.", limits)


def gaps(study: Study, table: pd.DataFrame) -> Answer:
    """2. How do size and multi-task training change the transfer gap?"""
    slopes = questions.gap_slopes(study, table)
    limits = (
        f"{len(study.backbones)} encoders are few to fit a line through, and they differ in no more than size only where the study made them "
        "so. A low source score makes a small gap too."
    )
    if not slopes:
        return Answer(f"{NO_ANSWER}: it needs encoders of two sizes.", limits)
    effect = f"Tenfold size changes the gap of recipe none by {stats.show(*slopes['none'], sign=True)} points"
    multi = stats.show(*slopes["multi minus single"], sign=True)
    return Answer(
        effect + (f", and multi minus single-task by {multi}." if multi != "–" else "; no multi-task recipe is there yet."), limits
    )


def benchmarks(study: Study, table: pd.DataFrame) -> Answer:
    """3. Do XTREME and XTREME-R say the same of size and recipes?"""
    first, last = next(iter(study.backbones)), list(study.backbones)[-1]
    gains = []
    for means in questions.benchmark_averages(study, table).values():
        wide = means[means.recipe == "none"].pivot(index="seed", columns="backbone", values="score")
        gains.append(_show((wide[last] - wide[first]).dropna(), True) if {first, last} <= set(wide) and first != last else "–")
    taus = questions.rank_agreement(study, table)
    agreed = ", ".join(f"{tau:+.2f} for {backbone}" for backbone, tau in taus.items()) or "not to be computed yet"
    kinds = {questions.data_kind(recipe) for recipe in study.recipes if recipe != "none"}
    counts = ", ".join(f"{len(set(study.targets) & set(m))} of {name}'s {len(m)}" for name, m in benchmark.BENCHMARKS.items())
    limits = f"The averages are over {counts} targets, in this study's languages. Intermediate data: {'; '.join(sorted(kinds)) or 'none'}."
    if set(gains) <= {"–"} and not taus:
        return Answer(f"{NO_ANSWER}: no average over a benchmark's targets is whole yet.", limits)
    return Answer(
        f"From {first} to {last} is worth {gains[0]} points on XTREME's targets and {gains[1]} on XTREME-R's; their rankings of the recipes "
        f"agree with Kendall's tau {agreed} (1 is the same order).",
        limits,
    )


def efficiency(study: Study, table: pd.DataFrame) -> Answer:
    """4. What does a gain cost in inference, and does intermediate training change the cost?"""
    worth, costs = questions.worth_frame(study, table), questions.recipe_cost(study)
    limits = "Latency is this machine's. Scoring times are of cells that ran beside others, so they are noisy."
    told = []
    if len(worth):
        row = worth.iloc[0]
        gain = row["average score (points)"]
        cost = f"{row['from, to'].replace(', ', ' to ')} costs {row['latency']} in latency and {row['FLOPs']} in FLOPs"
        told.append(cost + (f" and gives {gain} points" if gain != "–" else "; what it gives is not known yet"))
    for backbone, ratio in costs.items():
        percent = stats.show(*(100 * value for value in ratio))
        told.append(f"scoring {backbone} after intermediate training takes {percent} percent of the time without")
    return Answer(f"{'; '.join(told)}." if told else f"{NO_ANSWER}: nothing has been timed yet.", limits)


def amounts(study: Study, table: pd.DataFrame) -> Answer:
    """5. How much intermediate data is needed, in which languages, and do pictures change it?"""
    needed = questions.needed(study, table)
    pictures = questions.pictures_differ(study)
    limits = (
        "Amounts between those measured are read off a line. "
        + ("The encoder with pictures has read their captions too, so what it gains may be the captions' doing." if pictures else
           "No encoder of this study has learnt from pictures.")
    )  # fmt: skip
    if needed.empty:
        varied = [r for r in study.recipes if Recipe.parse(r).examples]
        return Answer(f"{NO_ANSWER}: " + ("its cells are missing." if varied else "it varies no amount; PROFILE=amounts does."), limits)
    last = list(study.backbones)[-1]
    column = next(name for name in needed if name.startswith("examples for"))
    told = [f"{row[column]} for {row.languages} languages" for _, row in needed[needed.backbone == last].iterrows()]
    effect = f"For {last}, the examples that a gain of {column.split()[2]} points takes: {', '.join(told)}"
    if pictures:
        by_kind = questions.difference_by_kind(study, table)
        effect += "; pictures change the mean score by " + ", ".join(f"{stats.show(*v, sign=True)} ({kind})" for kind, v in by_kind.items())
    return Answer(f"{effect}.", limits)


QUESTIONS: dict[str, Callable] = {
    "choosing": choosing,
    "gaps": gaps,
    "benchmarks": benchmarks,
    "efficiency": efficiency,
    "amounts": amounts,
}


def _show(values, sign: bool = False) -> str:
    return stats.show(*stats.interval(values), sign=sign)
