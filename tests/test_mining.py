"""Mining of translated pairs: each of its steps, and all of them together."""

import numpy as np
import pytest

from xtools import tasks
from xtools.tasks import mining


def test_mining_finds_planted_pairs_among_distractors_and_no_row_twice():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 16))
    y = np.concatenate([x[:30] + 0.05 * rng.normal(size=(30, 16)), rng.normal(size=(50, 16))])
    pairs = mining.mine(x, y)
    assert len({i for _, i, _ in pairs}) == len({j for _, _, j in pairs}) == len(pairs)
    assert {(i, j) for _, i, j in pairs[:30]} == {(i, i) for i in range(30)}
    assert [p[0] for p in pairs] == sorted((p[0] for p in pairs), reverse=True)


def test_the_best_threshold_is_the_best_of_all():
    rng = np.random.default_rng(2)
    scored = sorted(((float(s), bool(rng.random() < s)) for s in rng.random(50)), reverse=True)

    def f1(threshold):
        kept = [right for score, right in scored if score >= threshold]
        return 2 * sum(kept) / (len(kept) + 30)

    best = mining.best_threshold(scored, 30)
    assert f1(best) == max(f1(score) for score, _ in scored)
    assert mining.best_threshold([(1.0, False)], 3) == float("inf"), "nothing right: nothing is mined"


def test_repeated_sentences_are_one():
    rows = [{"id": "a", "text": "x"}, {"id": "b", "text": "y"}, {"id": "c", "text": "x"}]
    unique, alias = mining.unify(rows)
    assert [row["id"] for row in unique] == ["a", "b"] and alias == {"a": "a", "b": "b", "c": "a"}


def test_mining_tunes_on_held_out_queries_and_scores_the_others():
    task, rng = tasks.get("bucc2018"), np.random.default_rng(3)
    c = rng.normal(size=(80, 16))
    q = np.concatenate([c[:40] + 0.05 * rng.normal(size=(40, 16)), rng.normal(size=(40, 16))])
    queries = [{"id": f"f{i}", "text": f"f{i}", "gold": [f"e{i}"] if i < 40 else []} for i in range(80)]
    candidates = [{"id": f"e{i}", "text": f"e{i}"} for i in range(80)]
    found = mining.retrieve(task, queries, candidates, q, c, "de")
    assert found.scores["held_out"] == 16 and found.scores["n"] == 64 == len(found.rows)
    assert found.scores["f1"] > 95
    assert "f0" not in {row["id"] for row in found.rows}


def test_a_text_that_stands_twice_is_mined_once_with_the_gold_of_both():
    queries = [{"id": "f0", "text": "x", "gold": ["e1"]}, {"id": "f1", "text": "y", "gold": []}, {"id": "f2", "text": "x", "gold": ["e3"]}]
    candidates = [{"id": f"e{i}", "text": text} for i, text in enumerate(("a", "b", "c", "b"))]
    unique_queries, unique_candidates = mining.deduplicate(queries, candidates)
    assert unique_queries == [{"id": "f0", "text": "x", "gold": ["e1"]}, queries[1]], "e3 says what e1 says"
    assert [row["id"] for row in unique_candidates] == ["e0", "e1", "e2"]


def test_the_threshold_is_that_of_the_held_out_queries_and_cuts_the_others():
    pairs = [(1.5, "f0", "e0"), (1.4, "f1", "e9"), (1.3, "f5", "e5"), (1.1, "f10", "e9"), (1.0, "f2", "e2")]
    held_out = [{"id": "f0", "gold": ["e0"]}, {"id": "f5", "gold": ["e5"]}, {"id": "f10", "gold": []}]
    threshold = mining.tune(pairs, held_out)
    assert threshold == pytest.approx(1.2), "between the last right pair and the wrong one after it; f1 and f2 are not asked"
    assert mining.keep_above(pairs, threshold, [{"id": "f1"}, {"id": "f2"}, {"id": "f3"}]) == [["e9"], [], []]
