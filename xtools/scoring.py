"""Predictions and scores per language: the same forward pass that timing measures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xtools.batching import collate, length, scoring_order
from xtools.encoder import Encoder, check_length, pool
from xtools.tasks import Task, format_of, retrieval

ENCODED = 50_000
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


@torch.inference_mode()
def embed(encoder: Encoder, task: Task, rows: list[dict], layers: list[int], pooling: str, max_length: int) -> np.ndarray:
    """Sentence vectors [layers, rows, hidden] of the rows' text, `ENCODED` rows at a time: a million candidates do not fit as tokens."""
    encoder = encoder.exact()
    found = np.empty((len(layers), len(rows), encoder.config.hidden_size), dtype=np.float32)
    for start in range(0, len(rows), ENCODED):
        chunk = [{"text": row["text"]} for row in rows[start : start + ENCODED]]
        features = encoded(encoder, task, chunk, max_length)
        for indices, batch in batches(encoder, features):
            for layer, hidden in enumerate(encoder.hidden_layers(batch["ids"], layers)):
                pooled = pool(hidden, batch["ids"], encoder.tokenizer.pad_token_id, pooling)
                found[layer, [start + i for i in indices]] = pooled.cpu().numpy()
    return found


@dataclass(frozen=True)
class Searched:
    """What a retrieval task gave in one language: scores, predictions (candidate ids, best first), and the queries that were scored."""

    scores: dict
    predictions: list[list[str]]
    rows: list[dict]


def retrieve(task: Task, queries: list[dict], candidates: list[dict], q: np.ndarray, c: np.ndarray, language: str) -> Searched:
    """Search or mine with the vectors [rows, hidden] of queries and candidates."""
    if task.metric == "f1":
        return _mine(task, queries, candidates, q, c, language)
    _, found = retrieval.search(q, c)
    predictions = [[candidates[i]["id"] for i in row] for row in found]
    return Searched(retrieval.score(predictions, queries, task, language) | {"n": len(queries)}, predictions, queries)


def _mine(task: Task, queries: list[dict], candidates: list[dict], q: np.ndarray, c: np.ndarray, language: str) -> Searched:
    """Mine pairs over all sentences, each text once; every `HELD_OUT`-th query tunes the threshold, the others are scored."""
    (x_rows, x_alias), (y_rows, y_alias) = retrieval.unify(queries), retrieval.unify(candidates)
    x_place, y_place = ({row["id"]: i for i, row in enumerate(rows)} for rows in (queries, candidates))
    pairs = retrieval.mine(q[[x_place[r["id"]] for r in x_rows]], c[[y_place[r["id"]] for r in y_rows]])
    gold: dict[str, set] = {row["id"]: set() for row in x_rows}
    for row in queries:
        gold[x_alias[row["id"]]] |= {y_alias[candidate] for candidate in row["gold"]}
    held = {row["id"] for i, row in enumerate(x_rows) if i % retrieval.HELD_OUT == 0}
    mined = [(score, x_rows[i]["id"], y_rows[j]["id"]) for score, i, j in pairs]
    tuned = [(score, candidate in gold[query]) for score, query, candidate in mined if query in held]
    threshold = retrieval.best_threshold(tuned, sum(len(gold[query]) for query in held))
    kept = {query: [candidate] for score, query, candidate in mined if query not in held and score >= threshold}
    rows = [row | {"gold": sorted(gold[row["id"]])} for row in x_rows if row["id"] not in held]
    predictions = [kept.get(row["id"], []) for row in rows]
    extra = {"n": len(rows), "threshold": threshold if np.isfinite(threshold) else None, "held_out": len(held)}
    return Searched(retrieval.score(predictions, rows, task, language) | extra, predictions, rows)


def retrieval_layer(encoder: Encoder) -> int:
    """Default layer for sentence vectors: 7/12 of the depth, the 14th of XLM-R large's 24 as in Phang et al.'s released code."""
    return max(1, round(encoder.config.num_hidden_layers * 14 / 24))


def transfer_gap(scores: dict[str, float], source: str) -> float | None:
    """Source-language score minus the mean over the other languages (XTREME's definition); None without a source score or others."""
    others = [value for language, value in scores.items() if language != source]
    return scores[source] - sum(others) / len(others) if source in scores and others else None
