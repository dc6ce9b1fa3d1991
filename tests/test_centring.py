"""A gain in retrieval that is only an offset between languages is told from one that is not."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_claims import ONE, planted

from xtools import ROOT, records
from xtools.report import centring, claims
from xtools.settings import Retrieval


@pytest.fixture
def both_ways(monkeypatch):
    """A function that lets a study's records hold scores of Tatoeba with some gains of MNLI, as it is and centred; returns its table."""

    def plant(plain: float, centred: float) -> pd.DataFrame:
        table = planted(np.random.default_rng(0), {("mnli", "tatoeba"): plain}, noise=0.5).assign(metric="accuracy")
        control = planted(np.random.default_rng(1), {("mnli", "tatoeba"): centred}, noise=0.5).assign(metric="accuracy centred")
        held = pd.concat([table, control[control.target == "tatoeba"]], ignore_index=True)
        monkeypatch.setattr(records, "table", lambda study, every: held)
        return table

    return plant


@pytest.mark.parametrize(("plain", "centred", "verdict"), [(10, 10, "supported"), (10, -10, "contradicted"), (10, 0, "undecided")])
def test_the_gain_that_is_judged_is_that_of_centred_vectors(both_ways, plain, centred, verdict):
    table = both_ways(plain, centred)
    ledger = claims.ledger(table, ONE, [claim for claim in claims.load() if claim.id == "retrieval-gain-is-no-offset"])
    assert ledger.verdict.iloc[0].split(" ")[0] == verdict
    assert ledger["mean"].iloc[0] == pytest.approx(centred, abs=2)


def test_scores_and_gains_stand_there_both_ways(both_ways):
    both_ways(10, 3)
    scores = centring.score_frame(ONE, "large").set_index(["recipe", "vectors"])
    assert [*scores] == ["tatoeba"] and "[" in scores.loc[("none", "centred"), "tatoeba"]
    gains = centring.gain_frame(ONE, "large").set_index(["recipe", "vectors"]).gain
    assert [float(gains["mnli", kind].split("\u00a0")[0]) for kind in centring.KINDS] == pytest.approx([10, 3], abs=1)
    assert "none" not in gains.index.get_level_values("recipe")


def test_without_such_scores_there_is_no_table_and_no_verdict(monkeypatch):
    table = planted(np.random.default_rng(0), {})
    monkeypatch.setattr(records, "table", lambda study, every: table)
    assert centring.score_frame(ONE, "large").empty and centring.gain_frame(ONE, "large").empty
    ledger = claims.ledger(table, ONE, [claim for claim in claims.load() if claim.test == "centred"])
    assert ledger.verdict.iloc[0] == "undecided"


def test_a_study_without_retrieval_does_not_test_it_and_one_with_it_only_by_its_cells(monkeypatch):
    [claim] = [claim for claim in claims.load() if claim.test == "centred"]
    table = planted(np.random.default_rng(0), {})
    monkeypatch.setattr(records, "table", lambda study, every: table)
    without = ONE.model_copy(update={"targets": ["xnli", "udpos"]})
    assert claims.ledger(table, without, [claim]).verdict.iloc[0] == "not tested (retrieval not in this study)"
    monkeypatch.setattr(type(ONE.cells()[0]), "record", property(lambda cell: ROOT))  # as if each had one
    assert {name.split("-")[3] for name in claims.behind(claim, ONE, "large")} == {"tatoeba"}


def test_a_studys_swept_layers_have_a_gain_each(monkeypatch):
    told = ONE.model_copy(
        update={"recipes": ["none", "mnli"], "targets": ["tatoeba"], "seeds": [0, 1, 2], "retrieval": Retrieval(sweep=True)}
    )
    rng, gain = np.random.default_rng(0), {1: 0.0, 2: 10.0}

    def record(cell):
        scores = {
            code: SimpleNamespace(layers={n: 30 + rng.normal() + gain[n] * (cell.recipe == "mnli") for n in gain})
            for code in ("qab", "qac")
        }
        return SimpleNamespace(result=SimpleNamespace(scores=scores))

    pairs = [(cell, record(cell)) for cell in told.cells() if cell.phase == "target"]
    monkeypatch.setattr(records, "of_phase", lambda study, phase: pairs)
    shown = centring.layer_frame(told, "large").set_index("recipe")
    assert [*shown] == ["layer 1", "layer 2"] and [*shown.index] == ["none, its score", "mnli"]
    means = [float(shown.loc["mnli", f"layer {n}"].split("\u00a0")[0]) for n in gain]
    assert means == pytest.approx([0, 10], abs=2) and shown.loc["none, its score", "layer 1"].startswith(("29", "30"))
    for _, kept in pairs:
        for score in kept.result.scores.values():
            score.layers = None
    assert centring.layer_frame(told, "large").empty, "nothing was swept"
