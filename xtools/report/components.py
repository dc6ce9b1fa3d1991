"""Where the noise of a gain comes from: from how an encoder was pretrained, or from how it was then fine-tuned.

A study can tell whose backbones are one shape pretrained several times, named `<shape>-<number>`, each fine-tuned with several seeds
(params/components.yaml). The gain of a recipe over `none` is then mean + pretraining + fine-tuning, of which each encoder has one draw of
the second term and each run one of the third; their variances follow from the mean squares between and within encoders (method of
moments; Searle, Casella and McCulloch 1992, section 3.5), averaged over recipes. Both phases of fine-tuning share a seed, so they are one.
"""

import json

import numpy as np
import pandas as pd

from xtools import ROOT, records, versions
from xtools.problems import Problem
from xtools.report import blocks, choosing, stats
from xtools.study import Study

TABLE = ROOT / "results" / "components.csv"
THESE, LIKE_THESE = "this encoder", "encoders pretrained like it"
COLUMNS = ["settings", "shape", "target", "recipe", "encoders", "runs of each", "mean", "low", "high", "pretraining", "fine-tuning"]


def settings(study: Study, backbone: str) -> str:
    """A hash of what a study does to a backbone, whichever encoder it is and with whichever seed: a kept figure is known by it."""
    told = study.of(backbone).model_dump(
        mode="json", include={"source", "languages", "recipes", "targets", "intermediate", "target", "evaluation"}
    )
    return versions.digest(json.dumps(told, sort_keys=True))


def shape_of(backbone: str) -> str:
    """What the backbones that differ by their number alone have in common: `large` of `large-2`."""
    shape, _, number = backbone.rpartition("-")
    return shape if shape and number.isdigit() else backbone


def moments(gains: np.ndarray) -> tuple[float, float]:
    """The variances over encoders and over the runs of one encoder, from gains [recipes, encoders, runs of each].

    The first is 0 where the encoders' means differ by less than their runs' noise alone would have them.
    """
    runs = gains.shape[2]
    within = gains.var(axis=2, ddof=1).mean()
    between = runs * gains.mean(axis=2).var(axis=1, ddof=1).mean()
    return max(0.0, float(between - within) / runs), float(within)


def frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """A row per shape, target (and the average over all) and recipe: the gain in points with its interval over encoders, simultaneous over
    recipes, and the standard deviations of a gain over pretraining and over fine-tuning, all recipes' together.

    Raises Problem for a study with fewer than two encoders of each shape or fewer than two seeds, and for one with missing cells.
    """
    shapes = [shape_of(backbone) for backbone in study.backbones]
    if len(study.seeds) < 2 or min(shapes.count(shape) for shape in shapes) < 2:
        raise Problem(f"params/{study.name}.yaml: it takes two encoders of a shape, named <shape>-<number>, and two seeds of each")
    averages = choosing.gains(table, study.targets).assign(target="average")
    gains = pd.concat([averages, stats.gains(stats.task_scores(table), ["backbone", "target"])])
    rows = []
    for shape in dict.fromkeys(shapes):
        of_shape = gains[gains.backbone.map(shape_of) == shape]
        for target in (*study.targets, "average"):
            own = of_shape[of_shape.target == target]
            cube = own.set_index(["recipe", "backbone", "seed"]).gain.unstack("seed")
            sizes = (len(study.recipes) - 1, shapes.count(shape), len(study.seeds))
            if cube.size != np.prod(sizes) or cube.isna().any(axis=None):
                raise Problem(f"runs/{study.name}: cells of {shape} on {target} are missing; run make study PROFILE={study.name}")
            between, within = np.sqrt(moments(cube.to_numpy().reshape(sizes)))
            blocked = own.groupby(["recipe", "backbone"], sort=False).gain.mean().reset_index().rename(columns={"backbone": "seed"})
            found = blocks.fit(blocks.wide(blocked))
            for recipe, made in found.intervals().items() if found else ():
                rows.append((settings(study, own.backbone.iloc[0]), shape, target, recipe, *sizes[1:], *made[:3], between, within))
    return pd.DataFrame(rows, columns=COLUMNS)


def keep(study: Study) -> pd.DataFrame:
    """Write the study's components to results/components.csv, where every report finds them; the table."""
    found = frame(study, records.table(study))
    found.round(3).to_csv(TABLE, index=False)
    return found


def kept(study: Study) -> pd.DataFrame:
    """The components that came with the project, of those shapes that the study has, where they were made with its settings; else empty."""
    table = pd.read_csv(TABLE) if TABLE.exists() else pd.DataFrame(columns=COLUMNS)
    own = {(backbone, settings(study, backbone)) for backbone in study.backbones}
    return table[np.array([pair in own for pair in zip(table["shape"], table.settings, strict=True)], dtype=bool)]


def shown(study: Study) -> pd.DataFrame:
    """The kept standard deviations of a gain (points), a row a shape and target."""
    parts = kept(study)[["shape", "target", "encoders", "runs of each", "pretraining", "fine-tuning"]]
    return parts.drop_duplicates(["shape", "target"], ignore_index=True)


def both(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """A study's average gains over `none` with their intervals (`blocks`), which are about its own encoders, and beside each the kept gain
    over encoders of that shape, with its interval over them. Empty where none are kept."""
    known = kept(study)
    known = known[known.target == "average"].set_index(["shape", "recipe"])
    gains, rows = choosing.gains(table, study.targets), []
    for backbone in known.index.get_level_values("shape").unique():
        found = blocks.fit(blocks.wide(gains[gains.backbone == backbone])) if (gains.backbone == backbone).any() else None
        for recipe, own in found.intervals().items() if found else ():
            others = known.loc[(backbone, recipe), ["mean", "low", "high"]]
            for question, ends in ((THESE, own[:3]), (f"{known.encoders.iloc[0]} {LIKE_THESE}", tuple(others))):
                mean, low, high = ends
                rows.append(
                    {"backbone": backbone, "recipe": recipe, "gain for": question, "average": stats.show(mean, low, high, sign=True)}
                )
    return pd.DataFrame(rows)
