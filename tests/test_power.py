import numpy as np
import pandas as pd
import pytest

from xtools import study
from xtools.report import blocks, power, tables

POCKET = study.load("pocket").model_copy(update={"name": "planted", "targets": ["xnli", "tatoeba"]})


def planted(noise, seeds=6, recipes=POCKET.recipes):
    rng = np.random.default_rng(0)
    rows = [{"backbone": b, "recipe": r, "target": t, "seed": s, "metric": "m", "split": "test", "language": "qab", "n": 1, "score": 50 + noise * rng.normal()}
            for b in POCKET.backbones for r in recipes for t in POCKET.targets for s in range(seeds)]  # fmt: skip
    return pd.DataFrame(rows)


def test_what_is_detectable_is_the_designs_factor_times_the_noise():
    found = power.noise(POCKET, planted(2.0)).set_index(["backbone", "target"]).noise
    assert (
        found["large", "xnli"] == pytest.approx(2, rel=0.5)
        and found["large", "average"] < found["large", "xnli"] + found["large", "tatoeba"]
    )
    shown = power.frame(POCKET, planted(2.0)).set_index(["backbone", "target"])
    assert shown["gain found with 80% power"]["large", "xnli"] == round(blocks.detectable(6, 3) * found["large", "xnli"], 1)


@pytest.mark.parametrize(("noise", "unable"), [(0.3, False), (5.0, True)])
def test_a_study_that_cannot_find_three_points_says_so_first(noise, unable):
    told = tables.headline(POCKET, planted(noise))
    assert told.startswith("This study cannot find an average gain of 3 points: it takes ") == unable
    assert ("cannot" in power.first_words(POCKET, planted(noise))) == unable


def test_a_plan_without_records_counts_in_standard_deviations(monkeypatch):
    monkeypatch.setattr(power.records, "table", lambda study: planted(1.0)[:0])
    assert power.plan_lines(POCKET) == [
        "power: 6 seeds and 3 recipes find a gain of 2.1 standard deviations of a run (80%); no records yet to say how many points that is"
    ]
    monkeypatch.setattr(power.records, "table", lambda study: planted(5.0))
    lines = power.plan_lines(POCKET)
    assert lines[0].startswith("power: This study cannot") and lines[2].startswith("  small, as its records vary, in points: xnli ")


def test_one_seed_or_one_recipe_finds_nothing():
    one = POCKET.model_copy(update={"seeds": [0]})
    assert power.frame(one, planted(1.0, seeds=1)).empty and "One seed" in power.first_words(one, planted(1.0, seeds=1))
    alone = POCKET.model_copy(update={"recipes": ["none"]})
    assert power.first_words(alone, planted(1.0, recipes=["none"])) == "" and power.plan_lines(alone) == []
