"""The first screen: the answer in a sentence, a card a question, the ledger's count, and the smallest effect that the study could find."""

import html

import numpy as np
import pandas as pd
from IPython.display import HTML

from xtools.report import drawing, figures, ledger, power, stats, tables
from xtools.report.drawing import Axis
from xtools.report.questions import QUESTIONS, UNDECIDED, Answer
from xtools.study import Study

TITLES = {
    "choosing": "1. Choosing by source scores",
    "gaps": "2. The transfer gap, by size",
    "benchmarks": "3. XTREME against XTREME-R",
    "efficiency": "4. Cost in inference",
    "amounts": "5. Amounts of data",
}


def answers(study: Study, table: pd.DataFrame) -> dict[str, Answer]:
    """All five questions, answered as far as the study can."""
    return {name: ask(study, table) for name, ask in QUESTIONS.items()}


def screen(study: Study, table: pd.DataFrame, answered: dict[str, Answer], held: pd.DataFrame) -> HTML:
    """The answer, the five cards, and beside them what the ledger counts and what the study could find."""
    missing = tables.holes(study)
    first = html.escape(tables.answer(study, table)) + (f" <strong>{html.escape(missing)}</strong>" if missing else "")
    note = f'<p class="limits">{html.escape(study.note)}</p>' if study.note else ""
    cards = "".join(_card(name, answer) for name, answer in answered.items())
    return HTML(figures.styled(f'<p class="lead">{first}</p>{note}<div class="cards">{cards}{_trust(study, table, held)}</div>'))


def _card(name: str, answer: Answer) -> str:
    """A question: its verdict, its sentence, its figures in small, what it leaves open."""
    open_ = answer.verdict in (UNDECIDED, "not answered")
    chip = f'<span class="chip {"v2" if open_ else "v4"}">{html.escape(answer.verdict)}</span>'
    return (
        f'<section class="card"><h3><a href="#{figures.slug(TITLES[name])}">{html.escape(TITLES[name])}</a> {chip}</h3>'
        f'<p>{html.escape(answer.effect)}</p>{small(answer)}<p class="limits">{html.escape(answer.limits)}</p></section>'
    )


def small(answer: Answer) -> str:
    """An answer's figures on one axis; empty without any."""
    found = {name: stats.read(shown) for name, shown in answer.figures.items()}
    known = {name: [made] for name, made in found.items() if made}
    if not known:
        return ""
    axis = Axis.over([end for ((interval),) in known.values() for end in interval])
    return f'<div class="chart">{figures.panel("", known, axis, answer.unit)}</div>'


def full(answer: Answer) -> HTML:
    """A question's answer at the head of its section, and what it leaves open."""
    return HTML(
        f'<p class="lead">{html.escape(answer.effect)}</p><p class="limits">What this study cannot say: {html.escape(answer.limits)}</p>'
    )


def _trust(study: Study, table: pd.DataFrame, held: pd.DataFrame) -> str:
    """What the ledger counts, and the smallest average gain that the study finds."""
    claims = held["id"].nunique()
    least = power.smallest(study, table)
    gains = " and ".join(f"{gain:.1f} points for {backbone}" for backbone, gain in least.items())
    told = f"An average gain of {gains} (80% power)." if least else "Not known: it takes two seeds and two recipes."
    picture = ""
    if least:
        axis = Axis.over([*least.values(), power.WANTED])
        bars = "".join(_bar(backbone, gain, axis) for backbone, gain in least.items())
        picture = f'<div class="chart"><div class="panel">{bars}<span class="axis">{drawing.ruler(axis, "points of the average")}</span></div></div>'
    return (
        f'<section class="card trust"><h3><a href="#ledger-of-claims">Ledger: {claims} claims, {len(held)} verdicts</a></h3>'
        f'{ledger.bar(ledger.counts(held))}<h3><a href="#can-this-study-answer">Smallest effect it could find</a></h3>'
        f"<p>{html.escape(told)}</p>{picture}</section>"
    )


def _bar(backbone: str, gain: float, axis: Axis) -> str:
    """A bar up to the gain, with a line at what a study should be able to find."""
    body = f'<rect class="c7" x="{axis.at(0):g}%" y="25%" height="50%" width="{axis.at(gain) - axis.at(0):g}%"></rect>'
    body += drawing.line(axis.at(power.WANTED), 0, axis.at(power.WANTED), 100, "zero")
    strip = drawing.svg(body, drawing.ROW, f"{backbone}: {gain:.1f} points; {power.WANTED:.0f} are wanted")
    return f'<span class="name">{html.escape(backbone)}</span>{strip}<span class="value">{stats.show(gain, np.nan, np.nan)}</span>'
