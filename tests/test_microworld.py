import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.model_selection import cross_val_score

from xtools import sources, tasks
from xtools.problems import Problem
from xtools.sources import Source, microworld, world, world_examples, world_retrieval

LABELLED = {
    "nli": 3, "nli_plus": 3, "duplicates": 2, "paraphrases": 2, "continuation": 4, "causes": 2, "social": 3, "usual_place": 4, "usual_object": 5,
}  # fmt: skip


def lengths(a: str, b: str) -> list[float]:
    return [len(a.split()), len(b.split()), len(a), len(b), len(b.split()) - len(a.split())]


def overlap(a: str, b: str) -> list[float]:
    a, b = set(a.split()), set(b.split())
    return [len(a & b), len(b - a), len(a & b) / len(b)]


@pytest.mark.parametrize("cue", [lengths, overlap])
@pytest.mark.parametrize("maker", LABELLED)
def test_baselines_that_understand_nothing_stay_within_five_points_of_chance(maker, cue):
    rows = microworld.rows(maker, "train", world.SOURCE, 3000)
    pairs = [[(r["text_a"], r["text_b"])] if "text_a" in r else [(r["context"], c) for c in r["choices"]] for r in rows]
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


@pytest.mark.parametrize("maker", ["qa", "qa_long", "qa_sparse", "qa_unanswerable"])
@pytest.mark.parametrize("code", world.LANGUAGES)
def test_answers_stand_where_they_are_said_to(code, maker):
    for row in microworld.rows(maker, "dev", code, 100):
        assert row["question"].endswith("?")
        for start, text in zip(row["answers"]["answer_start"], row["answers"]["text"], strict=True):
            assert text and row["context"][start : start + len(text)] == text


def test_a_third_of_squad_v2_has_no_answer():
    rows = microworld.rows("qa_unanswerable", "train", world.SOURCE, 600)
    assert 0.27 < sum(not r["answers"]["text"] for r in rows) / 600 < 0.4
    assert all(r["answers"]["text"] for r in microworld.rows("qa", "train", world.SOURCE, 100))


def test_sparse_questions_say_less_than_full_ones():
    said = {m: np.mean([len(r["question"].split()) for r in microworld.rows(m, "train", world.SOURCE, 300)]) for m in ("qa", "qa_sparse")}
    assert said["qa_sparse"] < said["qa"] - 1


def test_several_hundred_supertags_occur_and_all_are_named():
    rows = microworld.rows("supertags", "train", world.SOURCE, 3000)
    seen = {tag for row in rows for tag in row["tags"]}
    assert 200 < len(seen) < 1000
    assert seen <= set(world_examples.supertag_names())
    words = {}
    for row in rows:
        for word, tag in zip(row["words"], row["tags"], strict=True):
            words.setdefault(word, set()).add(tag)
    assert np.mean([len(tags) > 1 for tags in words.values()]) > 0.9, "a word alone does not give its supertag"


@pytest.mark.parametrize("maker", ["pos", "ner"])
def test_a_tag_for_every_word(maker):
    for row in microworld.rows(maker, "dev", "qac", 100):
        assert len(row["words"]) == len(row["tags"]) > 0


def test_splits_do_not_share_examples():
    train = {r["context"] for r in microworld.rows("qa", "train", world.SOURCE, 1000)}
    test = {r["context"] for r in microworld.rows("qa", "xquad-test", world.SOURCE, 300)}
    assert not train & test


# ---------------------------------------------------------------- retrieval


def test_queries_and_candidates_of_pairs_say_the_same_in_two_languages():
    queries, candidates = (microworld.rows("pairs", f"tatoeba-{side}", "qae", 50) for side in ("test", "candidates"))
    assert all(q["text"] != c["text"] for q, c in zip(queries, candidates, strict=True))
    assert [q["text"].count(".") for q in queries] == [c["text"].count(".") for c in candidates] == [2] * 50
    digits = [[sorted(w for w in row["text"].split() if w.isdigit()) for row in rows] for rows in (queries, candidates)]
    assert digits[0] == digits[1], "numbers are the same in all languages"
    assert [q["id"] for q in queries] == [c["id"] for c in candidates]


def test_half_of_what_is_mined_are_distractors():
    queries, candidates = (microworld.rows("mining", f"bucc2018-{side}", "qab", 200) for side in ("test", "candidates"))
    paired = [q for q in queries if "gold" not in q]
    assert 70 < len(paired) < 130
    digits = {c["id"]: sorted(w for w in c["text"].split() if w.isdigit()) for c in candidates}
    assert all(sorted(w for w in q["text"].split() if w.isdigit()) == digits[q["id"]] for q in paired)
    others = [sorted(w for w in q["text"].split() if w.isdigit()) == digits[q["id"]] for q in queries if q.get("gold") == []]
    assert np.mean(others) < 0.7, "a distractor has a story of its own (many have no number at all)"


def test_every_question_has_one_right_sentence_a_language():
    source, task = Source("microworld"), tasks.get("lareqa")
    queries, candidates = sources.retrieval(source, task, ["qaa", "qab", "qae"], 40)
    pool = {c["id"]: c["text"] for c in candidates["qab"]}
    assert len(pool) == 3 * 3 * 40
    assert all(sorted(g[:3] for g in q["gold"]) == ["qaa", "qab", "qae"] for q in queries["qab"])


def test_names_are_shared_by_two_entities_and_every_mention_has_its_own():
    source, task = Source("microworld"), tasks.get("mewslix")
    queries, candidates = sources.retrieval(source, task, ["qaa", "qac"], 60)
    pool = {c["id"]: c["text"] for c in candidates["qaa"]}
    assert len(pool) == len(candidates["qaa"]) == world_retrieval.N_ENTITIES, "each entity once, however many languages"
    assert all(q["gold"][0] in pool and "{ " in q["text"] for q in queries["qac"])
    assert [q["gold"] for q in queries["qaa"]] == [q["gold"] for q in queries["qac"]], "the same facts in every language"


# ---------------------------------------------------------------- translation


@pytest.mark.parametrize("maker", world_examples.MAKERS)
def test_translations_keep_their_labels_and_change_the_share_of_words_that_is_asked(maker):
    exact, noisy = microworld.rows(maker, "train", "qab", 60), microworld.translated(maker, "qab", 60, 0.2)
    assert microworld.translated(maker, "qab", 60, 0.0) == exact
    same = []
    for a, b in zip(exact, noisy, strict=True):
        assert a.get("label") == b.get("label") and a.get("tags") == b.get("tags")
        key = next(k for k in ("text_a", "question", "choices", "words") if k in a)
        words = [" ".join(x[key]).split() if isinstance(x[key], list) else x[key].split() for x in (a, b)]
        same += [p == q for p, q in zip(*words, strict=True) if p.isalpha()]
        for start, text in zip(b.get("answers", {}).get("answer_start", []), b.get("answers", {}).get("text", []), strict=True):
            assert b["context"][start : start + len(text)] == text
    assert 0.7 < np.mean(same) < 0.9


def test_unknown_language_is_refused():
    with pytest.raises(Problem, match="language xx"):
        microworld.rows("qa", "test", "xx", 1)
