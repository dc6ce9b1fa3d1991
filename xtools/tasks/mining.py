"""Mining: which sentences of two corpora are translations of each other, most of which have none; F1 of the mined pairs.

Queries are the corpus in another language, candidates the one in the source language; vectors are as retrieval's, of one layer: the one
that the study names, or the default. The threshold alone is tuned on the held-out fifth.
"""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from xtools.tasks import retrieval, search
from xtools.tasks.entry import Hub, Searched, Task
from xtools.tasks.files import lines

COLUMNS, LOSS_IS_MEAN = retrieval.COLUMNS, retrieval.LOSS_IS_MEAN
CAPS_QUERIES = False  # mining among fewer sentences is another task
NEIGHBOURS = 4  # of the margin score (Artetxe and Schwenk 2019; XTREME's setting)
HELD_OUT = 5  # every so-manieth query tunes the threshold and is not scored

# A sentence is encoded, and a dual encoder trained, as for retrieval.
encode, Head, loss = retrieval.encode, retrieval.Head, retrieval.loss

Pair = tuple[float, str, str]  # a mined pair: its margin, the ids of query and candidate


def retrieve(
    task: Task, queries: list[dict], candidates: list[dict], q: np.ndarray, c: np.ndarray, language: str, device: torch.device = search.CPU
) -> Searched:
    """Mine pairs over all sentences, by the vectors [rows, hidden] of queries and candidates; the queries that did not tune the threshold
    are scored, each with one candidate or none. Large sets are searched on `device`. Beside stands what MTEB has of the corpora: of sentences
    with a counterpart the nearest one, whatever its margin."""
    unique_queries, unique_candidates = deduplicate(queries, candidates)
    x, y = _of(unique_queries, queries, q), _of(unique_candidates, candidates, c)
    pairs = mine_rows(unique_queries, unique_candidates, x, y, device)
    held_out = unique_queries[::HELD_OUT]
    scored = [row for i, row in enumerate(unique_queries) if i % HELD_OUT]
    threshold = tune(pairs, held_out)
    predictions = keep_above(pairs, threshold, scored)
    extra = {"n": len(scored), "threshold": threshold if math.isfinite(threshold) else None, "held_out": len(held_out)}
    return Searched(score(predictions, scored, task, language) | nearest(queries, candidates, q, c, device) | extra, predictions, scored)


def nearest(queries: list[dict], candidates: list[dict], q: np.ndarray, c: np.ndarray, device: torch.device) -> dict[str, float]:
    """MTEB's BUCC (`retrieval.matched`), over the gold pairs, among all candidates; nothing where there is no pair."""
    pairs = [(i, gold) for i, row in enumerate(queries) for gold in row["gold"]]
    if not pairs:
        return {}
    found = search.nearest(q[[i for i, _ in pairs]], c, 1, device)[1][:, 0]
    return retrieval.matched([gold for _, gold in pairs], [candidates[i]["id"] for i in found])


def deduplicate(queries: list[dict], candidates: list[dict]) -> tuple[list[dict], list[dict]]:
    """Queries and candidates with each text once; a query's gold is that of all queries with its text, among the candidates kept."""
    unique_queries, query_of = unify(queries)
    unique_candidates, candidate_of = unify(candidates)
    gold: dict[str, set] = {row["id"]: set() for row in unique_queries}
    for row in queries:
        gold[query_of[row["id"]]] |= {candidate_of[candidate] for candidate in row["gold"]}
    return [row | {"gold": sorted(gold[row["id"]])} for row in unique_queries], unique_candidates


def unify(rows: list[dict]) -> tuple[list[dict], dict[str, str]]:
    """Rows with each text once, and for every id the id of the row that stands for it (BUCC's corpora repeat sentences)."""
    first: dict[str, dict] = {}
    alias = {row["id"]: first.setdefault(row["text"], row)["id"] for row in rows}
    return list(first.values()), alias


def _of(chosen: list[dict], rows: list[dict], vectors: np.ndarray) -> np.ndarray:
    """The vectors of some of the rows; no copy where they are all of them."""
    if len(chosen) == len(rows):
        return vectors
    place = {row["id"]: i for i, row in enumerate(rows)}
    return vectors[[place[row["id"]] for row in chosen]]


def mine_rows(queries: list[dict], candidates: list[dict], x: np.ndarray, y: np.ndarray, device: torch.device) -> list[Pair]:
    """As `mine`, with the rows' ids."""
    return [(margin, queries[i]["id"], candidates[j]["id"]) for margin, i, j in mine(x, y, device)]


def mine(x: np.ndarray, y: np.ndarray, device: torch.device = search.CPU) -> list[tuple[float, int, int]]:
    """Pairs of rows of x and y, (score, row of x, row of y), best first, each row in one pair at most.

    The score is the ratio margin: the cosine over the mean of both sides' mean cosine to their `NEIGHBOURS` nearest (Artetxe and
    Schwenk 2019, equation 4). Each row of either side proposes its best neighbour; proposals are taken greedily (XTREME's "max"),
    of equal ones x's before y's, and the first row's first.
    """
    (forward, to_y), (backward, to_x) = search.mutual(x, y, NEIGHBOURS, device)
    mean_x, mean_y = forward.mean(1), backward.mean(1)
    margin_x = forward / ((mean_x[:, None] + mean_y[to_y]) / 2)
    margin_y = backward / ((mean_y[:, None] + mean_x[to_x]) / 2)
    best_x, best_y = margin_x.argmax(1), margin_y.argmax(1)
    proposals = [(float(margin_x[i, j]), i, int(to_y[i, j])) for i, j in enumerate(best_x)]
    proposals += [(float(margin_y[i, j]), int(to_x[i, j]), i) for i, j in enumerate(best_y)]
    return _greedy(sorted(proposals, key=lambda proposal: -proposal[0]))


def _greedy(proposals: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """The proposals, from the first on, of which neither side is taken yet."""
    taken_x, taken_y, pairs = set(), set(), []
    for margin, i, j in proposals:
        if i not in taken_x and j not in taken_y:
            taken_x.add(i)
            taken_y.add(j)
            pairs.append((margin, i, j))
    return pairs


def tune(pairs: list[Pair], held_out: list[dict]) -> float:
    """The threshold that is best for the pairs of the held-out queries."""
    gold = {row["id"]: row["gold"] for row in held_out}
    judged = [(margin, candidate in gold[query]) for margin, query, candidate in pairs if query in gold]
    return best_threshold(judged, sum(map(len, gold.values())))


def best_threshold(judged: list[tuple[float, bool]], n_gold: int) -> float:
    """The threshold with the best F1 for mined pairs (score, right), best first, of `n_gold` gold pairs; infinite where none is right."""
    best, threshold, right = 0.0, math.inf, 0
    for i, (margin, is_right) in enumerate(judged):
        right += is_right
        f1 = 2 * right / (i + 1 + n_gold)
        if right and f1 > best:
            below = judged[i + 1][0] if i + 1 < len(judged) else margin
            best, threshold = f1, (margin + below) / 2
    return threshold


def keep_above(pairs: list[Pair], threshold: float, queries: list[dict]) -> list[list[str]]:
    """The candidate of each query whose pair reaches the threshold; none for the others."""
    mined = {query: [candidate] for margin, query, candidate in pairs if margin >= threshold}
    return [mined.get(row["id"], []) for row in queries]


def pair_f1(predicted: set, gold: set) -> float:
    """F1 of a set of pairs, in [0, 1]."""
    return 2 * len(predicted & gold) / (len(predicted) + len(gold)) if predicted or gold else 0.0


def score(predictions: list[list[str]], rows: list[dict], task: Task, language: str) -> dict[str, float]:
    """F1 of pairs in percent, from the candidate ids that were mined for each query."""
    predicted = {(row["id"], candidate) for mined, row in zip(predictions, rows, strict=True) for candidate in mined}
    return {"f1": 100 * pair_f1(predicted, {(row["id"], candidate) for row in rows for candidate in row["gold"]})}


# ---------------------------------------------------------------- for people and files


SEQUENCES, gold_text = retrieval.SEQUENCES, retrieval.gold_text


def prediction_text(prediction: list[str], row: dict, task: Task) -> str:
    return row["texts"][prediction[0]] if prediction else "(nothing mined)"


def extension(task: Task) -> str:
    return "tsv"


def file_text(pairs: list, task: Task, language: str, rows: Callable[[], list[dict]]) -> str:
    """BUCC's ids of a mined pair a line."""
    mined = [(_number(query, language), _number(candidates[0], "en")) for query, candidates in pairs if candidates]
    return "".join(f"{foreign}\t{english}\n" for foreign, english in mined)


def _number(identity: str, language: str) -> str:
    """BUCC's own id of a sentence, from its number."""
    return f"{language}-{int(identity.rpartition('-')[2]):09d}"


def score_files(predicted: Path, gold: Path, task: Task, language: str) -> dict[str, float]:
    return {"f1": 100 * pair_f1(_pairs(predicted), _pairs(gold))}


def _pairs(path: Path) -> set[tuple[str, ...]]:
    return {tuple(line.split("\t")) for line in lines(path)}


# ---------------------------------------------------------------- tasks


def _bucc_queries(row: dict) -> list[dict]:
    """The foreign corpus of the one row that holds both; gold pairs count from 1."""
    gold: dict[int, list[str]] = {}
    for foreign, english in row["gold"]:
        gold.setdefault(foreign, []).append(f"en-{english}")
    sentences = enumerate(row["sentence1"], 1)
    return [{"id": f"foreign-{i}", "text": text.strip(), "gold": gold.get(i, [])} for i, text in sentences]


def _bucc_candidates(row: dict) -> list[dict]:
    return [{"id": f"en-{i}", "text": text.strip()} for i, text in enumerate(row["sentence2"], 1)]


BUCC = ("mteb/BUCC", "{lang}-en", "test")  # the whole corpora, distractors included; google/xtreme has the gold pairs only
BUCC_ENGLISH = {"de": 399_337, "fr": 369_810, "ru": 558_401, "zh": 88_860}  # English sentences; the other corpora are about as long

TASKS = [
    Task(
        "bucc2018",
        "mining",
        "f1",
        "mining",
        {
            "test": Hub(*BUCC, _bucc_queries, rows=1, examples=BUCC_ENGLISH),
            "candidates": Hub(*BUCC, _bucc_candidates, rows=1, examples=BUCC_ENGLISH),
        },
        languages=tuple(BUCC_ENGLISH),
    ),
]
