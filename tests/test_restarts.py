"""A run that comes to nothing is started again: with another seed, from the same weights, and every attempt is told."""

import pytest
import torch

from xtools import encoder, finetuning, restarts, results, scoring, sources, study, tasks
from xtools.problems import Problem
from xtools.results import Attempt
from xtools.training import Stream

SMOKE = study.load("smoke")
WIDTHS = {"mnli": 64}


@pytest.fixture
def task_data(tokenizer):
    """A new encoder of fixed weights and some MNLI rows encoded for it."""

    def make():
        made = encoder.create(tokenizer, layers=1, hidden=32, heads=2, max_length=64, seed=3)
        rows = sources.rows(SMOKE.data, tasks.get("mnli"), "train", "qaa", 24)
        return made, {"mnli": (tasks.get("mnli"), scoring.encoded(made, tasks.get("mnli"), rows, 64))}

    return make


@pytest.fixture
def scored(monkeypatch):
    """A function that says which development scores the runs shall end with, one after another."""

    def say(*scores: float):
        left = iter(scores)
        monkeypatch.setattr(finetuning, "looks", lambda *_: lambda heads: {"mnli": next(left)})

    return say


def weights(made, heads) -> list[torch.Tensor]:
    return [*made.model.state_dict().values(), *heads["mnli"].state_dict().values()]


def test_a_run_at_chance_is_started_again_as_if_it_had_never_been(task_data, settings, scored):
    again = settings.model_copy(update={"restarts": 2})
    scored(33.0, 80.0)
    made, data = task_data()
    tuned = restarts.tune(made, SMOKE, data, again, WIDTHS, 0)
    assert [(a.seed, a.ended, a.dev) for a in tuned.attempts] == [(0, "at chance", {"mnli": 33.0}), (1000, "kept", {"mnli": 80.0})]
    assert not results.at_first(tuned.attempts)
    scored(80.0)
    fresh, data = task_data()
    expected = restarts.tune(fresh, SMOKE, data, again, WIDTHS, 1000)
    assert all(torch.equal(a, b) for a, b in zip(weights(made, tuned.heads), weights(fresh, expected.heads), strict=True))
    assert tuned.curve == expected.curve and results.at_first(expected.attempts)


def test_a_head_that_was_trained_before_is_given_back_too(task_data, settings, scored):
    again = settings.model_copy(update={"restarts": 1})
    made, data = task_data()
    head = finetuning.new_head(made, tasks.get("mnli"))
    before = [tensor.clone() for tensor in head.state_dict().values()]
    scored(33.0, 80.0)
    tuned = restarts.tune(made, SMOKE, data, again, WIDTHS, 0, heads={"mnli": head})
    fresh, data = task_data()
    other = finetuning.new_head(fresh, tasks.get("mnli"))
    other.load_state_dict(dict(zip(head.state_dict(), before, strict=True)))
    scored(80.0)
    expected = restarts.tune(fresh, SMOKE, data, again, WIDTHS, 1000, heads={"mnli": other})
    assert all(torch.equal(a, b) for a, b in zip(weights(made, tuned.heads), weights(fresh, expected.heads), strict=True))


def test_after_the_last_attempt_a_run_at_chance_is_what_there_is(task_data, settings, scored):
    scored(33.0, 34.0, 35.0)
    made, data = task_data()
    tuned = restarts.tune(made, SMOKE, data, settings.model_copy(update={"restarts": 2}), WIDTHS, 5)
    assert [(a.seed, a.ended) for a in tuned.attempts] == [(5, "at chance"), (1005, "at chance"), (2005, "at chance")]


def test_a_loss_that_is_not_finite_is_tried_again_and_then_a_failure_of_one_line(task_data, settings, monkeypatch):
    made, data = task_data()
    monkeypatch.setattr(finetuning, "task_stream", lambda encoder, head, task, features: Stream("mnli", [1] * 8, _nan_of(head)))
    with pytest.raises(Problem, match=r"^mnli: the loss is not finite at step 1 \(seeds tried: 0, 1000\); a lower learning_rate"):
        restarts.tune(made, SMOKE, data, settings.model_copy(update={"restarts": 1}), WIDTHS, 0)


def _nan_of(head):
    return lambda batch: next(head.parameters()).sum() * float("nan")


def test_without_the_setting_nothing_is_scored_and_one_attempt_is_told(task_data, settings, monkeypatch):
    monkeypatch.setattr(finetuning, "looks", None)
    made, data = task_data()
    tuned = restarts.tune(made, SMOKE, data, settings, WIDTHS, 0)
    assert tuned.attempts == [Attempt(tasks=["mnli"], seed=0, steps=6, dev={}, ended="kept")]
    assert "dev" not in tuned.curve


def test_what_is_looked_at_is_the_first_development_rows_scored_as_the_record_scores_them(task_data, settings):
    made, data = task_data()
    told = settings.model_copy(update={"eval_steps": 2, "eval_rows": 20})
    tuned = restarts.tune(made, SMOKE, data, told, WIDTHS, 0)
    assert tuned.curve["dev_step"] == [2, 4, 6]
    rows = finetuning.development_rows(SMOKE, tasks.get("mnli"))[:20]
    now, _ = scoring.evaluate(made, tuned.heads["mnli"], tasks.get("mnli"), rows, 64, "qaa")
    assert tuned.curve["dev"]["mnli"][tuned.curve["dev_step"].index(tuned.curve["kept"])] == now["accuracy"]


def test_a_task_without_development_rows_keeps_its_last_state(task_data, settings, monkeypatch):
    monkeypatch.setattr(finetuning, "development_rows", lambda study, task: [])
    made, data = task_data()
    tuned = restarts.tune(made, SMOKE, data, settings.model_copy(update={"eval_steps": 2, "restarts": 1}), WIDTHS, 0)
    assert tuned.attempts[0].ended == "kept" and "dev" not in tuned.curve


@pytest.mark.parametrize(("score", "n", "beats"), [(33.4, 100, False), (42.0, 100, False), (43.0, 100, True), (35.0, 10_000, True)])
def test_a_score_beats_chance_by_two_standard_errors(score, n, beats):
    assert scoring.beats_chance(score, 100 / 3, n) == beats
    assert not scoring.beats_chance(1.0, 0.0, n) and scoring.beats_chance(1.1, 0.0, n), "F1 has no chance, and is hardly ever zero"
