"""What the report says beyond figures: the headline, what was run, what is missing; each number read from a record."""

import datetime
from collections import Counter

import numpy as np
import pandas as pd
import yaml
from scipy.stats import spearmanr

from xtools import ROOT, benchmark, records, results, scoring, tasks
from xtools.report import blocks, choosing, costs, items, power, stats
from xtools.sources import world
from xtools.study import Cell, Recipe, Study


def scope(study: Study) -> str:
    """What a study's figures are about, in a few words."""
    if study.source == "microworld":
        return "constructed languages, not real ones"
    return "real benchmark rows" + ("" if study.source == "hub" else ", from a local folder")


def progress(study: Study) -> tuple[int, int]:
    """Cells with a record, and all cells."""
    cells = study.cells()
    return sum(cell.record.exists() for cell in cells), len(cells)


def headline(study: Study, table: pd.DataFrame) -> str:
    """The answer for the study's last (largest) backbone in a few sentences: what the study cannot find, if anything; the answer; the recipes
    that may be the best; what is missing."""
    parts = [answer(study, table)]
    if len(_last_gains(study, table)):
        parts = [power.first_words(study, table), *parts, may_be_best(study, table), holes(study)]
    return " ".join(part for part in parts if part)


def answer(study: Study, table: pd.DataFrame) -> str:
    """The recipe with the best development scores and its gain on the test sets, with the simultaneous interval, in one sentence."""
    gains = _last_gains(study, table)
    if gains.empty:
        present, total = progress(study)
        return f"{study.title}: no answer yet for {study.last}; {present} of {total} cells are there."
    return f"{study.title} ({scope(study)}): {_answer(study, choosing.development(table, study.last), blocks.fit(blocks.wide(gains)))}"


def _last_gains(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """The last backbone's gains over `none`, averaged over all targets."""
    gains = choosing.gains(table, study.targets)
    return gains[gains.backbone == study.last]


def holes(study: Study) -> str:
    """How many cells are missing and what was left out; empty for a whole study."""
    present, total = progress(study)
    told = [f"{total - present} of {total} cells are missing."] if present < total else []
    return " ".join(told + ([f"Left out: {', '.join(study.left_out)}."] if study.left_out else []))


def _answer(study: Study, dev: pd.DataFrame, found: blocks.Fit) -> str:
    """Which recipe the development scores choose, and what it changes."""
    recipe, n = choosing.overall(dev), len(study.targets)
    if recipe not in found.recipes:
        found_some = [name for name, made in found.intervals().items() if made.low > 0 or made.high < 0]
        which = f"those of {', '.join(found_some)} leave zero out" if found_some else "all include zero"
        return f"no development scores choose a recipe for {study.last}; of the intervals of {len(found.recipes)} recipes' gains {which} (95% together)."
    made = found.interval(recipe)
    side = "above" if made.low > 0 else "below" if made.high < 0 else ""
    sure = f"with the interval {side} zero" if side else "an interval that includes zero"
    return (
        f"the recipe with the best {study.source_language} development scores for {study.last} is {recipe}, which changes the average over "
        f"{n} targets by {stats.show(*made[:3], sign=True)} points, {sure} ({made.how}, 95%)."
    )


def may_be_best(study: Study, table: pd.DataFrame) -> str:
    """The recipes of which, with 95%, one is the best for the last backbone; empty with one seed."""
    gains = _last_gains(study, table)
    return f"Not told from the best: {', '.join(blocks.indistinguishable(blocks.wide(gains)))}." if gains.seed.nunique() > 1 else ""


def what_was_run(study: Study) -> pd.DataFrame:
    """Study, code, machine, cells and time."""
    there = [record for _, record in records.of_phase(study, "backbone", "intermediate", "target", "timing")]
    precisions = {getattr(record.result, "precision", None) for record in there} - {None}
    libraries = {f"{name} {version}" for record in there for name, version in record.versions.items()}
    present, total = progress(study)
    rows = {
        "study": f"{study.name}: {study.title}",
        "data": f"{study.source} ({scope(study)})" if study.source in ("microworld", "hub") else scope(study),
        "grid": f"{len(study.backbones)} backbones x {len(study.recipes)} recipes x {len(study.targets)} targets x {len(study.seeds)} seeds",
        "recipe all": ", ".join(study.tasks_of("all")) if "all" in study.recipes else None,
        "left out": study.left_out_told() or None,
        "cells": f"{present} of {total} there, {total - present} missing",
        "compute": _compute([record.times for record in there]),
        "memory": costs.memory(there),
        "commit": ", ".join(sorted({record.commit for record in there})) or "–",
        "machine": "; ".join(sorted({str(record.machine) for record in there})) or "–",
        "libraries": "; ".join([", ".join(sorted(libraries)) or "–", *records.of_other_versions(there)]),
        "precision": ", ".join(sorted(precisions)) or "–",
        "made": datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    }
    return pd.DataFrame([(name, text) for name, text in rows.items() if text is not None], columns=["", "this report"])


def read_frame(study: Study) -> pd.DataFrame:
    """Encoders and data that the records read, each with its commit or the hash of its files, and in how many cells; a second state of one,
    as records that are to be made anew may have, is marked."""
    every = Counter(
        item for _, record in records.of_phase(study, "backbone", "intermediate", "target", "timing") for item in record.read.items()
    )
    states = Counter(place for place, _ in every)
    rows = [
        (place, state[:12], n, "several: make study runs the older anew" if states[place] > 1 else "")
        for (place, state), n in sorted(every.items())
    ]
    return pd.DataFrame(rows, columns=["read", "commit or hash", "cells", ""])


def _compute(times: list[dict]) -> str:
    """Minutes summed over cells, and the share of them that went into models."""
    total = sum(t["seconds"] for t in times)
    work = sum(t.get(part, 0.0) for t in times for part in ("pretraining", "training", "scoring"))
    share = f", {100 * work / total:.0f}% of them pretraining, training and scoring" if total else ""
    return f"{total / 60:.1f} minutes summed over cells{share}"


def missing(study: Study) -> pd.DataFrame:
    """Cells without a record, and why."""
    rows = []
    for cell in study.cells():
        if not cell.record.exists():
            failed = cell.folder / "failed.txt"
            rows.append(
                {"cell": cell.name, "why": failed.read_text().strip() if failed.exists() else "not run, or what it starts from failed"}
            )
    return pd.DataFrame(rows, columns=["cell", "why"])


def complete(study: Study, table: pd.DataFrame) -> str:
    """What is as it should be, in one sentence: said once, so that only what is not takes room."""
    fine = {
        f"all {progress(study)[1]} cells are there": missing(study).empty,
        "every data set is as large as published": subset_frame(study).empty,
        "every run rose above chance": degenerate_frame(table).empty,
        "every training run came to something at first": restarts_frame(study).empty,
    }
    told = [what for what, holds in fine.items() if holds]
    return f"What is complete: {', '.join(told)}." if told else ""


def score_frame(study: Study, table: pd.DataFrame, backbone: str, wide: items.Wide | None = None) -> pd.DataFrame:
    """Scores per recipe and target with t-intervals over seeds, and their average; holes are dashes. A dagger marks a score that no seed
    changes, with its interval over languages and test items (`wide`) alone."""
    scores = stats.task_scores(table)
    scores = scores[scores.backbone == backbone]
    average = stats.summarize(stats.complete(scores, study.targets), ["recipe"], "score") if len(scores) else pd.DataFrame()
    cells = stats.summarize(scores, ["recipe", "target"], "score")
    shown = _grid(study.recipes, study.targets, cells, average).set_index("recipe")
    for recipe, target in ((r, t) for r in study.recipes for t in study.targets if not items.has_seeds(study, backbone, r, t)):
        if shown.loc[recipe, target] != "–":
            shown.loc[recipe, target] = (wide or items.Wide(study, table, backbone)).shown_score(recipe, target)
    return shown.reset_index()


def gain_frame(study: Study, table: pd.DataFrame, backbone: str) -> pd.DataFrame:
    """Gains over recipe `none`, a column's intervals simultaneous over its recipes; which recipes may be the best on average; holes are
    dashes. An asterisk marks an interval by a recipe's own variance, which is plainly larger than the others'."""
    scores = stats.task_scores(table)
    scores = scores[scores.backbone == backbone]
    cells = blocks.summarize(stats.gains(scores, ["backbone", "target"]), ["target"])
    totals = choosing.gains(table[table.backbone == backbone], study.targets)
    recipes = [r for r in study.recipes if r != "none"]
    shown = _grid(recipes, study.targets, cells, blocks.summarize(totals, ["backbone"]), sign=True)
    kept = blocks.indistinguishable(blocks.wide(totals)) if totals.seed.nunique() > 1 else []
    return shown.assign(**{"may be the best": [("yes" if r in kept else "no") if kept else "–" for r in recipes]})


def backbone_frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """How the last backbone's gains differ from the first's, and its scores after `none`: points, a column's intervals of gains
    simultaneous over recipes, that of `none` a t-interval over seeds. Empty for one backbone."""
    scores = pd.concat([stats.task_scores(table), stats.complete(stats.task_scores(table), study.targets).assign(target="average")])
    keys = ["recipe", "target", "seed"]
    first, last = (scores[scores.backbone == b].set_index(keys).score for b in (study.first, study.last))
    change = (last - first).dropna().rename("score").reset_index()
    if study.first == study.last or change.empty:
        return pd.DataFrame()
    none = stats.summarize(change[change.recipe == "none"], ["recipe", "target"], "score")
    cells = pd.concat([none, blocks.summarize(stats.gains(change, ["target"]), ["target"])])
    averages = cells[cells.target == "average"].drop(columns="target")
    return _grid(study.recipes, study.targets, cells, averages, sign=True)


def with_and_without(study: Study, table: pd.DataFrame, backbone: str, column: str) -> pd.DataFrame:
    """Average gains of all runs, and without those that a boolean column of `table` marks, with simultaneous intervals; how many fell out."""
    own = table[table.backbone == backbone]
    tables_of = {"all runs": own, f"without runs {column.replace('_', ' ')}": own[~own[column].astype(bool)]}
    recipes = [recipe for recipe in study.recipes if recipe != "none"]
    shown = pd.DataFrame({"recipe": recipes})
    for name, kept in tables_of.items() if recipes else ():
        cells = blocks.summarize(choosing.gains(kept, study.targets), ["backbone"])
        shown[name] = _grid(recipes, [], pd.DataFrame(), cells, sign=True).average
    fallen = own[own[column].astype(bool)].drop_duplicates(["recipe", "target", "seed"])
    return shown.assign(**{"runs left out": [int((fallen.recipe == recipe).sum()) for recipe in recipes]})


def benchmark_frame(study: Study, table: pd.DataFrame, backbone: str, name: str) -> pd.DataFrame:
    """Group scores and total of a benchmark per recipe, with intervals over seeds; a group without all its tasks has none.

    Each task's score is the mean over the benchmark's own languages where the study has them all, else over the study's.
    """
    scores = stats.task_scores(stats.in_languages(table, benchmark.languages_in(name, study)))
    rows = []
    for (recipe, seed), scored in scores[scores.backbone == backbone].groupby(["recipe", "seed"], sort=False):
        averages = benchmark.averages(dict(zip(scored.target, scored.score, strict=True)), name)
        rows += [{"recipe": recipe, "target": group, "seed": seed, "score": v} for group, v in averages.items() if v is not None]
    cells = stats.summarize(pd.DataFrame(rows, columns=["recipe", "target", "seed", "score"]), ["recipe", "target"], "score")
    groups = [*benchmark.GROUPS[name], "total"]
    shown = _grid(study.recipes, groups, cells, pd.DataFrame()).drop(columns="average")
    return shown if len(cells) else shown[:0]


def languages_told(study: Study) -> str:
    """Over how many targets of each benchmark a study averages, and in how many of them in the benchmark's own languages, in words."""
    counts, alike = [], []
    for name, own in benchmark.BENCHMARKS.items():
        chosen = benchmark.languages_in(name, study)
        counts.append(f"{len(chosen)} of {name}'s {len(own)}")
        alike.append(str(sum(set(chosen[target]) == set(own[target]) for target in chosen)))
    return f"The averages are over {' and '.join(counts)} targets, in {' and '.join(alike)} of them in the benchmark's own languages, else in this study's."


def subset_frame(study: Study) -> pd.DataFrame:
    """Splits that hold other numbers of rows than the published ones, as the records of the cells that read them say."""
    shown = _told(study, "subset", ["part", "split", "rows", "published"]).drop_duplicates("part", ignore_index=True)
    shown = shown.astype({"rows": "Int64", "published": "Int64"})
    return shown.assign(missing=(shown.published - shown.rows).clip(lower=0))


def lost_frame(study: Study) -> pd.DataFrame:
    """Splits with answers that stand nowhere in their context, and how many rows are left out for it, as the records say."""
    return _told(study, "lost", ["part", "split", "answers", "rows"])


def _told(study: Study, what: str, columns: list[str]) -> pd.DataFrame:
    """What the records of the cells that train or score say of their data, each thing once."""
    each = [entry.model_dump() for _, r in records.of_phase(study, "intermediate", "target") for entry in getattr(r.result, what)]
    return pd.DataFrame(each, columns=columns).drop_duplicates(ignore_index=True)


def _grid(recipes: list[str], targets: list[str], cells: pd.DataFrame, average: pd.DataFrame, sign: bool = False) -> pd.DataFrame:
    def look(frame, **keys):
        for key, value in keys.items():
            frame = frame[frame[key] == value] if key in frame else frame[:0]
        row = frame.iloc[0] if len(frame) else None
        own = "*" if row is not None and "own variance" in str(row.get("how", "")) else ""
        return stats.show(row["mean"], row["low"], row["high"], sign) + own if row is not None else "–"

    rows = [{"recipe": r} | {t: look(cells, recipe=r, target=t) for t in targets} | {"average": look(average, recipe=r)} for r in recipes]
    return pd.DataFrame(rows)


def gap_frame(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Transfer gap per backbone and recipe, averaged over the targets that have one, with intervals over seeds."""
    gaps = stats.gap(table, study.source_language).groupby(["backbone", "recipe", "seed"], sort=False).gap.mean().reset_index()
    summary = stats.summarize(gaps, ["backbone", "recipe"], "gap")
    summary["gap (points)"] = [stats.show(r.mean, r.low, r.high) for r in summary.itertuples()]
    return summary[["backbone", "recipe", "gap (points)"]]


def world_checks(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Whether the microworld can answer at all: room in the source scores, transfer graded by distance, size that matters;
    empty for real rows."""
    if study.source != "microworld":
        return pd.DataFrame()
    means = table.groupby(["backbone", "recipe", "target", "split", "language"]).score.mean().reset_index()
    dev = means[means.split == "dev"]
    outside = ", ".join(dev[~dev.score.between(60, 97)].target.unique())
    none = (means.split == "test") & (means.recipe == "none") & (means.language != study.source_language)
    by_language = means[none].groupby("language").score.mean()
    rich = [code for code in by_language.index if world.LANGUAGES[code].share == 1]
    rank = spearmanr([world.LANGUAGES[code].distance for code in rich], by_language[rich]).statistic if len(rich) > 2 else np.nan
    averages = stats.complete(stats.task_scores(table), study.targets)
    alone = averages[averages.recipe == "none"]
    pooled = averages.groupby(["backbone", "seed"]).score.mean().reset_index()
    checks = [
        (
            "source development scores, mean over seeds",
            "between 60 and 97",
            f"{dev.score.min():.1f} to {dev.score.max():.1f}{outside and '; outside: '}{outside}" if len(dev) else "–",
            not outside and len(dev),
        ),
        (
            "rank correlation of zero-shot score with distance",
            "below 0",
            "–" if np.isnan(rank) else f"{rank:.2f} over {len(rich)} languages",
            rank < 0,
        ),
        ("average of the first and the last backbone, recipe none", "intervals apart", *_apart(study, alone)),
        ("the same, averaged over all recipes", "intervals apart", *_apart(study, pooled)),
    ]
    return pd.DataFrame([(a, b, c, "yes" if d else "no") for a, b, c, d in checks], columns=["check", "wanted", "measured", "holds"])


def _apart(study: Study, averages: pd.DataFrame) -> tuple[str, bool]:
    """The averages of the first and the last backbone, and whether the last one's interval lies wholly above."""
    first, last = (stats.interval(averages[averages.backbone == b].score) for b in (study.first, study.last))
    return f"{stats.show(*first)} and {stats.show(*last)}", first[2] < last[1]


def mark_at_chance(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `at_chance`: whether the run of a row learnt nothing, its source development score not beating chance."""
    dev = table[table.split == "dev"]
    lost = [not scoring.beats_chance(row.score, tasks.get(row.target).chance, row.n) for row in dev.itertuples()]
    fallen = dev[pd.Series(lost, index=dev.index, dtype=bool)]
    runs = ["backbone", "recipe", "target", "seed"]
    return table.assign(at_chance=pd.MultiIndex.from_frame(table[runs]).isin(pd.MultiIndex.from_frame(fallen[runs])))


def degenerate_frame(table: pd.DataFrame) -> pd.DataFrame:
    """Runs that learnt nothing (`mark_at_chance`), counted per backbone and target."""
    dev = mark_at_chance(table)[table.split == "dev"]
    rows = []
    for (backbone, target), own in dev.groupby(["backbone", "target"], sort=False):
        fallen = own[own.at_chance]
        if len(fallen):
            which = ", ".join(f"{r.recipe} s{r.seed}" for r in fallen.itertuples())
            rows.append({"backbone": backbone, "target": target, "runs at chance": f"{len(fallen)} of {len(own)}", "which": which})
    return pd.DataFrame(rows)


def restarts_frame(study: Study) -> pd.DataFrame:
    """The cells whose training came to nothing at first, and how each attempt at it ended (xtools/restarts.py)."""
    cells = [(cell, record.result.attempts) for cell, record in records.of_phase(study, "intermediate", "target")]
    told = {
        cell.name: [f"{' '.join(a.tasks)}, seed {a.seed}: {a.ended}" for a in attempts]
        for cell, attempts in cells
        if not results.at_first(attempts)
    }
    return pd.DataFrame([{"cell": name, "attempts": "; ".join(each)} for name, each in told.items()])


def mark_restarted(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `restarted`: whether the run of a row, or one that it starts from, came to nothing at first."""
    lost = {cell for cell, record in records.of_phase(study, "intermediate", "target") if not results.at_first(record.result.attempts)}

    def is_lost(cell: Cell | None) -> bool:
        return cell is not None and (cell in lost or is_lost(study.upstream(cell)))

    rows = table[["backbone", "recipe", "target", "seed"]].itertuples(index=False)
    return table.assign(restarted=[is_lost(Cell(study.name, "target", *row)) for row in rows])


def published() -> list[dict]:
    """params/ledgers/published.yaml: figures of papers per backbone, recipe, target and metric."""
    return yaml.safe_load((ROOT / "params" / "ledgers" / "published.yaml").read_text())


def side_by_side(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """Ours beside published figures of the same backbone, recipe, target and metric, and the difference (percent and points).

    `table` holds every metric (`records.table`). Languages are those of the figure's benchmark where this study has them all, else this
    study's. A figure whose metric our records lack has the reason in place of the difference.
    """
    rows = []
    for entry in published():
        entry["source"] += f"; our {entry['recipe']} is without {', '.join(study.left_out)}" if is_reduced(study, entry["recipe"]) else ""
        own = stats.in_languages(table[table.split == "test"], benchmark.languages_in(entry["benchmark"], study))
        for backbone in (name for name, b in study.backbones.items() if b.load == entry["backbone"]):
            scored = own[(own.backbone == backbone) & own.recipe.isin([entry["recipe"], "none"])]
            figures = ((target, m, figure) for target, known in entry["figures"].items() for m, figure in known.items())
            rows += [_beside(entry, backbone, *figure, scored[scored.target == figure[0]]) for figure in figures]
    return pd.DataFrame([row for row in rows if row])


def is_reduced(study: Study, recipe: str) -> bool:
    """Whether a recipe is over fewer tasks than the study's file has."""
    return bool(study.left_out) and Recipe.parse(recipe).task == "all"


def _beside(entry: dict, backbone: str, target: str, metric: str, figure: float, scored: pd.DataFrame) -> dict:
    """A published figure beside ours, from the scores of one target by every metric; empty where the recipe has none at all."""
    if not (scored.recipe == entry["recipe"]).any():
        return {}
    values = stats.task_scores(scored[scored.metric == metric])
    values = stats.gains(values, ["backbone", "target"]) if entry["what"] == "gain" else values
    ours = values[values.recipe == entry["recipe"]]["gain" if entry["what"] == "gain" else "score"]
    mean, low, high = stats.interval(ours)
    why = "" if (scored.metric == metric).any() else f"left out: our records hold no {metric}"
    return {"backbone": backbone, "recipe": entry["recipe"], "target": target, "metric": metric, "what": entry["what"],
            "ours": stats.show(mean, low, high), "published": f"{figure:.1f}",
            "difference": why or stats.show(mean - figure, low - figure, high - figure, sign=True),
            "source": entry["source"], "known": entry["confidence"]}  # fmt: skip


def verdicts(ledger: pd.DataFrame) -> list[results.Verdict]:
    """The ledger's rows for the report's record; a figure that is not there is None."""
    kept = ledger.drop(columns=["how", "points"]).astype(object)
    return [results.Verdict(**row) for row in kept.where(kept.notna(), None).to_dict("records")]
