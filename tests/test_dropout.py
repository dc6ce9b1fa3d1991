"""Quick dropout: as often as asked, every element by itself, the mean kept, and the same again where a forward pass is computed again."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from xtools import dropout

CPU = torch.device("cpu")


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_every_place_is_dropped_as_often_as_asked_and_the_mean_stays(rate):
    torch.manual_seed(0)
    n = 400_000
    found = dropout.mask(torch.zeros(n), rate)
    error = 5 * (rate * (1 - rate) / (n / 4)) ** 0.5
    for lane in range(4):  # a draw of 64 bits serves four neighbours
        assert float((found[lane::4] == 0).float().mean()) == pytest.approx(rate, abs=error)
    assert float(found.mean()) == pytest.approx(1, abs=4 * (rate / (1 - rate) / n) ** 0.5)
    assert len(found.unique()) == 2


def test_neighbours_are_independent():
    torch.manual_seed(1)
    dropped = (dropout.mask(torch.zeros(400_000), 0.3) == 0).float() - 0.3
    for apart in (1, 2, 3, 4, 64):
        assert abs(float((dropped[apart:] * dropped[:-apart]).mean())) < 5 * 0.3 * 0.7 / 400_000**0.5


def test_shapes_types_and_the_end_of_the_range():
    for shape in ((3,), (2, 5, 7), ()):
        assert dropout.mask(torch.zeros(shape, dtype=torch.bfloat16), 0.4).shape == shape
    assert dropout.mask(torch.zeros(2, dtype=torch.bfloat16), 0.4).dtype == torch.bfloat16
    assert not dropout.mask(torch.zeros(1000), 1.0).any()


def test_what_models_call_is_quick_while_it_lasts_and_hangs_on_the_seed():
    layer, x = torch.nn.Dropout(0.25), torch.ones(1000)
    with dropout.on(CPU):
        torch.manual_seed(3)
        module = layer(x)
        torch.manual_seed(3)
        function = torch.nn.functional.dropout(x, p=0.25)
        assert torch.equal(layer.eval()(x), x) and torch.equal(torch.nn.functional.dropout(x, 0.0), x)
    torch.manual_seed(3)
    assert torch.equal(module, function) and torch.equal(module, dropout.mask(x, 0.25))
    torch.manual_seed(3)
    assert not torch.equal(module, torch.nn.functional.dropout(x, p=0.25)), "outside, torch draws its own"


def test_what_is_computed_again_for_the_backward_pass_is_dropped_again():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.Dropout(0.5), torch.nn.Linear(64, 1))

    def gradient(again: bool) -> torch.Tensor:
        layers.zero_grad()
        torch.manual_seed(7)
        with dropout.on(CPU):
            x = torch.ones(8, 64, requires_grad=True)
            (checkpoint(layers, x, use_reentrant=False) if again else layers(x)).sum().backward()
        return layers[0].weight.grad.clone()

    assert torch.equal(gradient(False), gradient(True))
