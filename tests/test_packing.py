"""Packed and padded batches give the same logits and gradients; and not when positions are counted wrongly."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from xtools import encoder, finetuning, packing, scoring, sources, targets, tasks
from xtools.batching import pad
from xtools.encoder import Encoder
from xtools.problems import Problem


@pytest.fixture(params=["xlm-roberta", "bert"])
def made(request, tokenizer):
    size = dict(num_hidden_layers=3, hidden_size=48, num_attention_heads=4, intermediate_size=96, max_position_embeddings=66)
    config = AutoConfig.for_model(request.param, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **size)
    torch.manual_seed(0)
    model = AutoModelForMaskedLM.from_config(config, attn_implementation="eager").eval()
    for parameter in model.parameters():  # weights as large as a trained model's, so that attention is not flat
        torch.nn.init.normal_(parameter, std=0.2) if parameter.ndim > 1 else None
    return Encoder(model, tokenizer)


@pytest.fixture
def ids(tokenizer):
    rows = [[0, *range(5, 5 + n), 2, *([2, 9, 10, 2] if n % 2 else [])] for n in (3, 17, 1, 40, 8)]
    return pad(rows, tokenizer.pad_token_id)


def elsewhere(config) -> int:
    """A first position that is not the architecture's."""
    return 2 if config.model_type == "bert" else 0


def logits_and_gradient(made: Encoder, ids: torch.Tensor, packed: bool):
    made.pack(packed).model.zero_grad()
    keep = ids != made.tokenizer.pad_token_id
    logits = made.model.get_output_embeddings()(made.hidden(ids)[keep])
    logits.logsumexp(-1).mean().backward()
    return logits.detach(), torch.cat([p.grad.flatten() for p in made.model.base_model.parameters() if p.grad is not None])


def test_packed_equals_padded(made, ids):
    padded, slope = logits_and_gradient(made, ids, False)
    packed, other = logits_and_gradient(made, ids, True)
    assert made.attention == "packed" and (packed - padded).abs().max() < 1e-5 * padded.abs().max()
    assert torch.nn.functional.cosine_similarity(slope, other, dim=0) > 0.9999
    assert (made.hidden(ids)[ids == made.tokenizer.pad_token_id] == 0).all()


def test_every_layer_is_given_packed_too(made, ids):
    keep = ids != made.tokenizer.pad_token_id
    padded, packed = (made.pack(how).hidden_layers(ids, [1, 3]) for how in (False, True))
    assert all((a - b)[keep].abs().max() < 1e-4 for a, b in zip(padded, packed, strict=True))


def test_positions_that_start_at_another_place_give_other_logits(made, ids, monkeypatch):
    padded, _ = logits_and_gradient(made, ids, False)
    monkeypatch.setitem(packing.FIRST_POSITION, made.config.model_type, elsewhere)
    packed, _ = logits_and_gradient(made, ids, True)
    assert (packed - padded).abs().max() > 0.1 * padded.abs().max()


def test_a_model_set_to_pack_still_takes_padded_batches(made, ids):
    made.pack(True)
    whole = made.model(**made.inputs(ids)).logits
    alone = made.model(**made.inputs(ids[:1, :9])).logits
    assert torch.allclose(whole[0, :9], alone[0], atol=1e-4), "padding is masked"


def test_a_packed_run_learns_what_a_padded_one_learns(tokenizer, settings):
    task = tasks.get("xnli")
    rows = sources.rows(sources.Source("microworld"), task, "train", "qaa", 64)
    losses = []
    for packed in (False, True):
        made = encoder.create(tokenizer, 2, 32, 4, 64, 0).pack(packed)
        _, curve = finetuning.fine_tune(made, {"xnli": (task, scoring.encoded(made, task, rows, 64))}, settings, 0)
        losses.append(curve["loss"])
        assert targets.Model(made, task, settings).encoder.attention == ("packed" if packed else "eager")
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_a_trial_finds_a_difference_and_leaves_no_trace(made, monkeypatch):
    before = [p.clone() for p in made.model.parameters()]
    assert "differ" not in packing.trial(made)
    monkeypatch.setitem(packing.FIRST_POSITION, made.config.model_type, elsewhere)
    monkeypatch.setattr(packing, "AGREE", 1e-4)
    assert "packed hidden states differ by" in packing.trial(made) and not made.packed
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, made.model.parameters(), strict=True))


def test_a_missing_kernel_is_a_reason_and_any_other_fault_is_not_hidden(made, monkeypatch):
    def fail(message):
        def run(*args, **kwargs):
            raise RuntimeError(message)

        monkeypatch.setattr(packing, "run", run)

    fail("No viable backend for scaled_dot_product_attention was found.")
    assert "torch cannot pack here (No viable backend" in packing.trial(made)
    fail("CUDA out of memory")
    with pytest.raises(RuntimeError, match="out of memory"):
        packing.trial(made)
    assert not made.packed


def test_packing_an_architecture_that_cannot_be_packed_is_refused(tokenizer):
    config = AutoConfig.for_model("modernbert", num_hidden_layers=1, hidden_size=16, num_attention_heads=2, vocab_size=300, pad_token_id=1)
    made = Encoder(AutoModelForMaskedLM.from_config(config), tokenizer)
    with pytest.raises(Problem, match="batches: modernbert cannot be packed"):
        encoder.choose_batches("packed", made)
    assert not encoder.choose_batches("auto", made).packed
