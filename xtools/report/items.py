"""Intervals for those who ask about other languages and other test items too, not about other seeds alone.

The variance of a mean over seeds, languages and items is at most the sum of what the means of each vary by (Owen 2007, section 4: noise
that all share is counted in each, so that the sum errs on the wide side); degrees of freedom are Satterthwaite's. A bootstrap of three
seeds would not do: it leaves out a third of their variance. Items are taken in twenty runs of neighbours, which may share a text, and each is
scored again, by the format's own metric, from the cell's predictions and the source's rows.
"""

import itertools
import json
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.stats import t as student

from xtools import records, sources, targets, tasks
from xtools.problems import Problem
from xtools.report import blocks, choosing, stats
from xtools.report.blocks import Interval
from xtools.study import Cell, Study
from xtools.tasks import Task, format_of

BLOCKS = 20
Scores = dict[str, dict[str, list[float]]]  # per cell and language, a score a block of items


@dataclass
class Part:
    """A part of a mean's variance, and its degrees of freedom."""

    variance: float
    df: float


@dataclass
class Items:
    """The blocks' scores of a study's target cells, and the targets without, because their rows are not at hand."""

    scores: Scores = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)


# ---------------------------------------------------------------- scoring again


def load(study: Study) -> Items:
    """Score the blocks of every target cell's items; what was scored before is kept in the study's folder.

    Nothing is downloaded: a target whose rows or predictions are not at hand is named instead.
    """
    path, found = study.folder / "items.json", Items()
    known: Scores = json.loads(path.read_text()) if path.exists() else {}
    cells = [cell for cell, _ in records.of_phase(study, "target")]
    for cell in sorted(cells, key=lambda cell: cell.target):  # a target's rows are read once
        key = str(cell.folder.resolve().name)
        try:
            found.scores[cell.name] = known[key] = known.get(key) or _score(study, cell)
        except (Problem, OSError, KeyError):
            found.lacking += [cell.target] if cell.target not in found.lacking else []
    if found.scores:
        records.write_json(path, known)
    return found


def _score(study: Study, cell: Cell) -> dict[str, list[float]]:
    """A cell's scores by language and block. Raises Problem, OSError or KeyError where rows or predictions are not there."""
    rows = _rows(study, cell.target)
    predicted = records.read_predictions(cell)
    return {language: block_scores(cell.target, language, pairs, rows[language]) for language, pairs in predicted.items()}


def block_scores(target: str, language: str, pairs: list, rows: dict[str, dict]) -> list[float]:
    """The main metric (percent) of each run of neighbouring items, from [id, prediction] pairs and rows by id."""
    task, n = tasks.get(target), min(BLOCKS, len(pairs))
    edges = np.linspace(0, len(pairs), n + 1).astype(int)
    parts = [pairs[start:end] for start, end in itertools.pairwise(edges)]
    return [format_of(task).score([p for _, p in part], [rows[i] for i, _ in part], task, language)[task.metric] for part in parts]


_read: dict[tuple[str, str], dict] = {}


def _rows(study: Study, target: str) -> dict[str, dict[str, dict]]:
    """The test rows of a target by language and id. Raises Problem where they are not at hand."""
    if (study.name, target) not in _read:
        _read.clear()  # one target's rows at a time
        rows = _test_rows(study, tasks.get(target))
        _read[study.name, target] = {language: {row["id"]: row for row in of_language} for language, of_language in rows.items()}
    return _read[study.name, target]


def _test_rows(study: Study, task: Task) -> dict[str, list[dict]]:
    """Rows by language, of a search with its gold; candidates are read only where they say what is right."""
    languages, cap = targets.test_languages(study, task), study.evaluation.of(task.name).test
    splits = ("test", "candidates") if task.is_searched and task.pooled else ("test",)
    if not all(sources.at_hand(study.data, task, split, language) for split in splits for language in languages):
        raise Problem(f"{task.name}: its test rows are not at hand")
    if task.is_searched and task.pooled:
        return sources.retrieval(study.data, task, languages, cap)[0]
    cap = None if task.is_searched and not study.data.is_generated else cap  # some searches take queries beyond the cap
    rows = {language: sources.rows(study.data, task, "test", language, cap) for language in languages}
    return {language: [{"gold": [row["id"]]} | row for row in own] for language, own in rows.items()} if task.is_searched else rows


# ---------------------------------------------------------------- intervals


def of_languages(values: pd.DataFrame) -> Part:
    """From a score (or a gain) per target and language (columns target, language, value): how the mean over targets of the means over
    languages varies with the languages, each drawn for all targets that have it."""
    means = values.groupby("target").value.transform("mean")
    share = 1 / (values.target.nunique() * values.groupby("target").value.transform("size"))
    by_language = ((values.value - means) * share).groupby(values.language).sum()
    n = len(by_language)
    return Part(float((by_language**2).sum() * n / (n - 1)), n - 1) if n > 1 else Part(0.0, 1)


def of_items(blocks_of: dict[str, np.ndarray]) -> Part:
    """From the scores (or gains) [blocks] of each target, averaged over seeds and languages: how the mean over targets varies with items."""
    parts = [Part(float(own.var(ddof=1)) / len(own) / len(blocks_of) ** 2, len(own) - 1) for own in blocks_of.values() if len(own) > 1]
    return together(parts)


def together(parts: list[Part]) -> Part:
    """The sum of variances, with Satterthwaite's degrees of freedom."""
    total = sum(part.variance for part in parts)
    below = sum(part.variance**2 / part.df for part in parts)
    return Part(total, total**2 / below if below else 1)


def interval(mean: float, parts: list[Part], how: str, recipes: int = 1) -> Interval:
    """The t-interval with these parts of variance, for so many recipes at once by Bonferroni's inequality."""
    whole = together(parts)
    half = float(student.ppf(1 - (1 - stats.LEVEL) / 2 / recipes, whole.df) * np.sqrt(whole.variance))
    return Interval(mean, mean - half, mean + half, 0, how)


@dataclass
class Wide:
    """Gains and scores of one backbone with everything that they vary over."""

    study: Study
    table: pd.DataFrame
    backbone: str
    items: Items = field(default_factory=Items)

    def gain(self, recipe: str, over: list[str]) -> Interval:
        """The recipe's gain over `none` on some targets, over seeds, languages and, as far as they are at hand, items."""
        own = self.table[(self.table.backbone == self.backbone) & (self.table.split == "test") & self.table.target.isin(over)]
        found = self._seeds(own, over)
        if found is None or recipe not in found.recipes or not np.isfinite(found.errors[found.recipes.index(recipe)]):
            return blocks.NOTHING
        at = found.recipes.index(recipe)
        wide = own.pivot_table(index=["target", "language", "seed"], columns="recipe", values="score")
        gains = (wide[recipe] - wide["none"]).dropna().groupby(["target", "language"]).mean().rename("value").reset_index()
        parts = [Part(float(found.errors[at]) ** 2, int(found.seeds[at]) - 1), of_languages(gains)]
        return self._made(float(found.means[at]), parts, [recipe, "none"], over, "seeds, languages", len(found.recipes))

    def score(self, recipe: str, target: str) -> Interval:
        """The recipe's score on a target over languages and items, for a score that has no seeds."""
        own = self.table[(self.table.backbone == self.backbone) & (self.table.split == "test") & (self.table.target == target)]
        own = own[own.recipe == recipe].groupby(["target", "language"]).score.mean().rename("value").reset_index()
        return self._made(float(own.value.mean()), [of_languages(own)], [recipe], [target], "languages") if len(own) else blocks.NOTHING

    def shown_score(self, recipe: str, target: str) -> str:
        """As `score`, for a table, marked."""
        found = self.score(recipe, target)
        return stats.show(*found[:3]) + ("†" if np.isfinite(found.low) else "")

    def _seeds(self, own: pd.DataFrame, over: list[str]) -> blocks.Fit | None:
        gains = choosing.gains(own, over)
        return None if gains.empty else blocks.fit(blocks.wide(gains))

    def _made(self, mean: float, parts: list[Part], recipes: list[str], over: list[str], told: str, together: int = 1) -> Interval:
        per_target = {target: self._blocks(recipes, target) for target in over}
        known = {target: own for target, own in per_target.items() if len(own)}
        if len(known) < len(over):
            return interval(mean, parts, f"{told}; not items, whose rows are not at hand", together)
        return interval(mean, [*parts, of_items(known)], f"{told} and items", together)

    def _blocks(self, recipes: list[str], target: str) -> np.ndarray:
        """Scores [blocks] of a recipe, or gains of one over another, averaged over the languages and seeds that are there for all."""
        by_seed = defaultdict(list)
        for recipe in recipes:
            for seed in self.study.seeds:
                cell = Cell(self.study.name, "target", self.backbone, recipe, target, seed)
                own = self.items.scores.get(cell.name, {}).values()
                size = min(map(len, own), default=0)
                if size:
                    by_seed[seed].append(np.mean([scores[:size] for scores in own], axis=0))
        whole = [scores for scores in by_seed.values() if len(scores) == len(recipes)]
        size = min((len(scores) for pair in whole for scores in pair), default=0)
        gains = [pair[0][:size] - (pair[1][:size] if len(pair) > 1 else 0) for pair in whole]
        return np.mean(gains, axis=0) if gains else np.array([])


def frame(study: Study, table: pd.DataFrame, backbone: str, items: Items) -> pd.DataFrame:
    """Gains with intervals over seeds, languages and test items: a row a recipe, a column a target and the average."""
    wide = Wide(study, table, backbone, items)
    rows = []
    for recipe in study.recipes:
        if recipe != "none":
            shown = {target: stats.show(*wide.gain(recipe, [target])[:3], sign=True) for target in study.targets}
            average = wide.gain(recipe, study.targets)
            rows.append({"recipe": recipe} | shown | {"average": stats.show(*average[:3], sign=True), "over": average.how or "–"})
    return pd.DataFrame(rows)


def has_seeds(study: Study, backbone: str, recipe: str, target: str) -> bool:
    """Whether a score varies with the seed: not where nothing is trained and the encoder is one and the same."""
    load = study.backbones[backbone].load
    return tasks.get(target).is_trained or recipe != "none" or not load or "{seed}" in load


def covers(study: Study) -> str:
    """What an interval over seeds covers in a study, in a sentence."""
    entries = study.backbones.values()
    pretrained = [bool(entry.load) and "{seed}" not in entry.load for entry in entries]
    what = "fine-tuning alone, from one pretrained encoder" if all(pretrained) else "pretraining and fine-tuning"
    if any(pretrained) and not all(pretrained):
        what = "fine-tuning, and pretraining too of the encoders that have one a seed"
    return f"An interval over seeds is about other runs of {what}: not about other languages, other targets or other test items."
