import numpy as np
import pandas as pd
import pytest

from xtools import records, study
from xtools.report import items, tables

POCKET = study.load("pocket").model_copy(update={"name": "planted"})
FULL = study.load("pocket_full")  # whose seeds pretrain too


def test_blocks_of_items_average_to_the_score():
    rng = np.random.default_rng(0)
    rows = {str(i): {"id": str(i), "label": int(rng.integers(3))} for i in range(100)}
    pairs = [[i, int(rng.integers(3))] for i in rows]
    found = items.block_scores("xnli", "qab", pairs, rows)
    assert len(found) == 20 and np.mean(found) == pytest.approx(np.mean([100 * (p == rows[i]["label"]) for i, p in pairs]))
    assert len(items.block_scores("xnli", "qab", pairs[:7], rows)) == 7


def test_cells_are_scored_again_from_predictions_and_rows(own_micro, monkeypatch):
    monkeypatch.setattr(study, "ROOT", own_micro.folder)
    micro = study.load("smoke").model_copy(
        update={"name": "micro", "seeds": [0], "recipes": ["none", "mnli"], "targets": ["xnli", "udpos", "tatoeba"]}
    )
    found = items.load(micro)
    table = records.table(micro)
    assert not found.lacking and len(found.scores) == 6 == len(items.load(micro).scores)
    test = table[(table.split == "test") & (table.target != "udpos")]  # the mean of blocks' F1 is not the whole's
    for row in test.itertuples():
        own = found.scores[f"target-{row.backbone}-{row.recipe}-{row.target}-s{row.seed}"][row.language]
        sizes = np.diff(np.linspace(0, row.n, len(own) + 1).astype(int))
        assert np.average(own, weights=sizes) == pytest.approx(row.score)
    for path in (own_micro.folder / "runs/micro/target").glob("*xnli*/predictions.json"):
        path.unlink()
    (own_micro.folder / "runs/micro/items.json").unlink()
    assert items.load(micro).lacking == ["xnli"], "what is not at hand is named"


def test_languages_of_one_target_vary_as_their_mean_does():
    values = pd.DataFrame({"target": "x", "language": list("abcd"), "value": [1.0, 4.0, 2.0, 7.0]})
    part = items.of_languages(values)
    assert part.variance == pytest.approx(values.value.var() / 4) and part.df == 3
    both = pd.concat([values, values.assign(target="y")])
    assert items.of_languages(both).variance == pytest.approx(values.value.var() / 4), "the same languages: a second target adds nothing"
    assert items.of_languages(values[:1]).variance == 0


def test_an_interval_over_seeds_languages_and_items_covers_what_varies_over_all_three():
    """Gains made of an effect of each seed, language and block: the truth is zero, and 95% of the intervals hold it, or more."""
    rng, inside, narrow = np.random.default_rng(1), 0, 0
    for _ in range(500):
        parts = rng.normal(size=(4, 1, 1)), rng.normal(size=(1, 7, 1)), rng.normal(size=(1, 1, 20))
        gains = sum(parts) + rng.normal(size=(4, 7, 20))
        values = pd.DataFrame({"target": "x", "language": list("abcdefg"), "value": gains.mean((0, 2))})
        seeds = items.Part(gains.mean((1, 2)).var(ddof=1) / 4, 3)
        made = items.interval(gains.mean(), [seeds, items.of_languages(values), items.of_items({"x": gains.mean((0, 1))})], "all")
        alone = items.interval(gains.mean(), [seeds], "seeds")
        inside += made.low <= 0 <= made.high
        narrow += alone.low <= 0 <= alone.high
    assert 460 <= inside <= 495 and narrow < inside


def hub(recipes=("none", "mnli")):
    """XTREME's study with fixed encoders, and scores on Tatoeba that no seed changes after `none`."""
    loaded = study.load("xtreme").model_copy(update={"recipes": list(recipes), "targets": ["tatoeba"]})
    languages = {"de": 90.0, "sw": 40.0, "hi": 70.0}
    row = {"backbone": "large", "target": "tatoeba", "metric": "accuracy", "split": "test", "n": 1000}
    rows = [
        row | {"recipe": r, "seed": s, "language": lang, "score": v + (r == "mnli") * (10 + s)}
        for r in recipes
        for s in loaded.seeds
        for lang, v in languages.items()
    ]
    return loaded, pd.DataFrame(rows)


def test_retrieval_without_training_has_an_interval_over_languages_in_place_of_one_of_no_width():
    loaded, table = hub()
    assert not items.has_seeds(loaded, "large", "none", "tatoeba") and items.has_seeds(FULL, "large", "none", "tatoeba")
    shown = tables.score_frame(loaded, table, "large").set_index("recipe").tatoeba
    wide = items.Wide(loaded, table, "large").score("none", "tatoeba")
    assert shown["none"].endswith("†") and wide.low < 40 < 90 < wide.high and "not items" in wide.how
    assert not shown["mnli"].endswith("†")
    assert "fine-tuning alone" in items.covers(loaded) and "pretraining and fine-tuning" in items.covers(FULL)


def test_gains_over_more_than_seeds_are_wider():
    loaded, table = hub()
    table.loc[(table.recipe == "mnli") & (table.language == "sw"), "score"] += 30
    found = items.Wide(loaded, table, "large").gain("mnli", ["tatoeba"])
    seeds = tables.gain_frame(loaded, table, "large").tatoeba.item()
    assert found.mean == pytest.approx(float(seeds.split()[0].split("\u00a0")[0])) and found.high - found.low > 20
    assert items.frame(loaded, table, "large", items.Items()).recipe.tolist() == ["mnli"]
