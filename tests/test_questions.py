"""Each question's figures on planted tables, where the answer is known."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as some

from xtools import records, study
from xtools.report import costs, languages, questions, tables

POCKET = study.load("pocket").model_copy(update={"name": "planted"})  # of which this checkout holds no records


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
    frame = questions.regret_frame(POCKET, table)
    assert frame["regret"].tolist() == ["5.0\u00a0[5.0,\u00a05.0]"] * 2 and frame["chosen = best"].str.startswith("0%").all()


def test_choosing_by_the_intermediate_tasks_own_score_takes_one_recipe_for_all_targets(monkeypatch):
    rows = [(b, r, s, {"mnli": 0.9, "squad_v1": 0.4}[r]) for b in ("small", "large") for r in ("mnli", "squad_v1") for s in range(3)]
    own = pd.DataFrame(rows, columns=["backbone", "recipe", "seed", "dev"])
    monkeypatch.setattr(questions, "own_scores", lambda study: own)
    gain = {"none": 0, "mnli": 3, "squad_v1": 8, "all": 1}
    recipes = tuple(gain)
    table = planted(lambda b, r, t, lang, s: 50 + gain[r], dev=lambda b, r, t, s: gain[r], recipes=recipes)
    found = questions.choices(table, own)
    assert set(found.recipe) == {"mnli"} and np.allclose(found.chosen - found.none, 3) and np.allclose(found.best - found.none, 8)
    ways = questions.regret_frame(POCKET, table).set_index(["backbone", "chosen by"])["regret"]
    assert ways["large", "target's development score"].startswith("0.0") and ways["large", "intermediate task's own score"].startswith(
        "5.0"
    )


def test_english_scores_that_lead_right_cost_nothing():
    table = planted(
        lambda b, r, t, lang, s: {"none": 50, "mnli": 60, "all": 55}[r], dev=lambda b, r, t, s: {"none": 1, "mnli": 9, "all": 3}[r]
    )
    assert questions.regret_frame(POCKET, table)["chosen = best"].str.startswith("100%").all()


@pytest.fixture
def sizes(monkeypatch):
    """Two encoders, one ten times the other."""
    monkeypatch.setattr(costs, "encoder_sizes", lambda study: {"small": 100_000, "large": 1_000_000})


def test_the_gap_and_its_interaction_with_size_are_the_planted_ones(sizes):
    def score(backbone, recipe, target, language, seed):
        gap = {"none": 30, "mnli": 20, "all": 10 if backbone == "large" else 18}[recipe]
        return 80 + seed - (0 if language == "qaa" else gap)

    frame = questions.gap_frame(POCKET, planted(score)).set_index("backbone")
    assert list(frame.index) == ["small", "large", "change per tenfold size"]
    assert frame["single-task"]["large"].startswith("20.0") and frame["multi minus single"]["large"].startswith("-10.0")
    slopes = questions.gap_slopes(POCKET, planted(score))
    assert slopes["none"] == pytest.approx((0, 0, 0)) and slopes["multi minus single"] == pytest.approx((-8, -8, -8))


def test_one_size_has_no_slope(monkeypatch):
    monkeypatch.setattr(costs, "encoder_sizes", lambda study: {"small": 100_000, "large": 100_000})
    assert questions.gap_slopes(POCKET, planted(lambda *key: 50.0)) == {}


def test_each_benchmark_averages_its_own_targets():
    table = planted(lambda b, r, t, lang, s: 50 + s + (10 if r == "mnli" and t == "xcopa" else 0), targets=("xnli", "xcopa"))
    two = POCKET.model_copy(update={"targets": ["xnli", "xcopa"], "recipes": ["none", "mnli", "all"]})
    frame = questions.benchmark_gains(two, table).set_index("gain (points)")
    assert frame["xtreme"]["mnli, large"].startswith("+0.0"), "xcopa is not in XTREME"
    assert frame["xtreme_r"]["mnli, large"].startswith("+5.0")


def test_each_benchmark_averages_over_its_own_languages_where_the_study_has_them_all():
    both = study.load("both").model_copy(update={"targets": ["panx", "xquad"], "recipes": ["none", "mnli"]})
    rows, later = [], {"panx": "qu pl uk az lt pa gu ro".split(), "xquad": ["ro"]}  # that XTREME-R added
    for target in both.targets:
        for language in both.languages_of(target):
            for recipe, seed, backbone in itertools.product(both.recipes, range(3), both.backbones):
                score = 50 + seed + (60 if recipe == "mnli" and language in later[target] else 0)
                row = {"backbone": backbone, "recipe": recipe, "target": target, "seed": seed, "metric": "m", "split": "test", "n": 1}
                rows.append(row | {"language": language, "score": score})
    table = pd.DataFrame(rows)
    frame = questions.benchmark_gains(both, table).set_index("gain (points)")
    assert frame["xtreme"]["mnli, large"].startswith("+0.0"), "no language that XTREME lacks counts"
    assert frame["xtreme_r"]["mnli, large"].startswith("+7.5"), "60 points in 8 of 48 and in 1 of 12 languages: 10 and 5"
    assert (
        "2 of xtreme's 9 and 2 of xtreme_r's 10 targets, in 2 and 2 of them in the benchmark's own languages"
        in questions.benchmarks(both, table).limits
    )
    one = both.model_copy(update={"targets": ["panx"]})
    assert tables.benchmark_frame(one, table[table.target == "panx"], "large", "xtreme").empty, "half a group is none"
    fewer = both.model_copy(update={"languages": ["en", "de", "ro"]})
    shared = table[table.language.isin(["en", "de", "ro"])]
    assert questions.benchmark_gains(fewer, shared).set_index("gain (points)")["xtreme"]["mnli, large"].startswith("+20.0"), "its own three"
    assert "in 0 and 0 of them in the benchmark's own languages" in questions.benchmarks(fewer, shared).limits


def test_groups_of_a_benchmark_are_over_its_own_languages():
    both = study.load("both").model_copy(update={"targets": ["xquad", "mlqa", "tydiqa"], "recipes": ["none"]})
    rows = [{"backbone": "large", "recipe": "none", "target": t, "seed": s, "metric": "m", "split": "test", "n": 1, "language": lang,
             "score": 80.0 if lang == "ro" else 50.0} for t in both.targets for lang in both.languages_of(t) for s in range(3)]  # fmt: skip
    shown = {name: tables.benchmark_frame(both, pd.DataFrame(rows), "large", name) for name in ("xtreme", "xtreme_r")}
    assert shown["xtreme"]["question answering"].item().startswith("50.0")
    assert shown["xtreme_r"]["question answering"].item().startswith("50.8"), "(52.5 + 50 + 50) / 3"


def test_gains_against_the_amount_of_data_by_kind_of_language():
    recipes = ["none", "mnli@100", "mnli@1000", "mnli"]
    size = {"none": 0, "mnli@100": 1, "mnli@1000": 2, "mnli": 3}
    table = planted(lambda b, r, t, lang, s: 50 + s + size[r] * (2 if lang == "qag" else 1), recipes=recipes)
    found = questions.amount_gains(POCKET.model_copy(update={"recipes": recipes}), table)
    unseen = found[(found.kind == "unseen") & (found.backbone == "large")].sort_values("examples")
    assert unseen.examples.tolist() == [100, 1000, 2000] and np.allclose(unseen["mean"], [2, 4, 6])
    assert set(found.kind) == {"source", "high-resource", "low-resource", "unseen"}
    assert questions.amount_gains(POCKET, table[table.recipe.isin(["none", "mnli"])]).empty, "one amount is no curve"


@pytest.mark.parametrize(("language", "kind"), [("en", "source"), ("sw", "low-resource"), ("de", "high-resource"), ("yo", "unseen")])
def test_real_languages_are_sorted_by_their_pretraining_text(language, kind):
    assert languages.kind(study.load("xtreme_r"), language) == kind


def test_every_language_of_the_benchmarks_has_a_size():
    from xtools import benchmark

    known = languages.known()["gib"]
    assert {lang for tasks in benchmark.BENCHMARKS.values() for languages in tasks.values() for lang in languages} <= set(known)


def test_groups_of_a_benchmark_need_all_their_tasks():
    table = planted(lambda b, r, t, lang, s: 40 + s if t == "xnli" else 60 + s, targets=("xnli", "xcopa"))
    two = POCKET.model_copy(update={"targets": ["xnli", "xcopa"], "recipes": ["none", "mnli", "all"]})
    frame = tables.benchmark_frame(two, table, "large", "xtreme_r").set_index("recipe")
    assert frame["classification"]["none"].startswith("51.0") and frame["total"]["none"] == "–" and frame["retrieval"]["none"] == "–"
    assert tables.benchmark_frame(two, table, "large", "xtreme").empty


@given(some.lists(some.tuples(some.integers(1, 9), some.integers(0, 9)), min_size=1, max_size=12))
def test_the_frontier_is_what_nothing_beats_in_both(pairs):
    points = pd.DataFrame(pairs, columns=["latency", "mean"])
    kept = {(p.latency, p.mean) for p in costs.frontier(points).itertuples()}
    beaten = {(a, b) for a, b in pairs if any((c <= a and d >= b) and (c, d) != (a, b) for c, d in pairs)}
    assert kept == set(pairs) - beaten


@pytest.mark.parametrize(("order", "tau"), [((0, 1, 2), 1.0), ((2, 1, 0), -1.0)])
def test_rankings_of_the_benchmarks_agree_or_not(order, tau):
    level = dict(zip(("none", "mnli", "all"), order, strict=True))
    same = {"none": 0, "mnli": 1, "all": 2}
    table = planted(lambda b, r, t, lang, s: 10 * level[r] if t == "pawsx" else same[r], targets=("pawsx", "xcopa"))
    two = POCKET.model_copy(update={"targets": ["pawsx", "xcopa"], "recipes": ["none", "mnli", "all"]})
    assert questions.rank_agreement(two, table) == pytest.approx({"small": tau, "large": tau})


def test_a_recipe_that_takes_longer_to_score_is_seen(monkeypatch):
    slow = {"none": 1.0, "mnli": 1.5}

    def of_phase(loaded, phase):
        cells = [cell for cell in loaded.cells() if cell.phase == phase and cell.recipe in slow]
        return [(cell, SimpleNamespace(times={"scoring": slow[cell.recipe] * (1 + cell.seed)})) for cell in cells]

    monkeypatch.setattr(costs.records, "of_phase", of_phase)
    assert {b: found[:3] for b, found in costs.recipe_cost(POCKET).items()} == dict.fromkeys(
        ("small", "large"), pytest.approx((1.5, 1.5, 1.5))
    )


def test_the_examples_that_a_gain_needs_are_read_off_the_line():
    recipes = ["none", "mnli@100", "mnli@10000"]
    size = {"none": 0, "mnli@100": 0, "mnli@10000": 4}
    table = planted(lambda b, r, t, lang, s: 50 + s + size[r] * (lang != "qag"), recipes=recipes)
    found = questions.needed(POCKET.model_copy(update={"recipes": recipes}), table).set_index(["backbone", "languages"])
    assert (
        found["examples for +2 points"]["large", "source"] == "1,000"
        and found["fewest with a gain above zero"]["large", "source"] == "10,000"
    )
    assert found["examples for +2 points"]["large", "unseen"] == "more than 10,000"


def test_the_difference_of_two_encoders_by_kind_of_language():
    table = planted(lambda b, r, t, lang, s: 50 + s + (7 if b == "large" and lang == "qaf" else 0))
    found = questions.difference_by_kind(POCKET, table)
    assert found["low-resource"][0] == pytest.approx(7) and found["source"][0] == pytest.approx(0)


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize("question", questions.QUESTIONS)
@pytest.mark.parametrize("kept", [1.0, 0.6, 0.0])
def test_every_question_is_answered_or_said_to_be_open_whatever_is_missing(question, kept, sizes):
    table = planted(lambda b, r, t, lang, s: 50 + s, dev=lambda b, r, t, s: 50.0 + s)
    table = table.sample(frac=kept, random_state=1).sort_index()
    found = questions.QUESTIONS[question](POCKET, table)
    assert found.effect.endswith(".") and found.limits.endswith(".") and "nan" not in found.effect


def test_an_answer_tells_the_planted_effect(sizes):
    table = planted(lambda b, r, t, lang, s: 50 + s + (9 if b == "large" else 0), dev=lambda b, r, t, s: 50.0)
    assert "small to large is worth +9.0\u00a0[+9.0,\u00a0+9.0]" not in questions.benchmarks(POCKET, table).effect, (
        "three of six targets are there"
    )
    three = POCKET.model_copy(update={"targets": ["xnli", "udpos", "tatoeba"], "recipes": ["none", "mnli", "all"]})
    assert "small to large is worth +9.0\u00a0[+9.0,\u00a0+9.0]" in questions.benchmarks(three, table).effect
    assert "Kendall" in questions.benchmarks(three, table).effect


def test_pictures_are_spoken_of_where_an_encoder_learnt_from_them(monkeypatch):
    assert questions.pictures_differ(study.load("amounts")) and not questions.pictures_differ(POCKET)
    towers, kinds = study.load("towers"), {"xlmr-base": "xlm-roberta", "siglip2": "siglip2_text_model"}
    cells = [cell for cell in towers.cells() if cell.phase == "backbone" and cell.backbone in kinds]
    record = lambda cell: SimpleNamespace(result=SimpleNamespace(architecture=kinds[cell.backbone]))  # noqa: E731
    monkeypatch.setattr(records, "of_phase", lambda *_: [(cell, record(cell)) for cell in cells])
    assert questions.pictures_differ(towers), "an encoder's own kind tells, where its record has it"
    kinds["siglip2"] = "bert"
    assert not questions.pictures_differ(towers)
