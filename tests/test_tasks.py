"""Every format on rows of the microworld and on rows that hypothesis makes up: nothing is lost between rows and features."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from xtools import batching, benchmark, finetuning, scoring, sources, tasks
from xtools.problems import Problem
from xtools.sources import Source
from xtools.tasks import choice, classification, retrieval, search, span, tagging

WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12), min_size=1, max_size=60)
WORLD = Source("microworld")
relaxed = hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_registry_is_consistent():
    known = tasks.registry()
    nine = {"anli_plus", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmos_qa", "commonsense_qa"}
    assert nine <= {name for name, task in known.items() if not task.is_target}
    assert {*benchmark.XTREME, *benchmark.XTREME_R} <= {name for name, task in known.items() if task.is_target}
    for task in known.values():
        assert not task.is_target or task.languages
        assert all("/" in part.repo for part in task.all_parts() if not part.licensed), "bare Hub ids are dead"
        for language in task.languages:
            assert task.parts("test", language), f"{task.name} has no test split in {language}"


def test_unknown_task_names_the_nearest():
    with pytest.raises(Problem, match="did you mean xnli"):
        tasks.get("xnl")


@pytest.mark.parametrize("name", [n for n, t in tasks.registry().items() if not t.is_searched])
def test_every_trained_task_learns_its_training_examples(name, tiny, settings):
    task = sources.complete(WORLD, tasks.get(name))
    rows = sources.rows(WORLD, task, "train", "qaa", 24)
    longer, features = settings.model_copy(update={"epochs": 40, "learning_rate": 3e-3}), scoring.encoded(tiny, task, rows, 64)
    heads, curve = finetuning.fine_tune(tiny, {name: (task, features)}, longer, 0)
    scores, predictions = scoring.evaluate(tiny, heads[name], task, rows, 64, "qaa")
    assert len(predictions) == len(rows) == scores["n"]
    assert scores[task.metric] > max(60, task.chance + 25), curve["loss"]


@pytest.mark.parametrize("name", [n for n, t in tasks.registry().items() if not t.is_searched])
def test_predictions_do_not_depend_on_the_batch(name, tiny):
    torch.manual_seed(0)
    task = sources.complete(WORLD, tasks.get(name))
    rows = sources.rows(WORLD, task, "dev", "qac", 30)
    head = finetuning.new_head(tiny, task)
    together, _ = scoring.predict(tiny, head, task, rows, 64)
    assert together == [scoring.predict(tiny, head, task, [row], 64)[0][0] for row in rows]


# ---------------------------------------------------------------- spans


@relaxed
@given(words=WORDS, data=st.data())
def test_every_answer_is_reachable_in_some_window(tokenizer, words, data):
    context = " ".join(words)
    first = data.draw(st.integers(0, len(words) - 1))
    answer = " ".join(words[first : data.draw(st.integers(first + 1, min(len(words), first + 3)))]).strip()
    if not answer or tokenizer.tokenize(answer).count("<unk>") == len(tokenizer.tokenize(answer)):
        return
    start = context.index(answer)
    row = {"id": "0", "question": "what ?", "context": context, "answers": {"text": [answer], "answer_start": [start]}}
    features = span.encode([row], tokenizer, tasks.get("xquad"), 48)
    assert all(len(f["ids"][0]) <= 48 for f in features)
    if len(tokenizer(answer, add_special_tokens=False)["input_ids"]) > 8:
        return  # longer than the overlap: the window that holds it may not exist
    held = [f for f in features if f["start"] or f["end"]]
    assert held
    for feature in held:
        text = context[feature["offsets"][feature["start"]][0] : feature["offsets"][feature["end"]][1]]
        assert answer in text


def test_windows_cover_the_whole_context(tokenizer):
    row = sources.rows(WORLD, tasks.get("xquad"), "test", "qac", 1)[0]
    row = row | {"context": " ".join([row["context"]] * 6), "answers": {"text": [], "answer_start": []}}
    covered = {c for f in span.encode([row], tokenizer, tasks.get("xquad"), 48) for o in f["offsets"] for c in range(*o)}
    assert {i for i, c in enumerate(row["context"]) if c != " "} <= covered


def test_best_span_stays_in_the_context_and_in_order(tokenizer):
    rows = sources.rows(WORLD, tasks.get("xquad"), "test", "qaa", 4)
    features = span.encode(rows, tokenizer, tasks.get("xquad"), 64)
    width = batching.pad([f["ids"][0] for f in features], 1).shape[1]
    logits = torch.randn(len(features), width, 2)
    for feature, (_, start, end, _) in zip(features, span.decode(logits, {"features": features}, tasks.get("xquad")), strict=True):
        assert span.OUTSIDE not in (feature["offsets"][start], feature["offsets"][end])
        assert start <= end < start + span.MAX_ANSWER


@pytest.mark.parametrize(
    ("prediction", "gold", "f1", "exact"),
    [("The Cat!", ["cat"], 100, 100), ("black cat", ["cat"], 200 / 3, 0), ("dog", ["cat"], 0, 0), ("a cat", ["dog", "cat"], 100, 100)],
)
def test_squad_scores(prediction, gold, f1, exact):
    rows = [{"id": "0", "answers": {"text": gold, "answer_start": [0] * len(gold)}}]
    scores = span.score([prediction], rows, tasks.get("xquad"), "en")
    assert scores["f1"] == pytest.approx(f1)
    assert scores["exact"] == exact
    assert scores["f1_exact"] == pytest.approx((f1 + exact) / 2)


# ---------------------------------------------------------------- tagging


@relaxed
@given(words=WORDS, data=st.data())
def test_no_tag_is_lost_when_long_sentences_are_split(tokenizer, words, data):
    tags = data.draw(st.lists(st.sampled_from(tagging.UPOS), min_size=len(words), max_size=len(words)))
    rows = [{"id": "0", "words": words, "tags": tags}]
    features = tagging.encode(rows, tokenizer, tasks.get("udpos"), 24)
    assert all(len(f["ids"][0]) == len(f["targets"]) <= 24 for f in features)
    seen = [[t for t in f["targets"] if t != tagging.IGNORE] for f in features]
    whole = tagging.assemble(features, seen, rows)
    assert [tagging.UPOS[t] for t in tagging.joined(whole[0])] == tags


def test_seqeval_counts_entities_not_tokens():
    task = tasks.get("panx")
    rows = [{"id": "0", "words": ["a", "b", "c"], "tags": ["B-PER", "I-PER", "O"]}]
    ids = {label: i for i, label in enumerate(task.labels)}
    half = tagging.score([[[ids["B-PER"], ids["O"], ids["O"]]]], rows, task, "en")
    assert half["f1"] == 0 and half["accuracy"] == pytest.approx(200 / 3)


def test_part_of_speech_f1_merges_runs_as_the_benchmark_does():
    task = tasks.get("udpos")
    noun, verb = task.labels.index("NOUN"), task.labels.index("VERB")
    rows = [{"id": "0", "words": ["a", "b", "c"], "tags": ["NOUN", "NOUN", "VERB"]}]
    scores = tagging.score([[[noun, verb, verb]]], rows, task, "en")
    assert scores["accuracy"] == pytest.approx(200 / 3)
    assert scores["f1"] == 0, "both runs have wrong borders"


# ---------------------------------------------------------------- classification, choice, retrieval


def test_long_pairs_are_cut_and_said_to_be(tokenizer):
    rows = [{"id": "0", "text_a": "1 " * 100, "text_b": "2 3", "label": 0}, {"id": "1", "text_a": "1", "text_b": "2", "label": 0}]
    features = classification.encode(rows, tokenizer, tasks.get("xnli"), 32)
    assert [f["cut"] for f in features] == [True, False]
    assert len(features[0]["ids"][0]) == 32


def test_a_long_context_keeps_its_end_and_every_choice(tokenizer):
    row = {"id": "0", "context": "1 " * 100 + "9", "choices": ["2 3", "4"], "label": 1}
    feature = choice.encode([row], tokenizer, tasks.get("xcopa"), 32)[0]
    nine = tokenizer("9", add_special_tokens=False)["input_ids"]
    assert feature["cut"] and all(len(ids) <= 32 for ids in feature["ids"])
    assert all(nine[-1] in ids for ids in feature["ids"])
    assert tokenizer.truncation_side == "right"


def test_a_sentence_split_in_two_is_scored_as_two_sequences():
    task = tasks.get("panx")
    rows = [{"id": "0", "words": ["a", "b"], "tags": ["B-PER", "I-PER"]}]
    right = [task.labels.index("B-PER")], [task.labels.index("I-PER")]
    assert tagging.score([[[*right[0], *right[1]]]], rows, task, "en")["f1"] == 100
    assert tagging.score([list(right)], rows, task, "en")["f1"] == 100, "both pieces hold one entity, in gold and prediction alike"
    o = [task.labels.index("O")]
    assert tagging.score([[right[0], o]], rows, task, "en")["f1"] == pytest.approx(200 / 3), "the cut made two entities of one"


def test_a_tag_that_the_task_lacks_is_not_trained_on_and_always_wrong(tokenizer):
    task = tasks.get("udpos")
    feature = tagging.encode([{"id": "0", "words": ["1", "2"], "tags": ["NOUN", "NEW"]}], tokenizer, task, 32)[0]
    assert [t for t in feature["targets"] if t != tagging.IGNORE] == [task.labels.index("NOUN"), tagging.UNKNOWN]
    loss = tagging.loss(torch.zeros(1, len(batching.pad([feature["targets"]], 0)[0]), len(task.labels)), {"features": [feature]})
    assert torch.isfinite(loss)


def test_no_answer_wins_only_where_the_task_knows_it_and_every_window_prefers_it(tokenizer):
    rows = [sources.rows(WORLD, tasks.get("squad_v2"), "train", "qaa", 1)[0]]
    features = span.encode(rows, tokenizer, tasks.get("squad_v2"), 64)
    logits = torch.zeros(len(features), batching.pad([f["ids"][0] for f in features], 1).shape[1], 2)
    logits[:, 0] = 5.0
    for name, empty in (("squad_v2", True), ("xquad", False)):
        parts = span.decode(logits, {"features": features}, tasks.get(name))
        assert (span.assemble(features, parts, rows) == [""]) is empty
    parts = span.decode(logits, {"features": features}, tasks.get("squad_v2"))
    one_sure = [(*parts[0][:3], -9.0), *parts[1:]]
    assert span.assemble(features, one_sure, rows) != [""]


def test_unanswerable_questions_are_right_when_left_unanswered():
    rows = [{"id": "0", "answers": {"text": [], "answer_start": []}}]
    assert span.score([""], rows, tasks.get("squad_v2"), "en")["f1_exact"] == 100
    assert span.score(["cat"], rows, tasks.get("squad_v2"), "en")["f1_exact"] == 0


# ---------------------------------------------------------------- retrieval


def test_retrieval_finds_each_text_itself(tiny):
    task = tasks.get("tatoeba")
    rows = sources.retrieval(WORLD, task, ["qab"], 40)[0]["qab"]
    vectors = scoring.embed(tiny, task, rows, [1, 2], "mean", 64)
    assert vectors.shape == (2, 40, 32)
    found = retrieval.retrieve(task, rows, rows, vectors[1], vectors[1], "qab")
    assert found.scores["accuracy"] == 100 and found.predictions[3][0] == rows[3]["id"]


def test_a_languages_mean_is_taken_from_both_sides():
    """Two languages far apart, in each of which a text lies where its translation lies: found only once what sets them apart is gone."""
    rng, task = np.random.default_rng(0), tasks.get("tatoeba")
    rows = [{"id": str(i), "gold": [str(i)]} for i in range(50)]
    meaning = rng.normal(size=(50, 8)).astype(np.float32)
    apart = np.array([300, 300, 0, 0, 0, 0, 0, 0], np.float32), np.array([0, 0, 0, 0, 0, 0, 400, 300], np.float32)
    found = retrieval.retrieve(task, rows, rows, *(meaning + offset for offset in apart), "qab")
    assert found.scores["accuracy"] < 50 and found.scores["accuracy centred"] == 100 and found.scores["n"] == 50
    assert found.predictions != [[row["id"]] for row in rows], "what is kept are the plain search's"
    halves = [(meaning + offset).astype(np.float16) for offset in apart]
    assert "accuracy centred" not in retrieval.retrieve(task, rows, rows, *halves, "qab").scores, "large sets have no control"


def test_of_a_pool_each_language_has_its_own_mean():
    rng = np.random.default_rng(1)
    vectors, languages = rng.normal(size=(40, 4)).astype(np.float32), ["de"] * 10 + ["en"] * 30
    before, less = vectors.copy(), retrieval.centred(vectors, languages)
    assert np.allclose(less[:10].mean(0), 0, atol=1e-6) and np.allclose(less[10:].mean(0), 0, atol=1e-6)
    assert np.allclose(less[0] - less[1], vectors[0] - vectors[1], atol=1e-6) and (vectors == before).all()
    _, pools = sources.retrieval(WORLD, tasks.get("lareqa"), ["qaa", "qab"], 5)
    assert {row["language"] for row in pools["qaa"]} == {"qaa", "qab"}


def test_search_is_by_cosine_and_agrees_with_a_plain_product():
    rng = np.random.default_rng(0)
    queries, index = rng.normal(size=(30, 8)).astype(np.float32), rng.normal(size=(200, 8)).astype(np.float32) * 9
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries, index)]
    cosines, found = search.nearest(queries, index, 5)
    wanted = np.argsort(-(unit[0] @ unit[1].T), axis=1)[:, :5]
    assert (found == wanted).all()
    assert np.allclose(cosines, np.take_along_axis(unit[0] @ unit[1].T, wanted, 1), atol=1e-6)


def test_average_precision_divides_by_what_can_be_found():
    gold = [f"g{i}" for i in range(30)]
    assert retrieval.average_precision(gold, gold) == 1, "more right ones than places: all places right is perfect"
    assert retrieval.average_precision(["g0", "x", "g1"], ["g0", "g1"]) == pytest.approx((1 + 2 / 3) / 2)
    assert retrieval.average_precision(["x"] * 20 + ["g0"], ["g0"]) == 0
    assert retrieval.reciprocal_rank(["x", "g0"], ["g0"]) == 0.5
    assert retrieval.reciprocal_rank(["x"] * 20 + ["g0"], ["g0"]) == 0


@pytest.mark.parametrize("name", ["lareqa", "mewslix"])
def test_a_dual_encoder_learns_its_pairs(name, tiny, settings):
    task = tasks.get(name)
    rows = sources.rows(WORLD, task, "train", "qaa", 24)
    longer = settings.model_copy(update={"epochs": 40, "learning_rate": 3e-3})
    finetuning.fine_tune(tiny, {name: (task, scoring.encoded(tiny, task, rows, 64))}, longer, 0)
    pool = {row["positive"]: {"id": str(i), "text": row["positive"]} for i, row in enumerate(rows)}
    queries = [row | {"gold": [pool[row["positive"]]["id"]]} for row in rows]
    vectors = [scoring.embed(tiny, task, found, [2], "first", 64)[0] for found in (queries, list(pool.values()))]
    assert retrieval.retrieve(task, queries, list(pool.values()), *vectors, "qaa").scores[task.metric] > 80


def test_mentions_are_marked_and_stray_braces_go():
    assert retrieval.mention_text("See {this} Ann now.", 11, 14) == "Ann: See (this) { Ann } now."


def test_sentences_cover_the_context():
    text = "One. Two?  Three! Four"
    spans = retrieval.sentences(text)
    assert [text[a:b].strip() for a, b in spans] == ["One.", "Two?", "Three!", "Four"]
    assert spans[0][0] == 0 and spans[-1][1] == len(text) and all(a[1] == b[0] for a, b in itertools.pairwise(spans))
