"""From encoded features to batches: length buckets that keep training order unbiased, token budgets for scoring, padding."""

import math
import random

import numpy as np
import torch

ROUND = 2
BUCKET = 64  # training batches per length-sorted bucket: wide enough to save padding, narrow enough to keep the order random


def length(feature: dict) -> int:
    """Tokens of a feature's longest sequence."""
    return max(len(ids) for ids in feature["ids"])


def training_order(lengths: list[int], batch_size: int, seed: str) -> list[list[int]]:
    """One epoch as batches of example indices: every example once, batches alike in length, their order and content random.

    Examples are shuffled, cut into buckets of `BUCKET` batches, sorted by length within a bucket, and the batches shuffled again.
    The batch size in examples, and so the learning curve, stays what the parameters say.
    """
    rng = random.Random(seed)
    order = list(range(len(lengths)))
    rng.shuffle(order)
    width, batches = batch_size * BUCKET, []
    for start in range(0, len(order), width):
        bucket = sorted(order[start : start + width], key=lengths.__getitem__)
        batches += [bucket[i : i + batch_size] for i in range(0, len(bucket), batch_size)]
    rng.shuffle(batches)
    return batches


def scoring_order(lengths: list[int], token_budget: int) -> list[list[int]]:
    """Batches of indices, longest first, such that sequences x longest length stays within `token_budget` (one sequence always fits)."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches, start = [], 0
    while start < len(order):
        n = max(1, token_budget // max(1, lengths[order[start]]))
        batches.append(order[start : start + n])
        start += n
    return batches


def pad(sequences: list, value: int) -> torch.Tensor:
    """Sequences as one tensor [sequences, width], filled with `value` on the right.

    The width is the longest length rounded up to a multiple of `ROUND`: each new shape costs the matrix library a new kernel.
    """
    padded = np.full((len(sequences), ROUND * math.ceil(max(map(len, sequences)) / ROUND)), value, dtype=np.int64)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded)


def collate(features: list[dict], pad_id: int) -> dict:
    """A batch: `ids` [sequences, longest] of all features' sequences in order, and the features themselves.

    A batch stays in the host's memory: the encoder moves what it needs, so that nothing has to be asked of the device.
    """
    return {"ids": pad([ids for feature in features for ids in feature["ids"]], pad_id), "features": features}


def moved(values, device: torch.device) -> torch.Tensor:
    """Values as a tensor on a device, without waiting for what the device is doing."""
    return torch.as_tensor(values).to(device, non_blocking=True)
