"""Each question's figures on planted tables, where the answer is known."""

import numpy as np
import pandas as pd
import pytest

from xtools import questions, report, study

POCKET = study.load("pocket")


def planted(score, dev=None, recipes=("none", "mnli", "all"), targets=("xnli", "udpos", "tatoeba"), backbones=("small", "large")):
    """A tidy table from `score(backbone, recipe, target, language, seed)` and, for targets that have one, `dev` likewise."""
    rows = []
    for backbone in backbones:
        for recipe in recipes:
            for target in targets:
                for seed in range(3):
                    common = {"backbone": backbone, "recipe": recipe, "target": target, "seed": seed, "metric": "m", "n": 1}
                    for language in ("qaa", "qab", "qaf", "qag"):
                        value = score(backbone, recipe, target, language, seed)
                        rows.append(common | {"split": "test", "language": language, "score": value})
                    if dev and target != "tatoeba":
                        rows.append(common | {"split": "dev", "language": "qaa", "score": dev(backbone, recipe, target, seed)})
    return pd.DataFrame(rows)


def test_english_scores_that_mislead_cost_exactly_the_difference():
    best = {"none": 50, "mnli": 60, "all": 55}
    table = planted(lambda b, r, t, lang, s: best[r] + s, dev=lambda b, r, t, s: {"none": 1, "mnli": 2, "all": 3}[r])
    found = questions.choices(table)
    assert set(found.target) == {"xnli", "udpos"}, "tatoeba has no development score to choose by"
    assert set(found.recipe) == {"all"} and np.allclose(found.best - found.chosen, 5) and np.allclose(found.chosen - found.none, 5)
    frame = questions.regret_frame(table)
    assert frame["regret"].tolist() == ["5.0\u00a0[5.0,\u00a05.0]"] * 2 and frame["chosen = best"].str.startswith("0%").all()


def test_english_scores_that_lead_right_cost_nothing():
    table = planted(
        lambda b, r, t, lang, s: {"none": 50, "mnli": 60, "all": 55}[r], dev=lambda b, r, t, s: {"none": 1, "mnli": 9, "all": 3}[r]
    )
    assert questions.regret_frame(table)["chosen = best"].str.startswith("100%").all()


def test_the_gap_and_its_interaction_with_size_are_the_planted_ones():
    def score(backbone, recipe, target, language, seed):
        gap = {"none": 30, "mnli": 20, "all": 10 if backbone == "large" else 18}[recipe]
        return 80 + seed - (0 if language == "qaa" else gap)

    frame = questions.gap_frame(POCKET, planted(score)).set_index("backbone")
    assert frame["single-task"]["large"].startswith("20.0") and frame["multi minus single"]["large"].startswith("-10.0")
    assert questions.size_interaction(POCKET, planted(score))[0] == pytest.approx(-8)


def test_each_benchmark_averages_its_own_targets():
    table = planted(lambda b, r, t, lang, s: 50 + s + (10 if r == "mnli" and t == "xcopa" else 0), targets=("xnli", "xcopa"))
    two = POCKET.model_copy(update={"targets": ["xnli", "xcopa"], "recipes": ["none", "mnli", "all"]})
    frame = questions.benchmark_gains(two, table).set_index("gain (points)")
    assert frame["xtreme"]["mnli, large"].startswith("+0.0"), "xcopa is not in XTREME"
    assert frame["xtreme_r"]["mnli, large"].startswith("+5.0")


def test_gains_against_the_amount_of_data_by_kind_of_language():
    recipes = ["none", "mnli@100", "mnli@1000", "mnli"]
    size = {"none": 0, "mnli@100": 1, "mnli@1000": 2, "mnli": 3}
    table = planted(lambda b, r, t, lang, s: 50 + s + size[r] * (2 if lang == "qag" else 1), recipes=recipes)
    found = questions.amounts(POCKET.model_copy(update={"recipes": recipes}), table)
    unseen = found[(found.kind == "unseen") & (found.backbone == "large")].sort_values("examples")
    assert unseen.examples.tolist() == [100, 1000, 6000] and np.allclose(unseen["mean"], [2, 4, 6])
    assert set(found.kind) == {"source", "high-resource", "low-resource", "unseen"}
    assert questions.amounts(POCKET, table[table.recipe.isin(["none", "mnli"])]).empty, "one amount is no curve"


@pytest.mark.parametrize(("language", "kind"), [("en", "source"), ("sw", "low-resource"), ("de", "high-resource"), ("yo", "unseen")])
def test_real_languages_are_sorted_by_their_pretraining_text(language, kind):
    assert questions.language_kind(study.load("xtreme_r"), language) == kind


def test_every_language_of_the_benchmarks_has_a_size():
    from xtools import benchmark

    known = questions._pretraining_text()["gib"]
    assert {lang for tasks in benchmark.BENCHMARKS.values() for languages in tasks.values() for lang in languages} <= set(known)


def test_groups_of_a_benchmark_need_all_their_tasks():
    table = planted(lambda b, r, t, lang, s: 40 + s if t == "xnli" else 60 + s, targets=("xnli", "xcopa"))
    two = POCKET.model_copy(update={"targets": ["xnli", "xcopa"], "recipes": ["none", "mnli", "all"]})
    frame = report.benchmark_frame(two, table, "large", "xtreme_r").set_index("recipe")
    assert frame["classification"]["none"].startswith("51.0") and frame["total"]["none"] == "–" and frame["retrieval"]["none"] == "–"
    assert report.benchmark_frame(two, table, "large", "xtreme").empty
