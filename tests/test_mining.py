"""Mining of translated pairs: each of its steps, and all of them together."""

import numpy as np
import pytest

from xtools import tasks
from xtools.tasks import mining, search


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


def plainly_mined(x: np.ndarray, y: np.ndarray) -> list[tuple[float, int, int]]:
    """Mining by all cosines, one proposal after the other; of equals the first."""
    x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
    cosines = x @ y.T
    near_x = [sorted(range(len(y)), key=lambda j: -row[j])[: mining.NEIGHBOURS] for row in cosines]
    near_y = [sorted(range(len(x)), key=lambda i: -row[i])[: mining.NEIGHBOURS] for row in cosines.T]
    mean_x = [np.mean([cosines[i, j] for j in near]) for i, near in enumerate(near_x)]
    mean_y = [np.mean([cosines[i, j] for i in near]) for j, near in enumerate(near_y)]
    margin = 2 * cosines / (np.array(mean_x)[:, None] + np.array(mean_y))
    proposals = [(margin[i, j], i, j) for i, near in enumerate(near_x) for j in [max(near, key=lambda j: margin[i, j])]]
    proposals += [(margin[i, j], i, j) for j, near in enumerate(near_y) for i in [max(near, key=lambda i: margin[i, j])]]
    pairs: list[tuple[float, int, int]] = []
    for pair in sorted(proposals, key=lambda proposal: -proposal[0]):
        if not any(pair[1] == i or pair[2] == j for _, i, j in pairs):
            pairs.append(pair)
    return pairs


@pytest.mark.parametrize("tile", [(1, 1), (7, 3), (100, 100)])
def test_mining_in_tiles_is_plain_mining_also_where_vectors_repeat_and_margins_are_equal(tile, monkeypatch):
    rng = np.random.default_rng(4)
    x, y = (np.stack([rng.permutation([1] * 4 + [0] * 8) for _ in range(n)]).astype(np.float64) for n in (60, 45))
    y[:5] = x[10:15] = x[:5]
    monkeypatch.setattr(search, "SMALL", 0)
    monkeypatch.setattr(search, "TILES", {"cpu": tile})
    found, wanted = mining.mine(x, y), plainly_mined(x, y)
    assert [(i, j) for _, i, j in found] == [(i, j) for _, i, j in wanted]
    assert len({margin for margin, _, _ in found}) < len(found), "some margins are equal"
    assert [margin for margin, _, _ in found] == pytest.approx([margin for margin, _, _ in wanted], rel=1e-6)


def test_half_precision_and_tiles_leave_the_score_also_of_vectors_that_all_point_one_way(monkeypatch):
    task, rng = tasks.get("bucc2018"), np.random.default_rng(5)
    c = rng.normal(size=(900, 48)).astype(np.float32)
    q = np.concatenate([c[:300] + 1.1 * rng.normal(size=(300, 48)), rng.normal(size=(500, 48))]).astype(np.float32)
    queries = [{"id": f"f{i}", "text": f"f{i}", "gold": [f"e{i}"] if i < 300 else []} for i in rng.permutation(800)]
    q = q[[int(row["id"][1:]) for row in queries]]
    q[:, 0] = c[:, 0] = 40  # as an encoder's outlying dimension does: cosines are 0.97 on average
    candidates = [{"id": f"e{i}", "text": f"e{i}"} for i in range(900)]
    exact = mining.retrieve(task, queries, candidates, q, c, "de").scores["f1"]
    monkeypatch.setattr(search, "SMALL", 0)
    halves = [(v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float16) for v in (q, c)]
    assert 50 < exact < 99, "there is something to lose"
    assert mining.retrieve(task, queries, candidates, *halves, "de").scores["f1"] == pytest.approx(exact, abs=0.5)
