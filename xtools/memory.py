"""What training takes of a device's memory, and so into parts of how many tokens a batch is cut to fit (`training.Stream.parts`)."""

import os

import torch

from xtools import packing
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.tasks.classification import dropout

PART = 1536  # tokens of a training batch's part on a CPU: what a core's cache holds
ROOM = 600e6  # bytes that such a part may keep for its backward pass: long sequences come few at a time (at 250e6 training took 1.4 times as long)
USABLE = 0.9  # of a card's memory: the driver's own, the matrix library's workspaces and what lies scattered between blocks take the rest
SHORT = 32  # tokens: the sequences of a part are of like lengths, and some parts are of short ones
FUSED = ("sdpa", packing.NAME)  # attention that keeps no scores
for _cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    # For the matrix products of the last 1,024 shapes oneDNN, and what lies between it and torch, keep what they made. Parts have new shapes
    # each, which came to a gigabyte in a cell. Sixty-four are as fast, sixteen are not. Both read this when they make the first.
    os.environ.setdefault(_cache, "64")


def budget(encoder: Encoder, width: int, example: int) -> int:
    """Tokens of a training batch's part, whose longest sequence has `width` tokens and whose longest example `example`: on a GPU as many as
    its memory holds.

    Raises Problem when that is less than an example.
    """
    if encoder.device.type != "cuda":
        return max(example, min(PART, int(ROOM / per_token(encoder, width))))
    card = torch.cuda.get_device_properties(encoder.device)
    return fitting(encoder, width, example, card.total_memory, card.name)


def fitting(encoder: Encoder, width: int, example: int, capacity: int, card: str) -> int:
    """As `budget`, on a card of `capacity` [bytes].

    It hangs on what the card has, not on what is free at the moment, so that a study is cut in the same parts every time.
    """
    room = USABLE * capacity - step(encoder, 0, width)
    tokens = int((room + _embeddings(encoder)) / per_token(encoder, width)) if room >= 0 else 0
    if tokens < example:
        least = step(encoder, example, width) / USABLE
        how = "take a smaller encoder or a larger card" if _recomputes(encoder) else "set gradient_checkpointing: true"
        raise Problem(
            f"{encoder.config.model_type} of {encoder.config.num_hidden_layers} layers: to train it on {example} tokens takes "
            f"{least / 1e9:.1f} GB, and {card} has {capacity / 1e9:.1f}; {how}"
        )
    return tokens


def recompute(encoder: Encoder) -> Encoder:
    """The encoder, set to keep of each layer its input alone while it trains, and to compute the rest again for the backward pass (gradient
    checkpointing: Chen et al. 2016, section 4): less memory, a third more time, the same gradients.

    Raises Problem for an architecture that transformers cannot train so.
    """
    # What packing keeps cannot be checked for its shape, being nested tensors.
    encoder.config.use_cache = False  # it has no use here, and transformers would say that it turns it off
    try:
        encoder.model.activation_checkpointing_enable({"use_reentrant": False, "determinism_check": "none"})
    except ValueError as error:
        raise Problem(f"gradient_checkpointing: transformers does not know how for {encoder.config.model_type}; set it to false") from error
    return encoder


def step(encoder: Encoder, tokens: int, width: int) -> int:
    """Bytes at the peak of a training step whose parts have `tokens` tokens, in sequences of at most `width`.

    Weights, gradients and Adam's two moments in fp32 take 16 bytes a weight (Rajbhandari et al. 2020, section 3.1, has 16 too, for halves
    with fp32 copies). Under bf16 every matrix has a copy, 2 bytes a weight. To these comes the larger of what the forward pass keeps for
    the backward pass (`per_token`), and the gradient of the word embeddings, which is made whole for each part once all that is gone.
    """
    weights = sum(parameter.numel() for parameter in encoder.model.parameters())
    copies = 2 * weights - _embeddings(encoder) // 2 if encoder.precision == "bf16" else 0
    return 16 * weights + copies + max(int(tokens * per_token(encoder, width)), _embeddings(encoder))


def per_token(encoder: Encoder, width: int) -> float:
    """Bytes that the forward pass keeps of a token, and the backward pass takes on its way through a layer.

    As Korthikanti et al. 2022 (section 4.1) count them, for torch's autocast: in a layer of hidden size h and feed-forward size f, with b
    bytes a number (2 under bf16, else 4), queries, keys, values and their mixture keep 4 b h; the projections' input b h, under bf16 once
    for each of the three; the norms' inputs 8 h; the feed-forward layer's input b h and its two states 2 b f, or 4 b f where it is
    gated (ModernBERT, which also rotates queries and keys, 12 h); two masks of dropout 2 h. To these come scores of attention that is not
    fused (`_scores`) and relative positions (`_relative`). Recomputed, a layer keeps its input alone, 4 h, and one layer at a time the
    rest. The gradients of the layer at work take b (f + h) + 4 h and those of relative positions again, embeddings of size e 12 e.
    """
    config = encoder.config
    b, h = (2 if encoder.precision == "bf16" else 4), config.hidden_size
    f = getattr(config, "intermediate_size", None) or config.hidden_dim  # DistilBERT's name for it
    gated = config.model_type == "modernbert"
    layer = (3 if b == 2 else 1) * b * h + 5 * b * h + 8 * h + (4 if gated else 2) * b * f + (2 * h if dropout(config) else 0)
    layer += _scores(encoder, width) + _relative(encoder) + (12 * h if gated else 0)
    kept = 4 * h * config.num_hidden_layers + layer if _recomputes(encoder) else layer * config.num_hidden_layers
    return kept + b * (f + h) + 4 * h + 12 * getattr(config, "input_embedding_size", h) + _relative(encoder)


def _scores(encoder: Encoder, width: int) -> int:
    """Bytes that a layer's attention keeps of its scores for a token: none where it is fused; else of each head and other token the
    softmax in fp32, under bf16 its copy, and with dropout a mask and what is left; DeBERTa's, which gathers two more scores, 4 more."""
    config = encoder.config
    if config._attn_implementation in FUSED:
        return 0
    each = 4 + (2 if encoder.precision == "bf16" else 0) + (5 if dropout(config) else 0) + (4 if config.model_type == "deberta-v2" else 0)
    return each * config.num_attention_heads * width


def _relative(encoder: Encoder) -> int:
    """Bytes that a layer of DeBERTa keeps for a token of its 2 k relative positions (He et al. 2021, section 3.1): scores against them, both
    ways, and their two projections, which transformers repeats for each sequence; of sequences as short as `SHORT`."""
    config = encoder.config
    if config.model_type != "deberta-v2":
        return 0
    number = 2 if encoder.precision == "bf16" else 4
    return 4 * number * config.position_buckets * (config.num_attention_heads + config.hidden_size // SHORT)


def _embeddings(encoder: Encoder) -> int:
    """Bytes of the word embeddings in fp32."""
    return 4 * encoder.model.get_input_embeddings().weight.numel()


def _recomputes(encoder: Encoder) -> bool:
    return encoder.model.is_activation_checkpointing
