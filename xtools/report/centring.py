"""Retrieval and its control: scores and gains of sentence vectors as they are, and less their language's mean (`retrieval.centred`)."""

from dataclasses import dataclass

import pandas as pd

from xtools import records
from xtools.report import blocks, choosing, stats
from xtools.study import Study
from xtools.tasks.retrieval import CENTRED

KINDS = ("as it is", "centred")


@dataclass(frozen=True)
class Both:
    """Test scores of the targets that have them both ways, as `records.table` has them: a table a kind."""

    targets: list[str]
    tables: dict[str, pd.DataFrame]

    @classmethod
    def of(cls, study: Study) -> "Both":
        """What the study's records hold."""
        every = records.table(study, every=True)
        control = every[every.metric.str.endswith(CENTRED) & (every.split == "test")]
        plain = every[(every.split == "test") & (every.metric + CENTRED).isin(control.metric) & every.target.isin(control.target)]
        targets = [target for target in study.targets if (control.target == target).any()]
        return cls(targets, dict(zip(KINDS, (plain, control), strict=True)))

    def gains(self, kind: str, backbone: str) -> pd.DataFrame:
        """Gains over `none` of one kind, averaged over the targets (recipe, seed, gain)."""
        found = choosing.gains(self.tables[kind], self.targets)
        return found[found.backbone == backbone]


def frame(study: Study, backbone: str) -> pd.DataFrame:
    """Scores per recipe and target both ways, with t-intervals over seeds, and the gains averaged over targets both ways, each with
    intervals that hold for all recipes at once; nothing where no target has them."""
    both = Both.of(study)
    columns: dict[str, dict[str, str]] = {}
    for target in both.targets:
        for kind in KINDS:
            scores = stats.task_scores(both.tables[kind][both.tables[kind].target == target])
            columns[f"{target}, {kind}"] = _shown(stats.summarize(scores[scores.backbone == backbone], ["recipe"], "score"))
    for kind in KINDS if both.targets else ():
        columns[f"gain, {kind}"] = _shown(blocks.summarize(both.gains(kind, backbone), ["backbone"]), sign=True)
    rows = [{"recipe": recipe} | {name: shown.get(recipe, "–") for name, shown in columns.items()} for recipe in study.recipes]
    return pd.DataFrame(rows if columns else [])


def _shown(found: pd.DataFrame, sign: bool = False) -> dict[str, str]:
    """Figures with their intervals as text, by recipe."""
    return {row["recipe"]: stats.show(row["mean"], row["low"], row["high"], sign) for row in found.to_dict("records")}
