"""The state that is best on development rows is kept, whatever interrupts the run."""

import pytest
import torch

from tests.test_training import problem, with_model
from xtools import training
from xtools.selection import Selection
from xtools.settings import Finetuning
from xtools.training import Stream, train

SCORES = [10.0, 30.0, 20.0, 30.0, 25.0, 5.0, 1.0, 29.0]  # of two epochs of eight steps, looked at every second: the second is the best


def scripted(model, every=2, patience=None, scores=SCORES) -> tuple[Selection, list[dict]]:
    """A selection whose scores are given, and a list of the states that it looks at."""
    seen: list[dict] = []

    def score() -> dict[str, float]:
        assert not model.training, "dropout must be off"
        seen.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        return {"toy": scores[len(selection.steps)]}

    selection = Selection(score, every, patience)
    return selection, seen


def equal(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in other)


def test_the_first_best_state_is_kept_and_the_curve_says_which(settings):
    model, stream = problem()
    selection, seen = scripted(model)
    curve = train(model, [stream], settings, 7, selection=selection)
    assert curve["kept"] == 4 and curve["dev_step"] == [2, 4, 6, 8, 10, 12, 14, 16] and curve["dev"] == {"toy": SCORES}
    assert equal(model.state_dict(), seen[1]) and not equal(seen[1], seen[-1])


def test_the_last_state_is_kept_where_it_is_the_best(settings):
    model, stream = problem()
    selection, seen = scripted(model, every=5, scores=[1.0, 2.0, 3.0, 4.0])
    curve = train(model, [stream], settings, 7, selection=selection)
    assert curve["dev_step"] == [5, 10, 15, 16] and curve["kept"] == 16 and equal(model.state_dict(), seen[-1]) and not selection.state


def test_looking_changes_nothing_of_training(settings):
    looked, stream = problem()
    with_looks = train(looked, [stream], settings, 7, selection=scripted(looked)[0])
    plain, stream = problem()
    assert train(plain, [stream], settings, 7).items() <= with_looks.items()


def test_patience_ends_a_run_that_gets_no_better(settings):
    model, stream = problem()
    selection, seen = scripted(model, patience=3)
    curve = train(model, [stream], settings, 7, selection=selection)
    assert curve["dev_step"] == [2, 4, 6, 8, 10] and curve["steps"] == curve["step"][-1] == 10 and curve["planned"] == 16
    assert curve["kept"] == 4 and equal(model.state_dict(), seen[1])


def test_several_tasks_count_by_their_mean():
    told = {"one": [90.0, 10.0], "other": [0.0, 81.0]}
    assert Selection(lambda: {}, steps=[1, 2], scores=told).best == 1


@pytest.mark.parametrize("patience", [None, 3])
@pytest.mark.parametrize("stop", [1, 4, 7, 9])
def test_resumed_equals_uninterrupted(settings, tmp_path, monkeypatch, stop, patience):
    whole, stream = problem()
    expected = train(whole, [stream], settings, 7, selection=scripted(whole, patience=patience)[0])
    path, write = tmp_path / "checkpoint.safetensors", training.write_checkpoint

    class Interrupted(Exception):
        pass

    def write_and_stop(path, modules, optimizer, losses, step, selection):
        write(path, modules, optimizer, losses, step, selection)
        if step == stop:
            raise Interrupted

    parts, stream = problem()
    monkeypatch.setattr(training, "write_checkpoint", write_and_stop)
    with pytest.raises(Interrupted):
        train(parts, [stream], settings, 7, path, save_every=0, selection=scripted(parts, patience=patience)[0])
    monkeypatch.undo()
    again, _ = problem(seed=99)  # other weights: all must come from the checkpoint
    resumed = Stream("toy", [1] * 64, with_model(again))
    assert train(again, [resumed], settings, 7, path, selection=scripted(again, patience=patience)[0]) == expected
    assert equal(again.state_dict(), whole.state_dict())


@pytest.mark.parametrize(("bad", "told"), [(3, 3), (150, 150)])
def test_a_loss_that_is_not_finite_ends_the_run(settings, bad, told):
    model, stream = problem()
    calls = iter(range(1, 1000))
    broken = Stream("toy", stream.lengths, lambda batch: stream.loss(batch) * (float("nan") if next(calls) == bad else 1))
    with pytest.raises(training.NotFinite, match=f"step {told}$"):
        train(model, [broken], settings.model_copy(update={"epochs": 40}), 0)


@pytest.mark.parametrize("key", ["patience", "eval_rows"])
def test_choosing_without_looking_is_refused(key):
    with pytest.raises(ValueError, match=f"{key}: .*give eval_steps too"):
        Finetuning(learning_rate=1e-3, epochs=1, batch_size=8, max_length=64, **{key: 5})


@pytest.mark.parametrize(("every", "restarts", "steps", "looks"), [(None, 0, 100, 0), (None, 2, 100, 1), (30, 0, 100, 4), (50, 0, 100, 2)])
def test_looks_are_counted_before_there_is_a_run(every, restarts, steps, looks):
    told = Finetuning(learning_rate=1e-3, epochs=1, batch_size=8, max_length=64, eval_steps=every, restarts=restarts)
    assert told.looks(steps) == looks
    if every:
        selection = Selection(lambda: {}, every)
        assert sum(selection.is_due(step, steps) for step in range(1, steps + 1)) == looks
