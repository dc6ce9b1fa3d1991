"""The ledger as readers see it: a claim at a time, its verdict per encoder, our figures beside the published one on an axis that all share."""

import html

import pandas as pd
from IPython.display import HTML

from xtools.report import drawing, figures, stats
from xtools.report.drawing import Axis
from xtools.study import Cell, Study

VERDICTS = {"supported": "✓", "contradicted": "✗", "undecided": "?", "not tested": "–"}


def word(verdict: str) -> str:
    """The verdict without what stands after it in brackets."""
    return verdict.partition(" (")[0]


def counts(ledger: pd.DataFrame) -> dict[str, int]:
    """How many rows of the ledger, a claim of one encoder each, have each verdict."""
    words = ledger.verdict.map(word)
    return {verdict: int((words == verdict).sum()) for verdict in VERDICTS}


def bar(found: dict[str, int]) -> str:
    """The counts as one bar, with a key that says them in words."""
    total, at, body = sum(found.values()), 0.0, ""
    for i, n in enumerate(found.values()):
        share = 100 * n / max(total, 1)
        body += f'<rect class="v{i}" x="{at:.2f}%" y="0" width="{share:.2f}%" height="100%"></rect>'
        at += share
    told = ", ".join(f"{n} {verdict}" for verdict, n in found.items())
    keys = "".join(f"{chip(verdict, f'{n} {verdict}')} " for verdict, n in found.items())
    return f'<div class="chart">{drawing.svg(body, 16, told, "bar")}</div><p class="chips">{keys}</p>'


def chip(verdict: str, text: str = "") -> str:
    """A verdict with its sign and colour."""
    name = word(verdict)
    kind = [*VERDICTS].index(name)
    return f'<span class="chip v{kind}">{VERDICTS[name]} {html.escape(text or name)}</span>'


def show(ledger: pd.DataFrame, study: Study, caption: str) -> HTML:
    """All claims, those with figures first on one axis (signed square roots, so that a point and fifty both show), each with the cells
    behind it folded; the table folded under them."""
    ends = [*ledger.low, *ledger.high, *ledger["mean"], *ledger.points]
    axis = Axis.roots(ends)
    body = "".join(_claim(own, study, axis) for _, own in ledger.groupby("id", sort=False))
    return figures.folded(frame(ledger), caption, f'<div class="ledger">{body}</div>')


def _claim(rows: pd.DataFrame, study: Study, axis: Axis) -> str:
    """One claim: its sentence and source, a chip and an interval an encoder, the published figure, the cells."""
    first = rows.iloc[0]
    known = f"{first.source}; known: {first.confidence}; published: {first.published}"
    lines = "".join(_encoder(row, axis, first.points) for row in rows.itertuples())
    shown = rows["mean"].notna().any()
    measured = f'<span class="axis">{drawing.ruler(axis)}</span>' if shown else ""
    return (
        f'<section class="claim"><h3 id="claim-{first.id}">{html.escape(first.claim)}</h3><p class="source">{html.escape(known)}</p>'
        f'<div class="verdicts">{lines}{measured}</div>{_cells(rows, study)}</section>'
    )


def _encoder(row, axis: Axis, published: float) -> str:
    """A line of a claim: the encoder, its verdict, its interval and figure."""
    name = "" if row.backbone == "–" else row.backbone
    rest = row.verdict.partition(" (")[2].rstrip(")")
    figure = row.counted or stats.show(row.mean, row.low, row.high, sign=True).replace("–", "")
    beside = f", published {published:+.1f}" if pd.notna(published) else ""
    strip = (
        drawing.strip(axis, [(row.mean, row.low, row.high)], f"{name}: {figure} points{beside}", beside=published)
        if pd.notna(row.mean)
        else ""
    )
    told = f"{figure} {rest}".strip()
    return f'<span class="name">{html.escape(name)} {chip(row.verdict)}</span><span>{strip}</span><span class="value">{html.escape(told)}</span>'


def _cells(rows: pd.DataFrame, study: Study) -> str:
    """The cells that a claim's figures were computed from, a line an encoder and recipe, a link a target and seed; one click away."""
    names = list(dict.fromkeys(name for cells in rows.cells for name in cells))
    if not names:
        return ""
    by_name = {cell.name: cell for cell in study.cells()}
    lines: dict[tuple, dict[str, list[str]]] = {}
    for cell in (by_name[name] for name in names):
        lines.setdefault((cell.backbone, cell.recipe), {}).setdefault(cell.target, []).append(f'<a href="{address(cell)}">{cell.seed}</a>')
    items = "".join(
        f"<li>{html.escape(f'{backbone}, {recipe}')}: {'; '.join(f'{html.escape(t)} {chr(32).join(seeds)}' for t, seeds in targets.items())}</li>"
        for (backbone, recipe), targets in lines.items()
    )
    return f"<details><summary>{len(names)} cells behind it, by recipe, target and seed</summary><ul>{items}</ul></details>"


def address(cell: Cell) -> str:
    """A cell's page, from beside the report."""
    return f"{cell.phase}/{cell.name}/notebook.html"


def frame(ledger: pd.DataFrame) -> pd.DataFrame:
    """The ledger as a table: figures and intervals as text."""
    shown = ledger.assign(measured=[r.counted or stats.show(r.mean, r.low, r.high, sign=True) for r in ledger.itertuples()])
    columns = ["claim", "source", "published", "confidence", "backbone", "measured", "verdict", "how"]
    return shown[columns].rename(columns={"confidence": "known", "measured": "measured (points)", "how": "interval over"})
