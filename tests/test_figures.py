"""Pictures are of the figures that their tables hold, no others."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from xtools import study
from xtools.report import drawing, figures, languages, ledger, stats
from xtools.report.drawing import Axis

POINTS = some.floats(-99, 99).map(lambda value: round(value, 1) + 0.0)


@given(POINTS, POINTS, POINTS, some.booleans())
def test_what_is_shown_reads_back_as_it_was(mean, low, high, sign):
    assert stats.read(stats.show(mean, low, high, sign)) == (mean, low, high)
    assert stats.read(stats.show(mean, np.nan, np.nan, sign))[0] == mean


@pytest.mark.parametrize("other", ["–", "mnli", "12", "0.08", "x 3.70", "3.4 to 5.6"])
def test_what_is_no_figure_is_not_read_as_one(other):
    assert stats.read(other) is None


GAINS = pd.DataFrame(
    {"recipe": ["mnli", "all"], "xnli": ["+7.1\u00a0[-1.0,\u00a0+15.2]", "–"], "average": ["+3.0\u00a0[+1.0,\u00a0+5.0]*", "+0.5"], "seeds": [3, 3]}
)  # fmt: skip


def test_a_forest_draws_each_figure_of_its_table_once_at_its_place():
    page = figures.forest(GAINS, "study, large: gains (points)", near={"xnli": 4.0}).data
    told = re.findall(r'aria-label="([^"]+)"', page)
    assert told == [
        "xnli, mnli: +7.1 [-1.0, +15.2] points", "xnli, all: – points", "average, mnli: +3.0 [+1.0, +5.0] points", "average, all: +0.5 points",
    ]  # fmt: skip
    axis = Axis.over([7.1, -1.0, 15.2, 3.0, 1.0, 5.0, 0.5])
    for value in (7.1, 3.0, 0.5):
        assert f'x="{axis.at(value):g}%" y="10px" width="1"' in page, "the shape stands at the mean"
    assert page.count('class="shade"') == 2, "the rows of one panel alone"
    assert page.count('<path class="" ') == 1, "filled where the interval leaves zero out: once"
    assert '<figure id="study-large-gains-points">' in page and "<details><summary>Table (2 rows)" in page


def test_curves_draw_each_amount_with_its_interval():
    rows = [
        ("large", "mnli", n, kind, gain, gain - 1, gain + 1)
        for n, kind, gain in ((100, "unseen", -2.0), (1000, "unseen", 3.0), (100, "source", 0.5))
    ]
    page = figures.curves(pd.DataFrame(rows, columns=["backbone", "task", "examples", "kind", "mean", "low", "high"]), "amounts").data
    assert 'aria-label="large: unseen -2.0 at 100; unseen +3.0 at 1,000; source +0.5 at 100"' in page
    drawn = page[page.index('class="plane"') :]
    assert len(re.findall('<line class="c[01]"', drawn)) == 3 + 1, "an interval a point, and the one line between two amounts"


def test_a_table_without_a_row_shows_nothing():
    assert (
        figures.forest(GAINS[:0], "none") is None and figures.folded(GAINS[:0], "none") is None and figures.table(GAINS[:0], "none") is None
    )
    assert figures.said("") is None and figures.tax({}, {}, "en", "none") is None


def test_a_table_as_csv_has_the_ends_of_intervals_in_columns_of_their_own():
    again = pd.read_csv(io.StringIO(figures.as_csv(GAINS)))
    assert [*again] == ["recipe", "xnli", "xnli low", "xnli high", "average", "average low", "average high", "seeds"]
    assert again.loc[0].tolist() == ["mnli", 7.1, -1.0, 15.2, 3.0, 1.0, 5.0, 3] and np.isnan(again.xnli[1])


@given(some.lists(some.floats(-1e4, 1e4), min_size=1, max_size=9))
def test_an_axis_holds_all_its_values_in_their_order(values):
    for axis in (Axis.over(values), Axis.roots(values, ticks=(1, 5, 20, 50, 10_000))):
        places = [axis.at(value) for value in sorted(values)]
        assert places == sorted(places) and -0.5 <= places[0] and places[-1] <= 100.5


def test_points_apart_stay_apart_on_the_ledgers_axis():
    axis = Axis.roots([0.5, 48.8])
    assert axis.at(0) == 50 and axis.at(1) - axis.at(0) > 5 and axis.at(48.8) < 100
    assert Axis.roots([0.5, 1374.0]).ticks[-1] == 100, "one wild interval does not squeeze all others"


def row(claim, backbone, verdict, mean, points=np.nan, cells=()):
    known = {"id": claim, "claim": claim, "source": "a paper", "published": "+7.5", "confidence": "A", "points": points}
    return known | {
        "backbone": backbone,
        "mean": mean,
        "low": mean - 1,
        "high": mean + 1,
        "how": "",
        "counted": "",
        "verdict": verdict,
        "cells": [*cells],
    }


def test_the_ledger_groups_by_claim_and_counts_verdicts():
    loaded = study.load("pocket")
    cells = [cell.name for cell in loaded.cells() if cell.phase == "target"][:6]
    held = pd.DataFrame([row("one", "small", "undecided (about 9 seeds would decide)", 0.5, 7.5, cells), row("one", "large", "supported", 2.0, 7.5),
                         row("two", "small", "not tested (squad_v1 not in this study)", np.nan), row("two", "large", "contradicted", -3.0)])  # fmt: skip
    page = ledger.show(held, loaded, "Claims").data
    assert page.count('<section class="claim">') == 2 and page.count("a paper") == 2 + 4, "once a claim, and in the table under them"
    assert ledger.counts(held) == {"supported": 1, "contradicted": 1, "undecided": 1, "not tested": 1}
    assert re.findall(r'aria-label="([^"]+)"', page.replace("\u00a0", " ")) == [
        "small: +0.5 [-0.5, +1.5] points, published +7.5", "large: +2.0 [+1.0, +3.0] points, published +7.5", "large: -3.0 [-4.0, -2.0] points",
    ]  # fmt: skip
    assert page.count(drawing.SHAPES[drawing.PUBLISHED]) == 2 and page.count("6 cells behind it") == 1
    assert page.count('href="target/target-') == 6


def test_languages_stand_by_distance_or_family():
    pocket, real = study.load("pocket"), study.load("xtreme")

    def frame(loaded, codes):
        common = {"backbone": "b", "target": "xnli", "split": "test", "metric": "m", "n": 1, "recipe": "none"}
        rows = [common | {"seed": s, "language": code, "score": 80 - i} for s in range(2) for i, code in enumerate(codes)]
        return languages.gap_frame(loaded.model_copy(update={"recipes": ["none"]}), pd.DataFrame(rows), "b")

    made = frame(pocket, ["qaa", "qac", "qab", "qag"])
    assert made.language.tolist() == ["qab", "qag", "qac"] and made.none.tolist()[0].startswith("2.0")
    made = frame(real, ["en", "de", "hi", "ur", "nl"])
    assert made.language.tolist() == ["de", "nl", "hi", "ur"] and made.like.tolist() == ["Germanic"] * 2 + ["Indo-Aryan"] * 2


def test_every_language_of_the_benchmarks_has_a_family():
    codes = {
        code
        for name in ("both", "xtreme", "xtreme_r")
        for target in study.load(name).targets
        for code in study.load(name).languages_of(target)
    }
    assert {code for code in codes if languages.group(study.load("both"), code) == "other"} == set()
