"""Predictions and scores per language: the same forward pass that timing measures."""

from collections.abc import Sequence

import numpy as np
import torch

from xtools.batching import collate, length, scoring_order
from xtools.encoder import Encoder, check_length, pool
from xtools.tasks import Task, format_of

ENCODED = 50_000  # rows that are encoded at a time
HELD = 2**30  # bytes of sentence vectors that are kept in fp32, and of all layers where they are swept
TOKENS = {"cpu": 1024, "cuda": 65_536}  # of a scoring batch, padding included: what a core's cache holds, what fills a GPU


@torch.inference_mode()
def forward(encoder: Encoder, features: Sequence[dict], output, budget: int | None = None) -> list:
    """`output(hidden, batch)`, one item per feature, over length-sorted batches; returned in the features' order."""
    results = [None] * len(features)
    for indices, batch in batches(encoder, features, budget):
        for i, item in zip(indices, output(encoder, batch), strict=True):
            results[i] = item
    return results


def batches(encoder: Encoder, features: Sequence[dict], budget: int | None = None):
    """The features' indices and their batch, of like lengths, longest first, of at most `budget` tokens."""
    lengths = [length(f) * len(f["ids"]) for f in features]
    for indices in scoring_order(lengths, budget or TOKENS[encoder.device.type]):
        yield indices, collate([features[i] for i in indices], encoder.tokenizer.pad_token_id)


def encoded(encoder: Encoder, task: Task, rows: list[dict], max_length: int) -> Sequence[dict]:
    """The rows' features, kept for the next cell with the same rows.

    Raises Problem when the encoder cannot read as many tokens.
    """
    from xtools import features  # `make bench` needs neither it nor what it imports

    check_length(encoder, max_length, task.name)
    return features.load(features.content(rows), lambda: rows, encoder.tokenizer, task, max_length)


def predict(encoder: Encoder, head: torch.nn.Module, task: Task, rows: list[dict], max_length: int) -> tuple[list, int]:
    """One prediction per row, in fp32, and how many rows were cut to fit."""
    form, encoder, features = format_of(task), encoder.exact(), encoded(encoder, task, rows, max_length)

    def output(encoder, batch):
        return form.decode(head(encoder.hidden(batch["ids"]), batch), batch, task)

    parts = forward(encoder, features, output)
    return form.assemble(features, parts, rows), sum(f["cut"] for f in features)


def evaluate(encoder: Encoder, head: torch.nn.Module, task: Task, rows: list[dict], max_length: int, language: str) -> tuple[dict, list]:
    """Scores (percent) with the number of rows and of cut rows, and the predictions."""
    predictions, cut = predict(encoder, head, task, rows, max_length)
    return format_of(task).score(predictions, rows, task, language) | {"n": len(rows), "cut": cut}, predictions


def are_few(rows: int, layers: int, hidden: int) -> bool:
    """Whether sentence vectors of some layers take `HELD` bytes at most in fp32."""
    return 4 * rows * layers * hidden <= HELD


def embed(encoder: Encoder, task: Task, rows: list[dict], layers: list[int], pooling: str, max_length: int) -> np.ndarray:
    """Sentence vectors [layers, rows, hidden] of the rows' text: as pooled, in fp32, where they are few; else of length 1 and in fp16, and
    each text is run once. Rounding so moves a cosine by under 0.001."""
    texts = [row["text"] for row in rows]
    if are_few(len(rows), len(layers), encoder.config.hidden_size):
        return _embed(encoder, task, texts, layers, pooling, max_length, np.float32)
    place = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    vectors = _embed(encoder, task, [*place], layers, pooling, max_length, np.float16)
    return vectors if len(place) == len(texts) else vectors[:, [place[text] for text in texts]]


@torch.inference_mode()
def _embed(encoder: Encoder, task: Task, texts: list[str], layers: list[int], pooling: str, max_length: int, kind: type) -> np.ndarray:
    """As `embed`, in one kind of number, `ENCODED` texts at a time: a million candidates do not fit as tokens."""
    encoder = encoder.exact()
    vectors = np.empty((len(layers), len(texts), encoder.config.hidden_size), kind)
    for start in range(0, len(texts), ENCODED):
        features = encoded(encoder, task, [{"text": text} for text in texts[start : start + ENCODED]], max_length)
        for indices, batch in batches(encoder, features):
            for layer, hidden in enumerate(encoder.hidden_layers(batch["ids"], layers)):
                pooled = pool(hidden, batch["ids"], encoder.tokenizer.pad_token_id, pooling)
                if kind == np.float16:
                    pooled = torch.nn.functional.normalize(pooled, dim=1)
                vectors[layer, [start + i for i in indices]] = pooled.cpu().numpy()
    return vectors


def retrieval_layer(encoder: Encoder) -> int:
    """Default layer for sentence vectors: 7/12 of the depth, the 14th of XLM-R large's 24 as in Phang et al.'s released code."""
    return max(1, round(encoder.config.num_hidden_layers * 14 / 24))


def beats_chance(score: float, chance: float, n: int) -> bool:
    """Whether a score (percent) on `n` rows lies above chance by more than two standard errors of a guesser's; for a metric without chance,
    above one point."""
    return score > (chance + 2 * (chance * (100 - chance) / n) ** 0.5 if chance else 1.0)


def transfer_gap(scores: dict[str, float], source: str) -> float | None:
    """Source-language score minus the mean over the other languages (XTREME's definition); None without a source score or others."""
    others = [value for language, value in scores.items() if language != source]
    return scores[source] - sum(others) / len(others) if source in scores and others else None
