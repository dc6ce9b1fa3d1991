"""The report's figures: a picture first, drawn from a table of figures with intervals, and the table itself folded under it."""

import html
import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
from IPython.display import HTML, display

from xtools.report import drawing, stats
from xtools.report.drawing import Axis


class Sheet(HTML):
    """HTML that carries its table as CSV too, which the page lays beside itself and links (`pages.page`)."""

    def __init__(self, data: str, table: pd.DataFrame, name: str):
        super().__init__(data)
        self.csv, self.name = as_csv(table), name

    def _repr_mimebundle_(self, **_) -> tuple[dict, dict]:
        return {"text/html": self.data, "text/csv": self.csv}, {"text/csv": {"name": self.name}}


def as_csv(table: pd.DataFrame) -> str:
    """A table as CSV; a column of figures with intervals is three there: the figure and the ends."""
    columns = {}
    for name in table:
        parts = [stats.read(value) for value in table[name]]
        if any(part and np.isfinite(part[1]) for part in parts):
            for i, end in enumerate(("", " low", " high")):
                columns[f"{name}{end}"] = [part[i] if part else None for part in parts]
        else:
            columns[str(name)] = [None if value == "–" else value for value in table[name]]
    return pd.DataFrame(columns).to_csv(index=False)


def slug(text: str) -> str:
    """Words as an anchor or a file's name."""
    return "-".join(re.findall(r"\w+", text.lower()))[:80]


def styled(body: str) -> str:
    """HTML with the style of drawings, for a notebook; a page has the style once."""
    return f"<style>{drawing.STYLE}</style>{body}"


def rows_html(table: pd.DataFrame, caption: str = "") -> str:
    """A table as HTML, text escaped."""
    body = table.to_html(index=False, border=0, escape=True, na_rep="–", float_format="{:.1f}".format)
    return body.replace(">", f"><caption>{html.escape(caption)}</caption>", 1) if caption else body


def titled(caption: str, body: str, note: str = "") -> str:
    """A figure with an anchor."""
    note = f"<p>{html.escape(note)}</p>" if note else ""
    return f'<figure id="{slug(caption)}"><figcaption>{html.escape(caption)}</figcaption>{body}{note}</figure>'


def folded(table: pd.DataFrame, caption: str, picture: str = "", note: str = "") -> HTML | None:
    """A picture, and under it the table folded; nothing where the table has no row."""
    if table.empty:
        return None
    rows = f"<details><summary>Table ({len(table)} {'row' if len(table) == 1 else 'rows'})</summary>{rows_html(table, caption)}</details>"
    return Sheet(titled(caption, (styled(f'<div class="chart">{picture}</div>') if picture else "") + rows, note), table, slug(caption))


def table(shown: pd.DataFrame, caption: str) -> HTML | None:
    """A narrow table in the open; nothing where it has no row."""
    return None if shown.empty else Sheet(titled(caption, rows_html(shown, caption)), shown, slug(caption))


def show(shown: HTML | None) -> None:
    """Display what there is to show."""
    if shown is not None:
        display(shown)


def said(sentence: str) -> HTML | None:
    """A plain line; nothing where there is nothing to say."""
    return HTML(f"<p>{html.escape(sentence)}</p>") if sentence else None


def forest(
    shown: pd.DataFrame, caption: str, unit: str = "points", near: dict[str, float] | None = None, zero: bool = True, by: str = "",
    names: list[str] | None = None,
) -> HTML | None:  # fmt: skip
    """Every column of figures as a panel with a row for each of its intervals, all on one axis; the columns before, or `names`, say what a
    row is, and `by` is the one of them whose values are series within a row. `near` has what a panel shades around zero, such as an effect too
    small to be found. Nothing where there is no figure."""
    columns = [name for name in shown if any(stats.read(value) for value in shown[name])]
    if not columns:
        return None
    labels = names or [name for name in [*shown][: [*shown].index(columns[0])] if name != by]
    found = {name: [stats.read(value) or (np.nan,) * 3 for value in shown[name]] for name in columns}
    axis = Axis.over([end for intervals in found.values() for interval in intervals for end in interval], zero)
    groups = shown.reset_index(drop=True).groupby(labels, sort=False).indices if labels else {"": range(len(shown))}
    groups = {", ".join(key) if isinstance(key, tuple) else key: places for key, places in groups.items()}
    form = "{:+.1f}" if zero else "{:.1f}"
    series = list(dict.fromkeys(shown[by])) if by else []
    panels = [panel(name, {key: [found[name][i] for i in at] for key, at in groups.items()}, axis, unit, (near or {}).get(name, 0.0), zero, form)
              for name in columns]  # fmt: skip
    body = f'{drawing.legend(series) if len(series) > 1 else ""}<div class="panels">{"".join(panels)}</div>'
    return folded(shown, caption, body)


def panel(
    title: str, rows: dict[str, list[tuple]], axis: Axis, unit: str, near: float = 0.0, zero: bool = True, form: str = "{:+.1f}"
) -> str:
    """A small picture: a name, a strip and the figures a row, the axis below. Rows without a figure stay, and say so with a dash."""
    body = f'<div class="head">{html.escape(title)}</div>' if title else ""
    for name, intervals in rows.items():
        values = ["–" if np.isnan(interval[0]) else form.format(interval[0]) for interval in intervals]
        ends = ["" if np.isnan(interval[1]) else f" [{form.format(interval[1])}, {form.format(interval[2])}]" for interval in intervals]
        told = "; ".join(value + end for value, end in zip(values, ends, strict=True))
        body += f'<span class="name">{html.escape(name)}</span>'
        body += drawing.strip(axis, intervals, f"{title}, {name}: {told} {unit}", near, zero)
        body += f'<span class="value">{"<br>".join(values)}</span>'
    return f'<div class="panel">{body}<span class="axis">{drawing.ruler(axis, unit)}</span></div>'


def curves(gains: pd.DataFrame, caption: str) -> HTML | None:
    """Gain against the number of intermediate examples (log scale), a line a kind of language, a picture a backbone and task."""
    if gains.empty:
        return None
    kinds = list(dict.fromkeys(gains.kind))
    y, body = Axis.over([*gains.low, *gains.high, *gains["mean"]]), drawing.legend(kinds)
    for (backbone, task), own in gains.groupby(["backbone", "task"], sort=False):
        x, lines = replace(Axis.logarithmic(own.examples), ticks=tuple(sorted(set(own.examples)))), ""
        for kind, curve in own.sort_values("examples").groupby("kind", sort=False):
            lines += _curve(curve, x, y, kinds.index(kind), len(kinds))
        told = "; ".join(f"{r.kind} {r.mean:+.1f} at {r.examples:,}" for r in own.itertuples())
        unit = f"examples of {task} (log scale)"
        picture = drawing.plane(x, y, lines, f"{backbone}: {told}", unit, "gain (points)", form="{:,}")
        body += f"<h4>{html.escape(backbone)}</h4>{picture}"
    shown = gains[["backbone", "task", "examples", "kind"]].rename(columns={"kind": "languages"})
    return folded(shown.assign(gain=[stats.show(r.mean, r.low, r.high, sign=True) for r in gains.itertuples()]), caption, body)


def _curve(curve: pd.DataFrame, x: Axis, y: Axis, series: int, of: int) -> str:
    """A line through means with their intervals; series stand a little apart, so that intervals do not hide each other."""
    at = [x.at(n) + 0.8 * (series - (of - 1) / 2) for n in curve.examples]
    means = [100 - y.at(mean) for mean in curve["mean"]]
    kind = f"c{series % drawing.COLOURS}"
    body = "".join(drawing.line(at[i], means[i], at[i + 1], means[i + 1], kind) for i in range(len(at) - 1))
    for place, mean, low, high in zip(at, means, curve.low, curve.high, strict=True):
        body += drawing.line(place, 100 - y.at(low), place, 100 - y.at(high), kind) if np.isfinite(low) else ""
        body += drawing.shape(place, mean, series)
    return body


def frontier(points: pd.DataFrame, best: pd.DataFrame, caption: str) -> HTML | None:
    """Average score against latency: a shape and colour a recipe, the backbone's name beside its points, with 95% intervals over seeds; a
    dashed line joins the points of the frontier."""
    if points.empty:
        return None
    recipes = list(dict.fromkeys(points.recipe))
    x, y = Axis.logarithmic(points.latency), Axis.over([*points.low, *points.high, *points["mean"]], zero=False)
    corners = [(x.at(r.latency), 100 - y.at(r.mean)) for r in best.itertuples()] + [(100.0, 100 - y.at(best["mean"].max()))]
    body = ""
    for (x1, y1), (x2, y2) in itertools.pairwise(corners):
        body += drawing.line(x1, y1, x2, y1, "dash") + drawing.line(x2, y1, x2, y2, "dash")
    for row in points.itertuples():
        i = recipes.index(row.recipe)
        at = x.at(row.latency) + 1.2 * (i - (len(recipes) - 1) / 2)
        body += drawing.line(at, 100 - y.at(row.low), at, 100 - y.at(row.high), f"c{i % drawing.COLOURS}") if np.isfinite(row.low) else ""
        body += drawing.shape(at, 100 - y.at(row.mean), i)
    for backbone, own in points.groupby("backbone", sort=False):
        body += drawing.words(x.at(own.latency.iloc[0]), 100 - y.at(own[["mean", "high"]].max().max()), str(backbone), down=-9)
    told = "; ".join(f"{r.backbone} {r.recipe} {r.mean:.1f} at {r.latency:.2f} ms" for r in points.itertuples())
    picture = drawing.plane(x, y, body, told, "median latency of one example (ms, log scale)", "average over targets (%)")
    shown = points.assign(
        score=[stats.show(r.mean, r.low, r.high) for r in points.itertuples()], latency=points.latency.map("{:.3g}".format)
    )
    shown = shown[["backbone", "recipe", "score", "latency"]].rename(columns={"score": "score (%)", "latency": "latency (ms)"})
    shown = shown.assign(frontier=["yes" if i in best.index else "" for i in points.index])
    return folded(shown, caption, drawing.legend(recipes) + picture)


def tax(tokens: dict[str, float], ms: dict[str, float], source: str, caption: str) -> HTML | None:
    """Sub-words and latency per example over the source language's, a row a language, the dearest last."""
    if not tokens:
        return None
    base = source if source in tokens else next(iter(tokens))
    order = sorted(tokens, key=lambda language: (language != base, tokens[language]))
    ratios = {"sub-words": {code: tokens[code] / tokens[base] for code in order}, "latency": {code: ms[code] / ms[base] for code in order}}
    axis = Axis.over([value for own in ratios.values() for value in own.values()])
    body = "".join(bars(f"{what}, over {base}'s", own, axis) for what, own in ratios.items())
    shown = pd.DataFrame({"language": order} | {f"{what} over {base}'s": [f"{own[c]:.2f}" for c in order] for what, own in ratios.items()})
    return folded(shown, caption, f'<div class="panels">{body}</div>')


def bars(title: str, values: dict[str, float], axis: Axis, form: str = "{:.2f}", unit: str = "times") -> str:
    """A panel of bars from zero, with a line at one."""
    body = f'<div class="head">{html.escape(title)}</div>'
    for name, value in values.items():
        bar = f'<rect class="c0" x="0" y="15%" height="70%" width="{axis.at(value):g}%"></rect>' + drawing.line(
            axis.at(1), 0, axis.at(1), 100, "zero"
        )
        body += f'<span class="name">{html.escape(name)}</span>{drawing.svg(bar, drawing.ROW, f"{title}: {name} {form.format(value)}")}'
        body += f'<span class="value">{form.format(value)}</span>'
    return f'<div class="panel">{body}<span class="axis">{drawing.ruler(axis, unit)}</span></div>'


def settings(latencies: pd.DataFrame, caption: str) -> HTML | None:
    """Latency of each setting (precision, attention, compiled) on a logarithmic axis, a panel a backbone, with 95% intervals."""
    if latencies.empty:
        return None
    axis = Axis.logarithmic([value for value in (*latencies["mean"], *latencies.low, *latencies.high) if value > 0])
    panels = ""
    for backbone, own in latencies.groupby("backbone", sort=False):
        rows = {r.setting: [(r.mean, max(r.low, axis.low), r.high)] for r in own.itertuples()}
        panels += panel(backbone, rows, axis, "ms, log scale", zero=False, form="{:.3g}")
    shown = latencies[["backbone", "setting"]].assign(
        **{"latency (ms)": latencies["mean"].round(3), "low": latencies.low.round(3), "high": latencies.high.round(3)}
    )
    return folded(shown, caption, f'<div class="panels">{panels}</div>')
