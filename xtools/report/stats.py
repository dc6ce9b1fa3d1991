"""From the tidy table to figures with intervals. Everything is paired by seed: a seed names the whole chain, pretraining
included where a study has an encoder a seed."""

import re

import numpy as np
import pandas as pd
from scipy.special import stdtrit

LEVEL = 0.95
ONE_SIDED = 0.90  # each end of such an interval is a one-sided bound of 95%


def interval(values, level: float = LEVEL) -> tuple[float, float, float]:
    """Mean and the ends of its t-interval over seeds, of 95% unless told; the ends are nan for fewer than two values.

    With s the sample standard deviation of n values, the interval is mean +- t(n - 1) s / sqrt(n).
    """
    values = np.asarray(values, dtype=float)
    if len(values) == 0:
        return np.nan, np.nan, np.nan
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return mean, np.nan, np.nan
    half = float(stdtrit(n - 1, (1 + level) / 2) * values.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half


def show(mean: float, low: float, high: float, sign: bool = False) -> str:
    """`mean [low, high]` with one decimal and no line break; a hole is a dash."""
    form = "{:+.1f}" if sign else "{:.1f}"
    if np.isnan(mean):
        return "–"
    mean, low, high = (round(value, 1) + 0.0 for value in (mean, low, high))  # so that nothing is -0.0
    return (
        form.format(mean) if np.isnan(low) else f"{form.format(mean)} [{form.format(low)},\u00a0{form.format(high)}]".replace(" ", "\u00a0")
    )


_FIGURE = re.compile(r"([+-]?\d+\.\d)(?:\s\[([+-]?\d+\.\d),\s([+-]?\d+\.\d)\])?[*†]?")


def read(shown) -> tuple[float, float, float] | None:
    """What `show` was given, to its one decimal: mean and ends (nan where there are none); None for what is no such figure."""
    found = _FIGURE.fullmatch(str(shown))
    if not found:
        return None
    mean, low, high = (np.nan if end is None else float(end) for end in found.groups())
    return mean, low, high


def in_languages(table: pd.DataFrame, languages: dict[str, list[str]]) -> pd.DataFrame:
    """The rows of a tidy table whose target is among the keys, in that target's languages."""
    wanted = [language in languages.get(target, ()) for target, language in zip(table.target, table.language, strict=True)]
    return table[np.array(wanted, dtype=bool)]


def task_scores(table: pd.DataFrame) -> pd.DataFrame:
    """A target's score as the benchmark counts it: the unweighted mean over its languages, per backbone, recipe, target and seed."""
    test = table[table.split == "test"]
    return test.groupby(["backbone", "recipe", "target", "seed"], sort=False).score.mean().reset_index()


def complete(scores: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    """The average over targets per backbone, recipe and seed, only where all `targets` are there: a hole is never averaged over."""
    keys = ["backbone", "recipe", "seed"]
    wide = scores.pivot(index=keys, columns="target", values="score").reindex(columns=targets).dropna()
    order = scores[keys].drop_duplicates()  # pivoting sorts; the study's order of backbones and recipes is kept
    return order.merge(wide.mean(axis=1).rename("score").reset_index(), on=keys)


def gains(scores: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Score minus that of recipe `none` with the same seed and `keys` (backbone, and target where there is one)."""
    none = scores[scores.recipe == "none"].set_index([*keys, "seed"]).score
    others = scores[scores.recipe != "none"]
    base = none.reindex(pd.MultiIndex.from_frame(others[[*keys, "seed"]])).to_numpy()
    return others.assign(gain=others.score.to_numpy() - base).dropna(subset="gain")


def summarize(frame: pd.DataFrame, keys: list[str], value: str) -> pd.DataFrame:
    """Mean, low, high and the number of seeds n per group of `keys`."""
    rows = []
    for key, group in frame.groupby(keys, sort=False):
        mean, low, high = interval(group[value])
        key = key if isinstance(key, tuple) else (key,)
        rows.append(dict(zip(keys, key, strict=True)) | {"mean": mean, "low": low, "high": high, "n": len(group)})
    return pd.DataFrame(rows, columns=[*keys, "mean", "low", "high", "n"])


def gap(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Transfer gap per backbone, recipe, target and seed: source score minus the mean over the other languages (XTREME's definition).

    Targets without a source-language test score have none.
    """
    test = table[table.split == "test"]
    keys = ["backbone", "recipe", "target", "seed"]
    english = test[test.language == source][[*keys, "score"]]
    others = test[test.language != source].groupby(keys, sort=False).score.mean().rename("other").reset_index()
    both = english.merge(others, on=keys)
    return both.assign(gap=both.score - both.other)[[*keys, "gap"]]
