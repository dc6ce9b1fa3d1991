"""Published architectures, built from their shapes with random weights: every format trains two steps and scores a batch."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM

from xtools import encoder, finetuning, pretraining, scoring, sources, tasks
from xtools.batching import pad
from xtools.encoder import Encoder
from xtools.settings import Training
from xtools.sources import Source

WORLD = Source("microworld")
TRAINED = ("xnli", "xcopa", "panx", "xquad", "lareqa")  # one of each format that trains
TWO_STEPS = Training(learning_rate=1e-5, epochs=1, batch_size=2, max_length=64)


def build(name: str, tokenizer, **changes) -> Encoder:
    """An encoder of a published shape with random weights; its vocabulary is the published one's size, the tokenizer the tests' own."""
    config = encoder.config_of(name)
    config.update(changes | {"pad_token_id": tokenizer.pad_token_id})
    torch.manual_seed(0)
    return Encoder(AutoModelForMaskedLM.from_config(config, attn_implementation="eager"), tokenizer)


def every_format_works(made: Encoder):
    for name in TRAINED:
        task = tasks.get(name)
        rows = sources.rows(WORLD, task, "train", "qaa", 4)
        heads, curve = finetuning.fine_tune(made, {name: (task, scoring.encoded(made, task, rows, TWO_STEPS.max_length))}, TWO_STEPS, 0)
        assert curve["steps"] >= 2 and all(loss == loss and loss < 1e4 for loss in curve["loss"])
        if task.is_searched:
            vectors = scoring.embed(made, task, rows, [1, made.config.num_hidden_layers], "first", 64)
            assert vectors.shape == (2, 4, made.config.hidden_size)
        else:
            scores, predictions = scoring.evaluate(made, heads[name], task, rows, 64, "qaa")
            assert len(predictions) == 4 and 0 <= scores[task.metric] <= 100


@pytest.mark.parametrize(("size", "millions"), [("base", 278), pytest.param("large", 560, marks=pytest.mark.slow)])
def test_xlmr_at_its_real_size(size, millions, tokenizer):
    made = build(f"FacebookAI/xlm-roberta-{size}", tokenizer)
    assert sum(p.numel() for p in made.model.parameters()) == pytest.approx(millions * 1e6, rel=0.01)
    every_format_works(made)


SMALLER = {
    "microsoft/Multilingual-MiniLM-L12-H384": {"num_hidden_layers": 2, "vocab_size": 2000},
    "google-bert/bert-base-multilingual-cased": {"num_hidden_layers": 2, "vocab_size": 2000},
    "distilbert/distilbert-base-multilingual-cased": {"n_layers": 2, "vocab_size": 2000},
    "microsoft/mdeberta-v3-base": {"num_hidden_layers": 2, "vocab_size": 2000},
    "google/rembert": {"num_hidden_layers": 2, "vocab_size": 2000},
    "jhu-clsp/mmBERT-small": {"num_hidden_layers": 2, "vocab_size": 2000},
}


@pytest.mark.parametrize("name", SMALLER)
def test_other_architectures_with_two_layers(name, tokenizer):
    every_format_works(build(name, tokenizer, **SMALLER[name]))


def test_berts_second_segment_starts_after_the_first_separator(tokenizer):
    made = build("google-bert/bert-base-multilingual-cased", tokenizer, num_hidden_layers=1, vocab_size=2000)
    sep, pad = tokenizer.sep_token_id, tokenizer.pad_token_id
    ids = torch.tensor([[0, 9, sep, 8, 7, sep, pad]])
    assert made.inputs(ids)["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1, 0]]


def test_xlmr_has_one_segment(tiny):
    assert "token_type_ids" not in tiny.inputs(torch.tensor([[0, 9, 2]]))


@pytest.mark.parametrize("name", SMALLER)
def test_logits_of_masked_tokens_are_the_models_own_and_no_others_are_computed(name, tokenizer, monkeypatch):
    made = build(name, tokenizer, **SMALLER[name])
    made.model.eval()
    ids = pad([[0, 9, 10, 11, 2], [0, 12, 2]], tokenizer.pad_token_id)
    chosen = ids == 10
    whole = made.model(**made.inputs(ids)).logits
    monkeypatch.setattr(made.model, "forward", None)
    assert torch.allclose(pretraining.masked_logits(made, ids, chosen), whole[chosen], atol=1e-5)


def test_masked_lm_with_a_head_that_is_not_known(tokenizer):
    config = AutoConfig.for_model("albert", vocab_size=2000, embedding_size=16, hidden_size=32, num_attention_heads=2, num_hidden_layers=1)
    made = Encoder(AutoModelForMaskedLM.from_config(config), tokenizer)
    stream = pretraining.masked_lm_stream(made, [[0, 9, 8, 7, 2]] * 4, 0.5)
    assert 0 < stream.loss([0, 1, 2, 3]).item() < 20
