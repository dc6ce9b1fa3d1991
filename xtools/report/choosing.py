"""Which recipe is chosen, and by what: development scores in the source language, never test scores.

Scores are frames [seeds, (targets that have development scores, recipes)], or rows of means of such.
"""

import numpy as np
import pandas as pd

from xtools.report import stats


def development(table: pd.DataFrame, backbone: str) -> pd.DataFrame:
    """The source's development scores of a backbone's runs."""
    dev = table[(table.split == "dev") & (table.backbone == backbone)]
    return dev.pivot(index="seed", columns=["target", "recipe"], values="score")


def overall(scores: pd.DataFrame) -> str | None:
    """The recipe besides `none` with the best score, averaged over the targets that have one and over seeds; None where there is none."""
    return _best_on_average(scores.mean().to_frame().T).iloc[0] if scores.size else None


def per_target(scores: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    """For each row of scores and each target the recipe besides `none` with the best score; for a target without such scores the recipe
    that has the best average over the others. None where a row has no recipe with a score on every target."""
    default = _best_on_average(scores)
    own = {
        target: _best(scores[target].drop(columns="none", errors="ignore")) for target in targets if target not in unscored(scores, targets)
    }
    return pd.DataFrame({target: own.get(target, default) for target in targets}, index=scores.index)


def by_other_seeds(scores: pd.DataFrame) -> pd.DataFrame:
    """For each seed the mean scores of all other seeds."""
    there = scores.notna()
    return (scores.sum() - scores.fillna(0)) / (there.sum() - there).replace(0, np.nan)


def _best_on_average(scores: pd.DataFrame) -> pd.Series:
    recipes = scores.T.groupby(level="recipe", sort=False).sum(min_count=scores.columns.get_level_values("target").nunique())
    return _best(recipes.T.drop(columns="none", errors="ignore"))


def _best(scores: pd.DataFrame) -> pd.Series:
    """The column with the largest entry of each row; None for a row without any."""
    some = scores.notna().any(axis=1)
    return scores[some].idxmax(axis=1).reindex(scores.index).astype(object).where(some, None)


def unscored(scores: pd.DataFrame, targets: list[str]) -> list[str]:
    """The targets without a development score, such as retrieval, and XQuAD where a subset keeps no rows for it."""
    return [target for target in targets if target not in set(scores.columns.get_level_values("target"))]


def gains(table: pd.DataFrame, targets: list[str]) -> pd.DataFrame:
    """Gains over `none` averaged over the targets, per backbone, recipe and seed where every target is there."""
    return stats.gains(stats.complete(stats.task_scores(table), targets), ["backbone"])
