import functools
import random

import numpy as np
import pytest
import torch

from xtools import learning, scoring, sources, study, targets, tasks
from xtools.batching import collate
from xtools.problems import Problem
from xtools.settings import Retrieval


def test_gap_is_source_minus_the_mean_of_the_others():
    assert scoring.transfer_gap({"en": 80, "de": 70, "sw": 50}, "en") == 20
    assert scoring.transfer_gap({"de": 70}, "en") is None
    assert scoring.transfer_gap({"en": 70}, "en") is None


def test_results_come_back_in_the_order_of_the_features(tiny):
    features = [{"ids": [[0, *[9] * n, 2]], "n": n} for n in (30, 1, 17, 2)]
    assert scoring.forward(tiny, features, lambda encoder, batch: [f["n"] for f in batch["features"]], budget=64) == [30, 1, 17, 2]


@pytest.mark.parametrize("target", ["xnli", "xquad", "xcopa", "udpos"])
def test_predictions_do_not_hang_on_batch_size_padding_or_order(tiny, target, monkeypatch):
    task, data = tasks.get(target), study.load("smoke").data
    rows = [row for language in ("qaa", "qac") for row in sources.read(data, task, "test", language, 32)]
    head = learning.new_head(tiny, task)
    for parameter in [*tiny.model.parameters(), *head.parameters()]:
        torch.nn.init.normal_(parameter, std=0.5)  # so that predictions differ from each other
    others = list(range(len(rows)))
    random.Random(0).shuffle(others)
    found = []
    for batch in (1, 8, 64):
        monkeypatch.setattr(scoring, "batches", functools.partial(by_number, batch))
        there = scoring.predict(tiny, head, task, rows, 64)[0]
        mixed = scoring.predict(tiny, head, task, [rows[i] for i in others], 64)[0]
        assert [there[i] for i in others] == mixed
        found.append(there)
    monkeypatch.undo()
    found.append(scoring.predict(tiny, head, task, rows, 64)[0])
    assert all(there == found[0] for there in found) and len({str(prediction) for prediction in found[0]}) > 1


def by_number(n, encoder, features, budget=None):
    """As `scoring.batches`, of `n` features each, whatever their length."""
    for start in range(0, len(features), n):
        indices = list(range(start, min(start + n, len(features))))
        yield indices, collate([features[i] for i in indices], encoder.tokenizer.pad_token_id)


@pytest.mark.parametrize(("layers", "expected"), [(24, 14), (12, 7), (4, 2), (2, 1)])
def test_default_retrieval_layer(tiny, layers, expected):
    tiny.config.num_hidden_layers = layers
    assert scoring.retrieval_layer(tiny) == expected


def test_a_layers_states_are_that_layers(tiny):
    ids = torch.tensor([[0, 9, 10, 2]])
    first, last = tiny.hidden_layers(ids, [1, 2])
    assert torch.equal(last, tiny.hidden(ids)) and not torch.equal(first, last)


TEXTS = [{"text": text} for text in ("one two", "three", "one two", "four five six", "three")]


def test_many_texts_are_run_once_each_and_kept_as_half_precision_unit_vectors(tiny, monkeypatch):
    task = tasks.get("tatoeba")
    few = scoring.embed(tiny, task, TEXTS, [1, 2], "mean", 64)
    monkeypatch.setattr(scoring, "HELD", few.nbytes - 1)
    monkeypatch.setattr(scoring, "ENCODED", 2)
    run, asked = scoring.encoded, []
    monkeypatch.setattr(scoring, "encoded", lambda encoder, task, rows, length: asked.extend(rows) or run(encoder, task, rows, length))
    many = scoring.embed(tiny, task, TEXTS, [1, 2], "mean", 64)
    assert [row["text"] for row in asked] == ["one two", "three", "four five six"]
    assert (few.dtype, many.dtype, few.shape) == (np.float32, np.float16, many.shape)
    unit = few / np.linalg.norm(few, axis=2, keepdims=True)
    assert np.abs(many.astype(np.float32) @ unit[:, :1].swapaxes(1, 2) - unit @ unit[:, :1].swapaxes(1, 2)).max() < 1e-3
    assert (many[:, 0] == many[:, 2]).all() and (many[:, 1] == many[:, 4]).all()


@pytest.mark.parametrize("target", ["tatoeba", "bucc2018"])
def test_layers_are_swept_where_their_vectors_are_few_and_the_score_stays(tiny, target, monkeypatch):
    loaded = study.load("smoke")
    task = tasks.get(target)
    model = targets.Model(tiny, task, loaded.target.for_task(target).model_copy(update={"max_length": 48}))
    one = loaded.model_copy(update={"retrieval": Retrieval(sweep=True), "targets": [target]})
    swept = targets._retrieval_scores(model, one, Retrieval(sweep=True))[0]
    monkeypatch.setattr(scoring, "HELD", 0)
    alone = targets._retrieval_scores(model, one, Retrieval(sweep=True))[0]
    for language, score in swept.items():
        assert [*score["layers"]] == [1, 2] and score["layers"][1] == score[task.metric]
        assert "layers" not in alone[language] and alone[language]["layer"] == score["layer"] == 1
        assert score["layer_by"] == "depth"
        assert alone[language][task.metric] == pytest.approx(score[task.metric], abs=2)


def test_a_layer_is_the_studys_or_of_the_depth_or_the_dual_encoders_and_never_one_that_is_not_there(tiny):
    task, settings = tasks.get("lareqa"), study.load("smoke").target
    model, trained = (targets.Model(tiny, task, settings, head) for head in (None, torch.nn.Linear(1, 1)))
    assert targets._vectors_are(model, Retrieval()) == (1, "mean", "depth")
    assert targets._vectors_are(model, Retrieval(layer=2, pooling="first")) == (2, "first", "study")
    assert targets._vectors_are(trained, Retrieval(layer=1)) == (2, "first", "training")
    with pytest.raises(Problem, match="layer: 3 is more than the 2 layers of the encoder"):
        targets._vectors_are(model, Retrieval(layer=3))
