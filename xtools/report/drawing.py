"""Drawings as SVG inside the page, laid out in percent: they fill whatever width there is, and their words keep their size.

Lines, shapes and words are of the page's own colour or of one of ten that the colour-blind tell apart, brighter on dark (chart.css); shape
tells what hue tells. A drawing has a text alternative.
"""

import html
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

STYLE = Path(__file__).with_name("chart.css").read_text()
SHAPES = [  # around the point, in pixels; as many as can be told apart at this size
    "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z", "M-4 -4H4V4H-4Z", "M0 -5.5L5.5 0L0 5.5L-5.5 0Z", "M0 -5L5 4H-5Z", "M0 5L5 -4H-5Z",
    "M-5 -1.5H-1.5V-5H1.5V-1.5H5V1.5H1.5V5H-1.5V1.5H-5Z", "M-5 0L4 -5V5Z", "M5 0L-4 -5V5Z",
]  # fmt: skip
COLOURS = 10
PUBLISHED = 2  # the series, a diamond, of figures that are not ours
ROW = 20  # pixels: the height of a line of a strip


@dataclass(frozen=True)
class Axis:
    """From values to percent of a drawing's width or height, with the ticks between its ends; `scale` is applied to values first."""

    low: float
    high: float
    ticks: tuple[float, ...]
    scale: Callable = float

    @classmethod
    def over(cls, values, zero: bool = True, bins: int = 4) -> "Axis":
        """A linear axis with round ends over all values that are numbers, and over zero where asked."""
        known = [value for value in values if np.isfinite(value)] + ([0.0] if zero else [])
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        ticks = MaxNLocator(bins, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high if high > low else low + 1)
        return cls(float(ticks[0]), float(ticks[-1]), tuple(float(tick) for tick in ticks))

    @classmethod
    def logarithmic(cls, values) -> "Axis":
        """A logarithmic axis over positive values, its ticks close enough that a factor below five shows some."""
        low, high = 0.93 * min(values), 1.07 * max(values)
        subs = (1.0,) if high > 200 * low else (1.0, 2.0, 5.0) if high > 4 * low else (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
        ticks = [float(tick) for tick in LogLocator(subs=subs).tick_values(low, high) if low <= tick <= high]
        return cls(low, high, tuple(ticks), np.log10)

    @classmethod
    def roots(cls, values, ticks=(1, 5, 20, 50, 100)) -> "Axis":
        """An axis on which a point and fifty both show: signed square roots, alike on both sides of zero, up to the last tick at most; what
        lies beyond runs off its end."""
        most = max([abs(value) for value in values if np.isfinite(value)], default=1.0)
        most = next((tick for tick in ticks if tick >= most), ticks[-1])
        kept = [tick for tick in ticks if tick <= most]
        return cls(-most, most, (*(-tick for tick in reversed(kept)), 0, *kept), lambda value: np.sign(value) * np.sqrt(abs(value)))

    def at(self, value: float) -> float:
        """Percent from the low end, at most a little beyond either."""
        low, high = self.scale(self.low), self.scale(self.high)
        return round(float(np.clip(100 * (self.scale(value) - low) / (high - low), -1, 101)), 2)


def svg(body: str, height: int, told: str = "", kind: str = "") -> str:
    """A drawing of full width, with its text alternative; without one it is decoration."""
    role = f'role="img" aria-label="{html.escape(told)}"' if told else 'aria-hidden="true"'
    return f'<svg {role}{f""" class="{kind}" """ if kind else ""} height="{height}">{body}</svg>'


def line(x1, y1, x2, y2, kind: str) -> str:
    """A line; numbers are percent, words such as 3px stand as they are."""
    return f'<line class="{kind}" x1="{_unit(x1)}" y1="{_unit(y1)}" x2="{_unit(x2)}" y2="{_unit(y2)}"></line>'


def shape(x, y, series: int, sure: bool = True) -> str:
    """The shape of a series at a place, filled where `sure`."""
    path = f'<path class="{"" if sure else "open"}" d="{SHAPES[series % len(SHAPES)]}"></path>'
    return f'<svg class="c{series % COLOURS}" x="{_unit(x)}" y="{_unit(y)}" width="1" height="1">{path}</svg>'


def words(x, y, text: str, anchor: str = "middle", down: int = 0) -> str:
    """A word or two at a place, `down` pixels below it."""
    inner = f'<text text-anchor="{anchor}" y="{down}">{html.escape(text)}</text>'
    return f'<svg x="{_unit(x)}" y="{_unit(y)}" width="1" height="1">{inner}</svg>'


def _unit(value) -> str:
    return value if isinstance(value, str) else f"{value:g}%"


def strip(axis: Axis, intervals: list[tuple], told: str, shade: float = 0.0, zero: bool = True, beside: float = np.nan) -> str:
    """Intervals (mean, low, high) on an axis, one below the other, each a series: a line with a shape at the mean, hollow where the interval
    includes the `zero` line; behind them the ticks, what lies within `shade` of zero, and another's figure `beside` as a diamond."""
    height = ROW * max(1, len(intervals))
    body = "".join(line(axis.at(tick), 0, axis.at(tick), 100, "grid") for tick in axis.ticks)
    if shade:
        left, right = axis.at(-shade), axis.at(shade)
        body += f'<rect class="shade" x="{left:g}%" y="0" width="{right - left:g}%" height="100%"></rect>'
    if zero and axis.low <= 0 <= axis.high:
        body += line(axis.at(0), 0, axis.at(0), 100, "zero")
    for i, (mean, low, high) in enumerate(intervals):
        y = f"{ROW * i + ROW // 2}px"
        if np.isfinite(low):
            body += line(axis.at(low), y, axis.at(high), y, f"c{i % COLOURS}")
        if np.isfinite(mean):
            body += shape(axis.at(mean), y, i, not zero or low > 0 or high < 0)
    if np.isfinite(beside):
        body += shape(axis.at(beside), 50, PUBLISHED)
    return svg(body, height, told)


def ruler(axis: Axis, unit: str = "", form: str = "{:g}") -> str:
    """The axis's numbers and what they are of, for below strips."""
    body = "".join(words(axis.at(tick), 0, form.format(tick), down=12) for tick in axis.ticks)
    return svg(body + (words(50, 0, unit, down=27) if unit else ""), 32 if unit else 16)


def legend(names: list[str]) -> str:
    """Which shape is which series."""
    keys = [
        f'<span class="key">{svg(line(0, 50, 100, 50, f"c{i % COLOURS}") + shape(50, 50, i), 12)}{html.escape(n)}</span>'
        for i, n in enumerate(names)
    ]
    return f'<div class="legend">{"".join(keys)}</div>'


def plane(x: Axis, y: Axis, body: str, told: str, x_unit: str, y_unit: str, height: int = 260, form: str = "{:g}") -> str:
    """A drawing on two axes with their numbers; y grows upwards. What `body` draws is in percent, from the upper left."""
    grid = "".join(line(0, 100 - y.at(tick), 100, 100 - y.at(tick), "grid") for tick in y.ticks)
    grid += "".join(line(x.at(tick), 0, x.at(tick), 100, "grid") for tick in x.ticks)
    grid += "".join(words("-6px", 100 - y.at(tick), f"{tick:g}", "end", 4) for tick in y.ticks)
    grid += "".join(words(x.at(tick), 100, form.format(tick), down=16) for tick in x.ticks)
    zero = line(0, 100 - y.at(0), 100, 100 - y.at(0), "zero") if y.low < 0 < y.high else ""
    inside = svg(grid + zero + body + words(50, 100, x_unit, down=33), height, told)
    return f'<div class="plane"><div class="legend">{html.escape(y_unit)}</div>{inside}</div>'
