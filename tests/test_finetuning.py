"""A training step of every format runs without the host waiting for the device; a compiled encoder learns what a plain one learns."""

import functools

import pytest
import torch
from transformers import AttentionInterface

from xtools import encoder, finetuning, packing, pretraining, scoring, sources, tasks

WORLD = sources.Source("microworld")


def loss_on_meta(name: str, tokenizer, attention: str) -> torch.Tensor:
    """The loss of a step on the meta device, which has shapes but no values: to ask it for a value is an error."""
    made = encoder.create(tokenizer, layers=2, hidden=32, heads=2, max_length=64, seed=0)
    made.model.to("meta")
    made.packed = attention == packing.NAME
    made.model.set_attn_implementation(attention)
    if name == "mlm":
        documents = [[0, *range(5, 5 + n), 2] for n in range(8, 16)]
        return pretraining.masked_lm_stream(made, documents, 0.2).loss([*range(8)])
    task = sources.complete(WORLD, tasks.get(name))
    features = scoring.encoded(made, task, sources.rows(WORLD, task, "train", "qaa", 8), 64)
    return finetuning.task_stream(made, finetuning.new_head(made, task), task, features).loss([*range(8)])


@pytest.mark.parametrize("attention", ["sdpa", packing.NAME])
@pytest.mark.parametrize("name", ["xnli", "xcopa", "udpos", "xquad", "lareqa", "mlm"])
def test_a_step_asks_nothing_of_the_device(name, attention, tokenizer, monkeypatch):
    def own(module, query, key, value, attention_mask, **more):  # nested tensors do not know the meta device
        return value.transpose(1, 2), None

    monkeypatch.setitem(AttentionInterface._global_mapping, packing.NAME, own)
    loss = loss_on_meta(name, tokenizer, attention)
    loss.backward()
    assert loss.device.type == "meta"


def test_a_step_that_asks_is_found(tokenizer):
    with pytest.raises(RuntimeError, match="meta"):
        loss_on_meta("xnli", tokenizer, "eager")  # transformers asks whether there is padding before it makes this mask


def test_a_compiled_run_learns_the_same_with_few_graphs_for_all_shapes(tokenizer, settings, monkeypatch):
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))  # traced as for a GPU, run without a compiler
    task, losses = tasks.get("xnli"), []
    for batches in ("padded", "compiled"):
        made = encoder.choose_batches(batches, encoder.create(tokenizer, 2, 32, 4, 64, 0))
        features = scoring.encoded(made, task, sources.rows(WORLD, task, "train", "qaa", 60), 64)
        _, curve = finetuning.fine_tune(made, {"xnli": (task, features)}, settings, 0)
        losses.append(curve["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert counters["stats"]["unique_graphs"] <= 3, "with and without padding, and for one sequence; shapes make no others"
    assert made.attention == "eager compiled" and made.exact().attention == "eager"
