"""What languages are to a study: how much of their text its encoders read, how far they lie from the source, and their transfer gaps."""

from functools import cache

import pandas as pd
import yaml

from xtools import ROOT
from xtools.report import stats
from xtools.sources import world
from xtools.study import Study


@cache
def known() -> dict:
    """params/ledgers/languages.yaml: GiB of CC-100 per language, and families."""
    return yaml.safe_load((ROOT / "params" / "ledgers" / "languages.yaml").read_text())


def kind(study: Study, language: str) -> str:
    """source, high-resource, low-resource or unseen, by the amount of pretraining text."""
    if language == study.source_language:
        return "source"
    if study.source == "microworld":
        share = world.LANGUAGES[language].share
        return "unseen" if share == 0 else "low-resource" if share < 1 else "high-resource"
    size = known()["gib"].get(language)
    if size is None:
        return "unknown"
    return "unseen" if size == 0 else "low-resource" if size < known()["low_resource_below"] else "high-resource"


def group(study: Study, language: str) -> str:
    """What a language is like: how a constructed one differs from the source, and its distance from 0 to 1; the family of a real one."""
    if study.source == "microworld":
        own = world.LANGUAGES[language]
        return f"{own.description}, {own.distance:.2f}"
    return next((name for name, codes in known()["families"].items() if language in codes), "other")


def gap_frame(study: Study, table: pd.DataFrame, backbone: str) -> pd.DataFrame:
    """The points by which each language lies below the source per recipe, averaged over the targets that have both, with t-intervals over
    seeds: a row a language, by distance or by family, the nearest first."""
    test = table[(table.backbone == backbone) & (table.split == "test")]
    keys = ["recipe", "target", "seed"]
    source = test[test.language == study.source_language].set_index(keys).score.rename("source")
    others = test[test.language != study.source_language].join(source, on=keys).dropna(subset="source")
    gaps = others.assign(gap=others.source - others.score).groupby(["recipe", "language", "seed"], sort=False).gap.mean().reset_index()
    cells = stats.summarize(gaps, ["recipe", "language"], "gap").set_index(["language", "recipe"])
    means = gaps.groupby("language").gap.mean()
    groups = {code: group(study, code) for code in means.index}
    generated = study.source == "microworld"
    near = {groups[code]: world.LANGUAGES[code].distance for code in groups} if generated else means.groupby(groups).mean()
    rows = []
    for code in sorted(means.index, key=lambda code: (near[groups[code]], groups[code], means[code])):
        shown = {recipe: stats.show(*cells.loc[code, recipe][["mean", "low", "high"]]) if (code, recipe) in cells.index else "–"
                 for recipe in study.recipes}  # fmt: skip
        rows.append({"language": code, "like": groups[code]} | shown | {"text read": kind(study, code)})
    return pd.DataFrame(rows)
