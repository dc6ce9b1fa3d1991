"""Dropout at a fraction of its cost on a CPU, where torch draws a number of its generator for every element, one after the other: a quarter of
a training step in bf16. Here one draw of 64 bits is split among four elements."""

import contextlib

import torch

LEVELS = 2**16  # of 16 bits: a rate is rounded to the nearest of so many


def mask(like: torch.Tensor, rate: float) -> torch.Tensor:
    """Zeros at the given rate, above 0, and elsewhere, what keeps the mean (Srivastava et al. 2014, section 10), of the shape and type of `like`;
    drawn from torch's generator."""
    dropped, n = round(rate * LEVELS), like.numel()
    bits = torch.empty((n + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:n].view(like.shape)
    kept, zero = like.new_tensor(LEVELS / max(1, LEVELS - dropped)), like.new_zeros(())
    return torch.where(bits > dropped - LEVELS // 2 - 1, kept, zero)


def quick(input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    """As `torch.nn.functional.dropout`, with other random numbers."""
    return input * mask(input, p) if training and p > 0 else input


@contextlib.contextmanager
def on(device: torch.device):
    """While it lasts, dropout is quick wherever a model calls torch's, on a CPU; a GPU draws in parallel, and nothing changes there.

    The function is replaced in its module: a TorchFunctionMode would not reach what is computed again within a backward pass.
    """
    functions = torch.nn.functional
    own = functions.dropout
    if device.type == "cpu":
        functions.dropout = quick
    try:
        yield
    finally:
        functions.dropout = own
