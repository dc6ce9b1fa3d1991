"""Two studies, or one before and after a change: by how much their scores differ, cell by cell, and whether they may be compared at all."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from xtools import ROOT, records
from xtools.problems import Problem
from xtools.records import Record
from xtools.report import figures, pages, stats

KEYS = ["backbone", "recipe", "target", "seed"]


@dataclass(frozen=True)
class Side:
    """A study's records of targets by (backbone, recipe, target, seed), and the names of the encoders that they start from."""

    name: str
    cells: dict[tuple, Record]
    encoders: set[str]

    @classmethod
    def of(cls, word: str) -> "Side":
        """That of a study here, by its name, or of a folder of records: runs/<study> of another checkout, or results/<study>.

        Raises Problem where there are none.
        """
        places = [ROOT / "runs" / word, ROOT / "results" / word, Path(word)]
        folder = next((place for place in places if any(place.glob("*/*/record.json")) or (place / records.KEPT).exists()), places[-1])
        every = records.read_all(folder)
        cells = {tuple(getattr(record, key) for key in KEYS): record for record in every if record.phase == "target"}
        return cls(word, cells, {place for record in every if record.phase == "backbone" for place in record.read})

    def made_by(self) -> str:
        """With which code and libraries, and on what, in a line."""
        cells = self.cells.values()
        versions = {f"{name} {version}" for record in cells for name, version in record.versions.items()}
        parts = [{record.commit for record in cells}, versions, {str(record.machine) for record in cells}]
        return f"{self.name}: {len(self.cells)} cells; commit " + "; ".join(", ".join(sorted(part)) for part in parts)


def unlike(a: Side, b: Side) -> Iterator[str]:
    """What of two sides cannot be compared, a line each: other metrics, languages or numbers of test rows, and other data of one name."""
    for key in a.cells.keys() & b.cells.keys():
        one, other, cell = a.cells[key], b.cells[key], "-".join(map(str, key))
        if one.result.metric != other.result.metric:
            yield f"{cell}: its metric is {one.result.metric} in {a.name} and {other.result.metric} in {b.name}"
        rows, theirs = ({language: score.n for language, score in record.result.scores.items()} for record in (one, other))
        yield from (
            f"{cell}: {rows.get(lang, 'no')} test rows of {lang} in {a.name}, {theirs.get(lang, 'none')} in {b.name}"
            for lang in sorted(rows.keys() | theirs.keys())
            if rows.get(lang) != theirs.get(lang)
        )
        data = (one.read.keys() & other.read.keys()) - a.encoders - b.encoders
        yield from (f"{cell}: {place} is other data: {one.read[place]} in {a.name}, {other.read[place]} in {b.name}"
                    for place in sorted(data) if one.read[place] != other.read[place])  # fmt: skip


def differences(a: Side, b: Side) -> pd.DataFrame:
    """Scores of `b` minus those of `a` (points) in the cells that both have: a row a backbone and recipe, a column a target and the average
    over all of them, with 95% t-intervals over seeds, which are paired.

    Raises Problem, with the first difference, where they cannot be compared.
    """
    common = [key for key in a.cells if key in b.cells]
    if not common:
        raise Problem(f"{a.name} and {b.name} have no cell in common: no backbone, recipe, target and seed is in both")
    if lines := sorted(unlike(a, b)):
        raise Problem(f"{lines[0]}; {a.name} and {b.name} cannot be compared ({len(lines)} such differences)")
    points = pd.DataFrame([[*key, b.cells[key].result.score - a.cells[key].result.score] for key in common], columns=[*KEYS, "score"])
    targets = list(dict.fromkeys(points.target))
    shown = {}
    for target in targets:
        shown[target] = _shown(points[points.target == target])
    if len(targets) > 1:
        shown["average"] = _shown(stats.complete(points, targets))
    rows = list(dict.fromkeys(zip(points.backbone, points.recipe, strict=True)))
    return pd.DataFrame([{"backbone": b, "recipe": r} | {name: own.get((b, r), "–") for name, own in shown.items()} for b, r in rows])


def _shown(points: pd.DataFrame) -> dict[tuple[str, str], str]:
    found = stats.summarize(points, ["backbone", "recipe"], "score")
    return {(r["backbone"], r["recipe"]): stats.show(r["mean"], r["low"], r["high"], sign=True) for r in found.to_dict("records")}


def told(a: Side, b: Side) -> str:
    """How many cells are in both, and whether they are equal, in a sentence."""
    common = a.cells.keys() & b.cells.keys()
    equal = sum(a.cells[key].result.scores == b.cells[key].result.scores for key in common)
    alone = f"; {len(a.cells) - len(common)} are in {a.name} alone, {len(b.cells) - len(common)} in {b.name} alone"
    return f"{len(common)} cells are in both, {equal} of them equal to the bit{alone}"


def page(one: str, other: str) -> tuple[str, Path]:
    """Compare two studies or folders of records; returns what is told on a terminal, and the page with the picture, in runs/compare/.

    Raises Problem as `differences` and `Side.of` do.
    """
    a, b = Side.of(one), Side.of(other)
    shown, sentence = differences(a, b), told(a, b)
    title, lines = f"{b.name} minus {a.name}", [a.made_by(), b.made_by()]
    output = ROOT / "runs" / "compare" / f"{figures.slug(a.name)}-{figures.slug(b.name)}.html"
    output.parent.mkdir(parents=True, exist_ok=True)
    pictures = [
        figures.forest(own.drop(columns="backbone"), f"{title}, {name} (points)") for name, own in shown.groupby("backbone", sort=False)
    ]
    body = "".join(f"<p>{html.escape(line)}</p>" for line in (sentence, *lines)) + "".join(p.data for p in pictures if p)
    pages.write(output, title, f"<main><h1>{html.escape(title)}</h1>{body}</main>")
    return "\n".join([f"{title}, points", shown.to_string(index=False), sentence, *lines]), output
