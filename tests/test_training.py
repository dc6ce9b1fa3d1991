import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from xtools import training
from xtools.training import Stream, plan_steps, rate_at, train


def problem(seed=0):
    """A small regression with dropout, whose loss needs random numbers."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    x, y = torch.randn(64, 4), torch.randn(64, 1)
    return model, Stream("toy", [1] * 64, lambda batch: (model(x[batch]) - y[batch]).square().mean())


def test_the_loss_falls(settings):
    model, stream = problem()
    curve = train(model, [stream], settings.model_copy(update={"epochs": 30, "learning_rate": 1e-2}), 0)
    assert curve["loss"][-1] < 0.8 * curve["loss"][0]
    assert curve["step"][-1] == curve["steps"] == 30 * 8


@pytest.mark.parametrize("stop", [1, 5, 8, 13])
def test_resumed_equals_uninterrupted(settings, tmp_path, monkeypatch, stop):
    whole, stream = problem()
    expected = train(whole, [stream], settings, seed=7)

    class Interrupted(Exception):
        pass

    parts, stream = problem()
    path = tmp_path / "checkpoint.safetensors"
    write = training.write_checkpoint

    def write_and_stop(path, modules, optimizer, losses, step, selection):
        write(path, modules, optimizer, losses, step, selection)
        if step == stop:
            raise Interrupted

    monkeypatch.setattr(training, "write_checkpoint", write_and_stop)
    with pytest.raises(Interrupted):
        train(parts, [stream], settings, 7, path, save_every=0)
    monkeypatch.undo()
    again, stream = problem(seed=99)  # other weights: all must come from the checkpoint
    inputs = problem()[1]
    again_stream = Stream("toy", inputs.lengths, with_model(again))
    assert train(again, [again_stream], settings, 7, path) == expected
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True))
    assert train(problem(seed=5)[0], [again_stream], settings, 7, path) == expected, "what comes after training may fail without losing it"


def with_model(model):
    torch.manual_seed(0)
    torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 1))
    x, y = torch.randn(64, 4), torch.randn(64, 1)
    return lambda batch: (model(x[batch]) - y[batch]).square().mean()


def test_a_batch_in_parts_has_the_gradient_of_the_whole():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 1)
    x, lengths = torch.randn(20, 3), [2, 9, 4, 4, 30, 1, 7, 8, 2, 2] * 2
    gradients = []
    for budget in (None, 12):
        stream = Stream("toy", lengths, lambda batch: model(x[batch]).square().mean(), budget)
        parts = stream.parts(list(range(20)))
        assert sorted(i for part in parts for i in part) == list(range(20))
        assert all(len(part) * max(lengths[i] for i in part) <= 12 or len(part) == 1 for part in parts) or budget is None
        model.zero_grad()
        for part in parts:
            (stream.loss(part) * (len(part) / 20)).backward()
        gradients.append(model.weight.grad.clone())
    assert len(parts) > 3 and torch.allclose(*gradients, atol=1e-6)


def test_multi_task_steps_are_proportional_to_capped_size():
    streams = [Stream("big", [1] * 1000, None), Stream("small", [1] * 100, None)]
    steps = plan_steps(streams, 10, epochs=2, seed=0, cap=300)
    assert [sum(len(b) for i, b in steps if i == k) for k in (0, 1)] == [600, 200]
    assert {i for i, _ in steps[:15]} == {0, 1}, "tasks must be mixed"
    assert steps != plan_steps(streams, 10, epochs=2, seed=1, cap=300)


def test_rate_warms_up_and_decays_to_nearly_zero(settings):
    rates = [rate_at(step, 100, settings) for step in range(100)]
    assert rates[0] < rates[5] < max(rates) == pytest.approx(settings.learning_rate)
    assert rates[-1] < 0.02 * settings.learning_rate


@pytest.mark.parametrize(("warm", "steps"), [(500, 8200), (500, 347), (500, 500), (0, 20), (1, 1)])
def test_rates_with_warm_up_in_steps_are_those_of_transformers(settings, warm, steps):
    """XTREME warms up 500 steps (scripts/train_qa.sh), of TyDiQA's 347 too, whose rate then never reaches its peak."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=settings.learning_rate)
    schedule, expected = get_linear_schedule_with_warmup(optimizer, warm, steps), []
    for _ in range(steps):
        expected += schedule.get_last_lr()
        optimizer.step()
        schedule.step()
    told = settings.model_copy(update={"warmup_steps": warm, "warmup": 0.5, "decay": 0.1})
    rates = [rate_at(step, steps, told) for step in range(steps)]
    assert rates == pytest.approx(expected, abs=1e-18)
    assert max(rates) == pytest.approx(settings.learning_rate * min(1, (steps - 1) / warm) if warm >= steps else settings.learning_rate)


def test_no_warm_up_in_shares_is_none_in_steps(settings):
    shares, steps = (settings.model_copy(update=u) for u in ({"warmup": 0.0, "decay": 1.0}, {"warmup_steps": 0}))
    assert [rate_at(i, 50, shares) for i in range(50)] == [rate_at(i, 50, steps) for i in range(50)]


@pytest.mark.parametrize("decays", [False, True])
def test_embeddings_of_absent_tokens_stay_untouched_unless_decay_is_asked_for(tiny, settings, decays):
    from xtools.pretraining import masked_lm_stream

    documents = [[0, 10, 11, 12, 2]] * 16
    table = tiny.model.base_model.embeddings.word_embeddings
    stream = masked_lm_stream(tiny, documents, 0.3)
    tiny.model.lm_head.decoder.weight = torch.nn.Parameter(table.weight.detach().clone())  # untie: only look-ups touch the table
    before = table.weight.detach().clone()
    settings = settings.model_copy(update={"weight_decay": 0.1, "decay_embeddings": decays})
    train(tiny.model.base_model, [Stream("mlm", stream.lengths, stream.loss)], settings, 0)
    changed = (table.weight != before).any(1)
    assert changed[[0, 2]].all()
    assert changed.sum() > 0.9 * len(changed) if decays else changed.sum() < 60, "rows of tokens that never came"


def test_checkpoint_is_whole_or_absent(settings, tmp_path, monkeypatch):
    model, stream = problem()
    path = tmp_path / "checkpoint.safetensors"
    monkeypatch.setattr(training, "save_file", lambda tensors, file, meta: (file.write_bytes(b"half"), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        train(model, [stream], settings, 0, path, save_every=0)
    assert not path.exists()
