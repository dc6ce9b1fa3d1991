"""Every format on rows of the microworld and on rows that hypothesis makes up: nothing is lost between rows and features."""

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from xtools import batching, finetuning, scoring, sources, tasks
from xtools.problems import Problem
from xtools.tasks import choice, classification, retrieval, span, tagging

WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12), min_size=1, max_size=60)
relaxed = hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_registry_is_consistent():
    known = tasks.registry()
    assert {"mnli", "squad_v1", "hellaswag", "xnli", "xquad", "xcopa", "udpos", "panx", "tatoeba"} <= set(known)
    for task in known.values():
        form = tasks.format_of(task)
        assert hasattr(form, "encode") and hasattr(form, "score")
        assert not task.is_target or task.languages
        assert all("/" in where.repo for where in task.hub.values()), "bare Hub ids are dead"


def test_unknown_task_names_the_nearest():
    with pytest.raises(Problem, match="did you mean xnli"):
        tasks.get("xnl")


@pytest.mark.parametrize("name", [n for n, t in tasks.registry().items() if t.format != "retrieval"])
def test_every_trained_task_learns_its_training_examples(name, tiny, settings):
    task = tasks.get(name)
    rows = sources.rows("microworld", task, "train", "qaa", 24)
    heads, curve = finetuning.fine_tune(tiny, {name: (task, rows)}, settings.model_copy(update={"epochs": 40, "learning_rate": 3e-3}), 0)
    scores, predictions = scoring.evaluate(tiny, heads[name], task, rows, 64)
    assert len(predictions) == len(rows) == scores["n"]
    assert scores[task.metric] > max(60, task.chance + 25), curve["loss"]


@pytest.mark.parametrize("name", [n for n, t in tasks.registry().items() if t.format != "retrieval"])
def test_predictions_do_not_depend_on_the_batch(name, tiny):
    torch.manual_seed(0)
    task = tasks.get(name)
    rows = sources.rows("microworld", task, "dev", "qac", 30)
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
    row = sources.rows("microworld", tasks.get("xquad"), "test", "qac", 1)[0]
    row = row | {"context": " ".join([row["context"]] * 6), "answers": {"text": [], "answer_start": []}}
    covered = {c for f in span.encode([row], tokenizer, tasks.get("xquad"), 48) for o in f["offsets"] if o for c in range(*o)}
    assert {i for i, c in enumerate(row["context"]) if c != " "} <= covered


def test_best_span_stays_in_the_context_and_in_order(tokenizer):
    rows = sources.rows("microworld", tasks.get("xquad"), "test", "qaa", 4)
    features = span.encode(rows, tokenizer, tasks.get("xquad"), 64)
    width = batching.pad([f["ids"][0] for f in features], 1).shape[1]
    logits = torch.randn(len(features), width, 2)
    for feature, (_, start, end) in zip(features, span.decode(logits, {"features": features}), strict=True):
        assert feature["offsets"][start] and feature["offsets"][end]
        assert start <= end < start + span.MAX_ANSWER


@pytest.mark.parametrize(
    ("prediction", "gold", "f1", "exact"),
    [("The Cat!", ["cat"], 100, 100), ("black cat", ["cat"], 200 / 3, 0), ("dog", ["cat"], 0, 0), ("a cat", ["dog", "cat"], 100, 100)],
)
def test_squad_scores(prediction, gold, f1, exact):
    rows = [{"id": "0", "answers": {"text": gold, "answer_start": [0] * len(gold)}}]
    scores = span.score([prediction], rows, tasks.get("xquad"))
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
    assert [tagging.UPOS[t] for t in whole[0]] == tags


def test_seqeval_counts_entities_not_tokens():
    task = tasks.get("panx")
    rows = [{"id": "0", "words": ["a", "b", "c"], "tags": ["B-PER", "I-PER", "O"]}]
    ids = {label: i for i, label in enumerate(task.labels)}
    half = tagging.score([[ids["B-PER"], ids["O"], ids["O"]]], rows, task)
    assert half["f1"] == 0 and half["accuracy"] == pytest.approx(200 / 3)


def test_part_of_speech_f1_merges_runs_as_the_benchmark_does():
    task = tasks.get("udpos")
    noun, verb = task.labels.index("NOUN"), task.labels.index("VERB")
    rows = [{"id": "0", "words": ["a", "b", "c"], "tags": ["NOUN", "NOUN", "VERB"]}]
    scores = tagging.score([[noun, verb, verb]], rows, task)
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


def test_retrieval_finds_translations_of_itself(tiny):
    rows = [r | {"text": r["source_text"]} for r in sources.rows("microworld", tasks.get("tatoeba"), "test", "qab", 40)]
    settings = type("Settings", (), {"layer": None, "pooling": "mean"})
    scores, predictions = scoring.retrieve(tiny, tasks.get("tatoeba"), rows, settings, 64)
    assert scores["accuracy"] == 100
    assert predictions == list(range(40))


def test_nearest_is_by_cosine_with_queries_first():
    import numpy as np

    index = np.array([[1, 0], [0, 10]], dtype=np.float32)
    assert retrieval.nearest(np.array([[5, 1], [0.1, 0.2]], dtype=np.float32), index).tolist() == [0, 1]
