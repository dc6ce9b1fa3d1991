import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xtools.batching import ROUND, collate, pad, scoring_order, training_order

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=600)


@given(LENGTHS, st.integers(1, 40), st.text(max_size=3))
def test_an_epoch_gives_every_example_once_in_batches_of_the_stated_size(lengths, size, seed):
    batches = training_order(lengths, size, seed)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)
    assert batches == training_order(lengths, size, seed)


def test_buckets_save_padding_and_keep_order_random():
    lengths = np.random.default_rng(0).integers(5, 100, 5000).tolist()
    batches = training_order(lengths, 32, "0")
    padded = sum(max(lengths[i] for i in b) * len(b) for b in batches)
    assert padded / sum(lengths) < 1.12
    differences = []
    for seed in range(20):
        means = [np.mean([lengths[i] for i in b]) for b in training_order(lengths, 32, str(seed))]
        differences.append(np.mean(means[:78]) - np.mean(means[78:]))
    assert abs(np.mean(differences)) < 3, "short examples must not come first"


@given(LENGTHS, st.integers(1, 1000))
def test_scoring_batches_fit_the_budget_and_lose_nothing(lengths, budget):
    batches = scoring_order(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    assert all(len(b) == 1 or len(b) * max(lengths[i] for i in b) <= budget for b in batches)


def test_padding_is_on_the_right_and_rounded():
    ids = pad([[5, 6], [7]], 1)
    assert ids.shape == (2, ROUND)
    assert ids[1].tolist() == [7] + [1] * (ROUND - 1)


def test_collate_keeps_the_order_of_sequences():
    batch = collate([{"ids": [[1, 2], [3]]}, {"ids": [[4], [5, 6]]}], 0)
    assert batch["ids"][:, 0].tolist() == [1, 3, 4, 5]
