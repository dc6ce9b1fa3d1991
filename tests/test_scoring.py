import pytest
import torch

from xtools import scoring


def test_gap_is_source_minus_the_mean_of_the_others():
    assert scoring.transfer_gap({"en": 80, "de": 70, "sw": 50}, "en") == 20
    assert scoring.transfer_gap({"de": 70}, "en") is None
    assert scoring.transfer_gap({"en": 70}, "en") is None


def test_results_come_back_in_the_order_of_the_features(tiny):
    features = [{"ids": [[0, *[9] * n, 2]], "n": n} for n in (30, 1, 17, 2)]
    assert scoring.forward(tiny, features, lambda encoder, batch: [f["n"] for f in batch["features"]], budget=64) == [30, 1, 17, 2]


@pytest.mark.parametrize(("layers", "expected"), [(24, 14), (12, 7), (4, 2), (2, 1)])
def test_default_retrieval_layer(tiny, layers, expected):
    tiny.config.num_hidden_layers = layers
    assert scoring.retrieval_layer(tiny) == expected


def test_a_layers_states_are_that_layers(tiny):
    ids = torch.tensor([[0, 9, 10, 2]])
    first, last = tiny.hidden_layers(ids, [1, 2])
    assert torch.equal(last, tiny.hidden(ids)) and not torch.equal(first, last)
