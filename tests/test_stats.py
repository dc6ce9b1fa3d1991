import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from xtools.report import stats


def scores(values, backbone="b"):
    """Rows from {(recipe, target, seed): score}."""
    return pd.DataFrame([{"backbone": backbone, "recipe": r, "target": t, "seed": s, "score": v} for (r, t, s), v in values.items()])


def test_interval_is_scipys():
    values = [1.0, 2.5, 4.0, 3.0]
    mean, low, high = stats.interval(values)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((np.mean(values), expected.low, expected.high))


def test_one_value_has_no_interval_and_none_has_nothing():
    assert stats.interval([3.0])[0] == 3 and np.isnan(stats.interval([3.0])[1])
    assert np.isnan(stats.interval([])).all()
    assert stats.show(*stats.interval([])) == "–"


def test_gains_are_paired_by_seed():
    frame = scores({("none", "x", 0): 10, ("none", "x", 1): 50, ("mnli", "x", 0): 12, ("mnli", "x", 1): 52})
    gains = stats.gains(frame, ["backbone", "target"])
    assert gains.gain.tolist() == [2, 2]
    assert stats.interval(gains.gain) == (2, 2, 2)


def test_a_seed_without_its_baseline_is_left_out():
    frame = scores({("none", "x", 0): 10, ("mnli", "x", 0): 12, ("mnli", "x", 1): 52})
    assert stats.gains(frame, ["backbone", "target"]).seed.tolist() == [0]


def test_a_hole_is_never_averaged_over():
    frame = scores({("none", "x", 0): 10, ("none", "y", 0): 20, ("none", "x", 1): 10})
    assert stats.complete(frame, ["x", "y"]).to_dict("records") == [{"backbone": "b", "recipe": "none", "seed": 0, "score": 15}]


def test_task_score_and_gap_are_the_benchmarks():
    table = pd.DataFrame(
        [
            {"backbone": "b", "recipe": "none", "target": "x", "seed": 0, "split": split, "language": lang, "score": value}
            for split, lang, value in [("test", "en", 80), ("test", "de", 70), ("test", "sw", 50), ("dev", "en", 99)]
        ]
    )
    assert stats.task_scores(table).score.tolist() == [pytest.approx(200 / 3)]
    assert stats.gap(table, "en").gap.tolist() == [20]
    assert stats.gap(table, "fr").empty


def test_each_end_of_an_interval_of_90_percent_is_a_one_sided_bound_of_95():
    values = [1.0, 2.5, 4.0, 3.0]
    _, low, high = stats.interval(values, stats.ONE_SIDED)
    assert ttest_1samp(values, low, alternative="greater").pvalue == pytest.approx(0.05)
    assert ttest_1samp(values, high, alternative="less").pvalue == pytest.approx(0.05)


def test_languages_are_chosen_target_by_target():
    table = pd.DataFrame([{"target": t, "language": lang} for t in ("x", "y", "z") for lang in ("en", "de")])
    found = stats.in_languages(table, {"x": ["de"], "y": ["en", "de", "fr"]})
    assert list(zip(found.target, found.language, strict=True)) == [("x", "de"), ("y", "en"), ("y", "de")]
    assert list(stats.in_languages(table[:0], {"x": ["de"]}).columns) == ["target", "language"]


@pytest.mark.parametrize("sign", [False, True])
def test_nothing_is_shown_as_less_than_nothing(sign):
    assert "-0.0" not in stats.show(-1e-14, -0.04, -0.0, sign) and stats.show(-0.06, np.nan, np.nan, sign) == "-0.1"
