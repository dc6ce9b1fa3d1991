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


def score_frame(study: Study, backbone: str) -> pd.DataFrame:
    """Scores per recipe, a row a kind of search, a column a target, with t-intervals over seeds; nothing where no target has both kinds."""
    both, columns = Both.of(study), {}
    for target in both.targets:
        for kind, table in both.tables.items():
            scores = stats.task_scores(table[(table.target == target) & (table.backbone == backbone)])
            columns[target, kind] = _shown(stats.summarize(scores, ["recipe"], "score"))
    return _frame(study.recipes, columns, both.targets)


def gain_frame(study: Study, backbone: str) -> pd.DataFrame:
    """Gains averaged over the targets per recipe, a row a kind of search, with intervals that hold for all recipes at once."""
    both = Both.of(study)
    columns = {
        ("gain", kind): _shown(blocks.summarize(both.gains(kind, backbone), ["backbone"]), sign=True) for kind in KINDS if both.targets
    }
    return _frame([recipe for recipe in study.recipes if recipe != "none"], columns, ["gain"] if both.targets else [])


def layer_frame(study: Study, backbone: str) -> pd.DataFrame:
    """Per recipe and layer the score of that layer's vectors (percent), averaged over the languages and targets whose layers were all tried,
    and its gain over `none` (points), simultaneous over a layer's recipes; a column a layer. Nothing for a study without `sweep`."""
    if not study.retrieval_of(backbone).sweep:
        return pd.DataFrame()
    rows = []
    for cell, record in records.of_phase(study.model_copy(update={"backbones": {backbone: study.backbones[backbone]}}), "target"):
        swept = [score.layers for score in record.result.scores.values() if score.layers]
        of_cell = {"recipe": cell.recipe, "target": cell.target, "seed": cell.seed}
        rows += [of_cell | {"layer": n, "score": sum(each[n] for each in swept) / len(swept)} for n in (swept[0] if swept else ())]
    own = pd.DataFrame(rows)
    if own.empty:
        return own
    means = own.groupby(["recipe", "seed", "layer"], sort=False).score.mean().reset_index()
    none = stats.summarize(means[means.recipe == "none"], ["layer"], "score").set_index("layer")
    gains = blocks.summarize(stats.gains(means, ["layer"]), ["layer"]).set_index(["recipe", "layer"])
    shown = [{"recipe": "none, its score"} | {f"layer {row.Index}": stats.show(row.mean, row.low, row.high) for row in none.itertuples()}]
    for recipe in (recipe for recipe in study.recipes if recipe in gains.index.get_level_values("recipe")):
        found = gains.loc[recipe]
        shown.append(
            {"recipe": recipe} | {f"layer {row.Index}": stats.show(row.mean, row.low, row.high, sign=True) for row in found.itertuples()}
        )
    return pd.DataFrame(shown)


def _frame(recipes: list[str], columns: dict[tuple[str, str], dict[str, str]], names: list[str]) -> pd.DataFrame:
    """A row a recipe and kind, from figures as text by recipe for each (column, kind)."""
    rows = [
        {"recipe": recipe, "vectors": kind} | {name: columns[name, kind].get(recipe, "–") for name in names}
        for recipe in recipes
        for kind in KINDS
    ]
    return pd.DataFrame(rows if names else [])


def _shown(found: pd.DataFrame, sign: bool = False) -> dict[str, str]:
    """Figures with their intervals as text, by recipe."""
    return {row["recipe"]: stats.show(row["mean"], row["low"], row["high"], sign) for row in found.to_dict("records")}
