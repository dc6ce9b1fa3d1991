"""Packing: a batch as one row of tokens without padding, each sequence attending to itself alone.

The attention function below is registered with transformers, whose models are used unchanged; torch's nested tensors bring the fused
kernels for sequences of different lengths.
"""

import random
import statistics
import time
from functools import cache

import torch

from xtools.batching import moved

NAME = "packed"
FIRST_POSITION = {"xlm-roberta": lambda config: config.pad_token_id + 1, "bert": lambda config: 0}  # architectures that can be packed
AGREE = 0.05  # most that hidden states may differ, relative to their norm: bf16 rounds, fp32 stays below 1e-5
NO_KERNEL = ("No viable backend", "No available kernel", "not implemented for")  # how torch says so


@cache
def register() -> str:
    """Make the attention function known to transformers, which imports its models for that; its name there."""
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    def attention(module, query, key, value, attention_mask, offsets=None, width=None, dropout=0.0, scaling=None, **more):
        """Attention within each sequence of a packed row: queries, keys and values [1, heads, tokens, size] to [1, tokens, heads, size].

        `offsets` [sequences + 1] are where sequences start and end, `width` bounds their length. Without offsets: as `sdpa`.
        """
        if offsets is None:
            return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more)

        def nested(states: torch.Tensor) -> torch.Tensor:
            rows = states[0].transpose(0, 1).contiguous()
            return torch.nested.nested_tensor_from_jagged(rows, offsets, min_seqlen=1, max_seqlen=width).transpose(1, 2)

        mixed = torch.nn.functional.scaled_dot_product_attention(
            nested(query), nested(key), nested(value), dropout_p=dropout, scale=scaling
        )
        return mixed.transpose(1, 2).values().unsqueeze(0), None

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def run(body: torch.nn.Module, inputs: dict, first_position: int, device: torch.device, **more):
    """What `body` returns, its hidden states [sequences, tokens, hidden] with zeros at padding, computed without padding.

    `inputs` are those of a padded batch, padding on the right, in the host's memory: where sequences lie is found out there, since the
    host would have to wait for the device to tell it. Positions start at `first_position` in every sequence: XLM-R's at 2.
    """
    keep = inputs["attention_mask"].bool()
    packed = {name: value[keep].unsqueeze(0) for name, value in inputs.items() if name != "attention_mask"}
    packed["position_ids"] = (keep.cumsum(1) - 1 + first_position)[keep].unsqueeze(0)
    packed["offsets"] = torch.nn.functional.pad(keep.sum(1).cumsum(0), (1, 0))
    places = moved(keep.flatten().nonzero()[:, 0], device)
    found = body(**{name: moved(value, device) for name, value in packed.items()}, width=keep.shape[1], **more)

    def padded(states: torch.Tensor) -> torch.Tensor:
        return states.new_zeros(keep.numel(), states.shape[-1]).index_copy(0, places, states[0]).view(*keep.shape, -1)

    found.last_hidden_state = padded(found.last_hidden_state)
    if found.hidden_states is not None:
        found.hidden_states = tuple(padded(states) for states in found.hidden_states)
    return found


def trial(encoder) -> str:
    """Why batches of an encoder are better padded here; empty where packing is faster, forward and backward, and gives the same states.

    Measured in a second or two on 32 sequences of log-normal lengths, as real sentence pairs have, padded to the longest of them.
    """
    if encoder.config.model_type not in FIRST_POSITION:
        return f"{encoder.config.model_type} cannot be packed"
    ids = _sample(encoder)
    seconds: dict[bool, list[float]] = {True: [], False: []}
    states = {}
    training = encoder.model.training
    encoder.model.eval()
    try:
        for _ in range(6):
            for packed in (True, False):
                start = time.perf_counter()
                states[packed] = encoder.pack(packed).hidden(ids)
                states[packed].square().mean().backward()
                states[packed] = states[packed].detach()
                if encoder.device.type == "cuda":
                    torch.cuda.synchronize(encoder.device)
                seconds[packed].append(time.perf_counter() - start)
    except RuntimeError as error:
        # That torch has no fused kernel for a card, precision or head size is told by this class alone, and padding needs no such kernel.
        # Whatever else it may be (memory that is full, a fault) is no reason to go on with another way of computing.
        if not any(words in str(error) for words in NO_KERNEL):
            raise
        return f"torch cannot pack here ({' '.join(str(error).split())[:120]})"
    finally:
        encoder.pack(False)
        encoder.model.zero_grad(set_to_none=True)
        encoder.model.train(training)
    keep = (ids != encoder.tokenizer.pad_token_id).to(encoder.device)
    apart = float((states[True] - states[False])[keep].norm() / states[False][keep].norm())
    slower = statistics.median(seconds[True][1:]) / statistics.median(seconds[False][1:])
    if not apart < AGREE:
        return f"packed hidden states differ by {apart:.2g} of their size"
    return "" if slower < 1 else f"packing takes {slower:.2f} times as long"


def _sample(encoder) -> torch.Tensor:
    """Padded ids of 32 random sequences of 8 to 128 tokens."""
    rng, draws = random.Random(0), torch.Generator().manual_seed(0)
    most = min(128, encoder.config.max_position_embeddings - 2)
    lengths = [min(most, max(8, round(rng.lognormvariate(3.5, 0.5)))) for _ in range(32)]
    ids = torch.full((32, max(lengths)), encoder.tokenizer.pad_token_id)
    for row, n in zip(ids, lengths, strict=True):
        row[:n] = torch.randint(10, encoder.config.vocab_size, (n,), generator=draws)
    return ids
