import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import cross_val_score

from xtools.problems import Problem
from xtools.sources import microworld, world

LABELLED = {"nli": 3, "continuation": 4, "causes": 2}


def lengths(a: str, b: str) -> list[float]:
    return [len(a.split()), len(b.split()), len(a), len(b), len(b.split()) - len(a.split())]


def overlap(a: str, b: str) -> list[float]:
    a, b = set(a.split()), set(b.split())
    return [len(a & b), len(b - a), len(a & b) / len(b)]


@pytest.mark.parametrize("cue", [lengths, overlap])
@pytest.mark.parametrize("maker", LABELLED)
def test_baselines_that_understand_nothing_stay_within_five_points_of_chance(maker, cue):
    rows = microworld.rows(maker, "train", world.SOURCE, 3000)
    pairs = [[(r["text_a"], r["text_b"])] if maker == "nli" else [(r["context"], c) for c in r["choices"]] for r in rows]
    x = np.array([np.concatenate([cue(a, b) for a, b in pair]) for pair in pairs])
    y = [r["label"] for r in rows]
    accuracy = cross_val_score(GradientBoostingClassifier(n_estimators=40, random_state=0), x, y, cv=3).mean()
    assert abs(100 * accuracy - 100 / LABELLED[maker]) < 5


def test_hypothesis_alone_says_nothing():
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = microworld.rows("nli", "train", world.SOURCE, 3000)
    x = CountVectorizer(token_pattern=r"\S+").fit_transform([r["text_b"] for r in rows])
    accuracy = cross_val_score(LogisticRegression(max_iter=500), x, [r["label"] for r in rows], cv=3).mean()
    assert abs(100 * accuracy - 100 / 3) < 5


@pytest.mark.parametrize("maker", LABELLED)
def test_labels_are_balanced_and_the_same_in_every_language(maker):
    labels = [[r["label"] for r in microworld.rows(maker, "test", code, 300)] for code in world.LANGUAGES]
    assert all(own == labels[0] for own in labels)
    assert max(np.bincount(labels[0]) / 300) < 1 / LABELLED[maker] + 0.1


@pytest.mark.parametrize("code", world.LANGUAGES)
def test_answers_stand_where_they_are_said_to(code):
    for row in microworld.rows("qa", "dev", code, 200):
        start, text = row["answers"]["answer_start"][0], row["answers"]["text"][0]
        assert row["context"][start : start + len(text)] == text
        assert row["question"].endswith("?")


@pytest.mark.parametrize("maker", ["pos", "ner"])
def test_a_tag_for_every_word(maker):
    for row in microworld.rows(maker, "dev", "qac", 100):
        assert len(row["words"]) == len(row["tags"]) > 0


def test_splits_do_not_share_examples():
    train = {r["context"] for r in microworld.rows("qa", "train", world.SOURCE, 1000)}
    test = {r["context"] for r in microworld.rows("qa", "xquad-test", world.SOURCE, 300)}
    assert not train & test


def test_pairs_are_translations_and_the_source_is_not_the_other_language():
    rows = microworld.rows("pairs", "test", "qae", 50)
    assert all(r["text"] != r["source_text"] for r in rows)
    assert [r["source_text"].count(".") for r in rows] == [r["text"].count(".") for r in rows] == [2] * 50


def test_unknown_language_is_refused():
    with pytest.raises(Problem, match="language xx"):
        microworld.rows("qa", "test", "xx", 1)
