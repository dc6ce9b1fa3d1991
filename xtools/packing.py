"""Packing: a batch as one row of tokens without padding, each sequence attending to itself alone.

The attention function below is registered with transformers, whose models are used unchanged; torch's nested tensors bring the fused
kernels for sequences of different lengths.
"""

import random
import statistics
import time

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "packed"
FIRST_POSITION = {"xlm-roberta": lambda config: config.pad_token_id + 1, "bert": lambda config: 0}  # architectures that can be packed
AGREE = 0.05  # largest difference of hidden states (of unit scale) in bf16; in fp32 it is below 1e-5


def attention(module, query, key, value, attention_mask, offsets=None, width=None, dropout=0.0, scaling=None, **more):
    """Attention within each sequence of a packed row: queries, keys and values [1, heads, tokens, size] to [1, tokens, heads, size].

    `offsets` [sequences + 1] are where sequences start and end, `width` bounds their length. Without offsets: as `sdpa`.
    """
    if offsets is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more)

    def nested(states: torch.Tensor) -> torch.Tensor:
        rows = states[0].transpose(0, 1).contiguous()
        return torch.nested.nested_tensor_from_jagged(rows, offsets, min_seqlen=1, max_seqlen=width).transpose(1, 2)

    mixed = torch.nn.functional.scaled_dot_product_attention(nested(query), nested(key), nested(value), dropout_p=dropout, scale=scaling)
    return mixed.transpose(1, 2).values().unsqueeze(0), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def run(body: torch.nn.Module, inputs: dict, first_position: int, **more):
    """The hidden states of `body`, [sequences, tokens, hidden] with zeros at padding, as tuple (last layer's, all layers' or None).

    `inputs` are those of a padded batch, padding on the right. Positions start at `first_position` in every sequence: XLM-R's at 2.
    """
    keep = inputs["attention_mask"].bool()
    offsets = torch.nn.functional.pad(keep.sum(1).cumsum(0), (1, 0))
    packed = {name: value[keep].unsqueeze(0) for name, value in inputs.items() if name != "attention_mask"}
    positions = (keep.cumsum(1) - 1 + first_position)[keep].unsqueeze(0)
    found = body(**packed, position_ids=positions, offsets=offsets, width=keep.shape[1], **more)

    def padded(states: torch.Tensor) -> torch.Tensor:
        rows = states.new_zeros(*keep.shape, states.shape[-1])
        rows[keep] = states[0]
        return rows

    return padded(found.last_hidden_state), [padded(states) for states in found.hidden_states or ()]


def pays(encoder) -> bool:
    """Whether packing is faster for an encoder here, forward and backward, and gives the same hidden states; measured, in a second or two.

    Lengths are log-normal, as real sentence pairs are, and padding is to the longest of 32. A device whose torch has no kernel for it
    does not pack.
    """
    if encoder.config.model_type not in FIRST_POSITION:
        return False
    rng = random.Random(0)
    most = min(128, encoder.config.max_position_embeddings - 2)
    lengths = [min(most, max(8, round(rng.lognormvariate(3.5, 0.5)))) for _ in range(32)]
    ids = torch.full((32, max(lengths)), encoder.tokenizer.pad_token_id)
    for row, n in zip(ids, lengths, strict=True):
        row[:n] = torch.randint(10, encoder.config.vocab_size, (n,), generator=torch.Generator().manual_seed(n))
    ids, seconds, states = ids.to(encoder.device), {True: [], False: []}, {}
    training, encoder.model = encoder.model.training, encoder.model.eval()
    try:
        for _ in range(6):
            for packed in (True, False):
                start = time.perf_counter()
                states[packed] = encoder.pack(packed).hidden(ids)
                states[packed].square().mean().backward()
                seconds[packed].append(float(states[packed].detach().sum() * 0) + time.perf_counter() - start)  # waits for the device
    except (RuntimeError, NotImplementedError):
        return False
    finally:
        encoder.pack(False)
        encoder.model.zero_grad(set_to_none=True)
        encoder.model.train(training)
    keep = ids != encoder.tokenizer.pad_token_id
    agree = (states[True] - states[False])[keep].abs().max() < AGREE * states[False][keep].std()
    return bool(agree) and statistics.median(seconds[True][1:]) < statistics.median(seconds[False][1:])
