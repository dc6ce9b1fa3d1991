"""Predictions and scores per language: the same forward pass that timing measures."""

import numpy as np
import torch

from xtools.batching import collate, length, scoring_order
from xtools.encoder import Encoder, pool
from xtools.tasks import Task, format_of, retrieval

TOKEN_BUDGET = 4096  # tokens of a scoring batch, padding included


@torch.inference_mode()
def forward(encoder: Encoder, features: list[dict], output, budget: int = TOKEN_BUDGET) -> list:
    """`output(hidden, batch)`, one item per feature, over length-sorted batches; returned in the features' order."""
    lengths = [length(f) * len(f["ids"]) for f in features]
    results = [None] * len(features)
    for indices in scoring_order(lengths, budget):
        batch = collate([features[i] for i in indices], encoder.tokenizer.pad_token_id, encoder.device)
        for i, item in zip(indices, output(encoder, batch), strict=True):
            results[i] = item
    return results


def predict(encoder: Encoder, head: torch.nn.Module, task: Task, rows: list[dict], max_length: int) -> tuple[list, int]:
    """One prediction per row, and how many rows were cut to fit."""
    form = format_of(task)
    features = form.encode(rows, encoder.tokenizer, task, max_length)

    def output(encoder, batch):
        return form.decode(head(encoder.hidden(batch["ids"]), batch), batch)

    parts = forward(encoder, features, output)
    return form.assemble(features, parts, rows), sum(f["cut"] for f in features)


def evaluate(encoder: Encoder, head: torch.nn.Module, task: Task, rows: list[dict], max_length: int) -> tuple[dict, list]:
    """Scores (percent) with the number of rows and of cut rows, and the predictions."""
    predictions, cut = predict(encoder, head, task, rows, max_length)
    return format_of(task).score(predictions, rows, task) | {"n": len(rows), "cut": cut}, predictions


def embed(encoder: Encoder, task: Task, rows: list[dict], column: str, layer: int, pooling: str, max_length: int) -> np.ndarray:
    """Sentence vectors [rows, hidden] of a text column from one layer."""
    features = retrieval.encode(rows, encoder.tokenizer, task, max_length, column)

    def output(encoder, batch):
        return pool(encoder.hidden(batch["ids"], layer), batch["ids"], encoder.tokenizer.pad_token_id, pooling).cpu().numpy()

    return np.stack(forward(encoder, features, output))


def retrieve(encoder: Encoder, task: Task, rows: list[dict], settings, max_length: int) -> tuple[dict, list]:
    """Scores and predictions of a retrieval task: source-language queries against an index of the other language."""
    layer = settings.layer or retrieval_layer(encoder)
    queries, index = (embed(encoder, task, rows, c, layer, settings.pooling, max_length) for c in ("source_text", "text"))
    predictions = retrieval.nearest(queries, index).tolist()
    return retrieval.score(predictions, rows, task) | {"n": len(rows), "layer": layer}, predictions


def retrieval_layer(encoder: Encoder) -> int:
    """Default layer for sentence vectors: 7/12 of the depth, the 14th of XLM-R large's 24 as in Phang et al.'s released code."""
    return max(1, round(encoder.config.num_hidden_layers * 14 / 24))


def transfer_gap(scores: dict[str, float], source: str) -> float | None:
    """Source-language score minus the mean over the other languages (XTREME's definition); None without a source score or others."""
    others = [value for language, value in scores.items() if language != source]
    return scores[source] - sum(others) / len(others) if source in scores and others else None
