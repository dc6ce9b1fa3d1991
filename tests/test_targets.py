"""What a target's model is: trained, tuned on a first task of another format, or the encoder as it is; and how long its inputs are."""

import copy

import pytest
import torch

from xtools import finetuning, scoring, sources, study, targets, tasks
from xtools.run import fingerprints


@pytest.fixture
def both():
    """The smoke study with either Tatoeba and LAReQA, over few rows of few tokens."""
    loaded = study.load("smoke")
    phase = {"examples": 24, "max_length": 48, "tasks": {"squad_v1": {"max_length": 64, "epochs": 2, "learning_rate": 3e-3}}}
    rows = loaded.evaluation.model_copy(update={"dev": 10, "test": 10})
    changes = {"targets": ["tatoeba", "tatoeba_squad", "lareqa"], "target": loaded.target.model_copy(update=phase), "evaluation": rows}
    return loaded.model_copy(update=changes)


def test_a_first_task_of_another_format_tunes_the_encoder_that_is_searched_with(tiny, both):
    expected, before = copy.deepcopy(tiny), copy.deepcopy(tiny.model.state_dict())
    raw = targets.prepare(tiny, both, "tatoeba", 0)
    assert (raw.head, raw.curve, raw.examples) == (None, None, 0)
    assert all(torch.equal(value, before[name]) for name, value in tiny.model.state_dict().items()), "the raw encoder stays as it is"
    scores = {"raw": targets.score(raw, both, "tiny")[0]}

    task, phase = tasks.get("squad_v1"), both.target.for_task("squad_v1")
    features = finetuning.training_features(expected, both, task, phase.examples, phase.max_length, 0)
    _, curve = finetuning.fine_tune(expected, {"squad_v1": (task, features)}, phase, 0)

    tuned = targets.prepare(tiny, both, "tatoeba_squad", 0)
    assert tuned.head is None and tuned.examples == 24, "the head is thrown away"
    assert tuned.curve["steps"] == curve["steps"] == 2 * -(-len(features) // phase.batch_size), "at its own epochs"
    state = expected.model.base_model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in tiny.model.base_model.state_dict().items())
    scores["tuned"] = targets.score(tuned, both, "tiny")[0]
    assert {kind: {score["layer"] for score in found.values()} for kind, found in scores.items()} == {"raw": {1}, "tuned": {1}}
    assert scores["raw"].keys() == scores["tuned"].keys() == {"qab", "qac"}
    result = targets.result(tuned, both, scores["tuned"], targets.development_score(tuned, both), None)
    assert result.dev is None and result.curve.steps == curve["steps"]


def test_a_setting_of_a_first_task_bears_on_the_targets_that_train_on_it_alone():
    loaded = study.load("both")
    phase = loaded.target.tasks | {"squad_v1": loaded.target.tasks["squad_v1"] | {"epochs": 3}}
    longer = loaded.model_copy(update={"target": loaded.target.model_copy(update={"tasks": phase})})
    layer = loaded.model_copy(update={"retrieval": loaded.retrieval.model_copy(update={"layer": 3})})
    for changed, wanted in ((longer, {"tatoeba_squad"}), (layer, {"tatoeba", "tatoeba_squad", "bucc2018"})):
        cells = [study.Cell("both", "target", "base", "none", target) for target in loaded.targets]
        assert {c.target for c in cells if fingerprints.parameters(loaded, c) != fingerprints.parameters(changed, c)} == wanted
    seeds = [fingerprints.parameters(loaded, study.Cell("both", "target", "base", "none", "tatoeba_squad", seed)) for seed in (0, 1)]
    assert seeds[0] != seeds[1], "another seed trains another model"
    reads = fingerprints.reads_of(loaded, study.Cell("both", "target", "base", "none", "tatoeba_squad"))
    assert reads[:2] == [("squad_v1", "train", "en"), ("squad_v1", "dev", "en")], "which tells whether the run came to nothing"
    assert {split for _, split, _ in reads[2:]} == {"test", "candidates"}


def test_a_subset_of_a_first_tasks_rows_is_told(tiny, both, monkeypatch):
    monkeypatch.setattr(
        sources, "counts", lambda source, task, splits, languages: [dict(task=task.name, split="train", part="x", rows=1, published=2)]
    )
    part = both.model_copy(update={"subset": True})
    model = targets.Model(tiny, tasks.get("tatoeba_squad"), part.target.for_task("tatoeba_squad"))
    told = targets.result(model, part, {"qab": {"accuracy": 1.0, "n": 1}}, None, None).subset
    assert [entry.task for entry in told] == ["squad_v1", "tatoeba_squad"]


def test_answers_that_are_left_out_are_in_the_record_of_a_first_tasks_rows_too(tiny, both, monkeypatch):
    monkeypatch.setattr(
        sources, "lost", lambda source, task, splits, languages: [dict(task=task.name, split=splits[0], part="x", rows=1, answers=2)]
    )
    model = targets.Model(tiny, tasks.get("tatoeba_squad"), both.target.for_task("tatoeba_squad"))
    told = targets.result(model, both, {"qab": {"accuracy": 1.0, "n": 1}}, None, None).lost
    assert [(entry.task, entry.split, entry.answers) for entry in told] == [("squad_v1", "train", 2), ("tatoeba_squad", "test", 2)]


def test_a_first_task_has_the_head_of_a_target_that_is_trained_after_it():
    firsts = [(task, tasks.get(task.first)) for task in tasks.registry().values() if task.first]
    assert {task.name for task, _ in firsts} == {"xcopa", "tatoeba_squad"}
    assert all((first.format, first.labels) == (task.format, task.labels) for task, first in firsts if task.is_trained)


LONG = {"id": "0", "text": "a b c " * 300, "positive": "d e f " * 300}


@pytest.mark.parametrize(("most", "query"), [(256, 96), (64, 64)])
def test_a_query_of_lareqa_has_at_most_96_tokens_and_its_answer_all(most, query, tokenizer):
    task = tasks.get("lareqa")
    (pair,) = tasks.format_of(task).encode([LONG], tokenizer, task, most)
    assert [len(ids) for ids in pair["ids"]] == [query, most] and pair["cut"]
    short = LONG | {"positive": "d"}
    assert tasks.format_of(task).encode([short], tokenizer, task, most)[0]["cut"], "a query that is cut is marked"
    (equal,) = tasks.format_of(task).encode([LONG], tokenizer, tasks.get("mewslix"), most)
    assert [len(ids) for ids in equal["ids"]] == [most, most], "Mewsli-X has one length"


def test_queries_and_candidates_are_embedded_at_their_lengths(tiny, both, monkeypatch):
    lengths, embed = {}, scoring.embed
    settings = both.target.for_task("lareqa").model_copy(update={"max_length": 128})

    def noted(encoder, task, rows, layers, pooling, max_length):
        lengths["candidates" if "answers" in rows[0] else "test"] = max_length
        return embed(encoder, task, rows, layers, pooling, 64)

    monkeypatch.setattr(scoring, "embed", noted)
    task = tasks.get("lareqa")
    targets.score(targets.Model(tiny, task, settings, finetuning.new_head(tiny, task)), both, "tiny")
    assert lengths == {"test": 96, "candidates": 128}
