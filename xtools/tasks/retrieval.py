"""Retrieval: nearest neighbours between sentence vectors, of a plain encoder or of one trained as a dual encoder.

Queries are a test set's rows, in each language; candidates are what they search. A task's metric says how it is scored: accuracy of the
nearest candidate, F1 of mined pairs, mean average precision or reciprocal rank of the first 20.
"""

import math
import re

import faiss
import numpy as np
import torch

from xtools.tasks import Hub, Task

K = 20  # candidates kept per query: XTREME-R's retrieval metrics look no further
NEIGHBOURS = 4  # of the margin score (Artetxe and Schwenk 2019; XTREME's setting)
BLOCK = 65_536  # candidates searched at a time
HELD_OUT = 5  # every so-manieth query of a mining task tunes the threshold and is not scored


def encode(rows: list[dict], tokenizer, task: Task, max_length: int) -> list[dict]:
    """One sequence per row, or two where the row has a positive beside its text; what is longer than `max_length` is cut and marked."""
    columns = ["text", "positive"] if rows and "positive" in rows[0] else ["text"]
    encoded = [tokenizer([row[c] for row in rows], return_attention_mask=False)["input_ids"] for c in columns]
    features = []
    for i, sequences in enumerate(zip(*encoded, strict=True)):
        ids = [s if len(s) <= max_length else [*s[: max_length - 1], s[-1]] for s in sequences]
        features.append({"ids": ids, "row": i, "cut": any(len(s) > max_length for s in sequences)})
    return features


class Head(torch.nn.Module):
    """A dual encoder's only weight beside the encoder: the scale of cosines, learned from 100 on as in XTREME-R's code."""

    def __init__(self, config, task: Task):
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.zeros(()))

    def forward(self, hidden: torch.Tensor, batch: dict) -> torch.Tensor:
        """Hidden states [2 x features, tokens, hidden] of queries and positives in turn to scaled cosines [features, features]."""
        vectors = torch.nn.functional.normalize(hidden[:, 0], dim=-1)
        return 100 * self.log_scale.exp() * vectors[0::2] @ vectors[1::2].T


def loss(logits: torch.Tensor, batch: dict) -> torch.Tensor:
    """Cross-entropy of each query's own positive among all of the batch's (in-batch softmax)."""
    return torch.nn.functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def search(queries: np.ndarray, index: np.ndarray, k: int = K) -> tuple[np.ndarray, np.ndarray]:
    """The `k` candidates of `index` [m, dim] with the largest cosine to each of `queries` [n, dim]: cosines and rows, both [n, k]."""
    queries = _unit(queries)
    best = faiss.ResultHeap(len(queries), min(k, len(index)), keep_max=True)
    for start in range(0, len(index), BLOCK):  # a normalised copy of all of a large index would not fit beside it
        block = _unit(index[start : start + BLOCK])
        cosines, found = faiss.knn(queries, block, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        best.add_result(cosines, found + start)
    best.finalize()
    return best.D, best.I


def _unit(x: np.ndarray) -> np.ndarray:
    """A copy of x [n, dim] with rows of length 1, in fp32."""
    x = np.array(x, dtype=np.float32, order="C")
    faiss.normalize_L2(x)
    return x


def mine(x: np.ndarray, y: np.ndarray) -> list[tuple[float, int, int]]:
    """Pairs of rows of x and y, (score, row of x, row of y), best first, each row in one pair at most.

    The score is the ratio margin: the cosine over the mean of both sides' mean cosine to their `NEIGHBOURS` nearest (Artetxe and
    Schwenk 2019, equation 4). Each row of either side proposes its best neighbour; proposals are taken greedily (XTREME's "max").
    """
    forward, to_y = search(x, y, NEIGHBOURS)
    backward, to_x = search(y, x, NEIGHBOURS)
    mean_x, mean_y = forward.mean(1), backward.mean(1)
    margin_x = forward / ((mean_x[:, None] + mean_y[to_y]) / 2)
    margin_y = backward / ((mean_y[:, None] + mean_x[to_x]) / 2)
    best_x, best_y = margin_x.argmax(1), margin_y.argmax(1)
    proposals = [(float(margin_x[i, j]), i, int(to_y[i, j])) for i, j in enumerate(best_x)]
    proposals += [(float(margin_y[i, j]), int(to_x[i, j]), i) for i, j in enumerate(best_y)]
    taken_x, taken_y, pairs = set(), set(), []
    for score, i, j in sorted(proposals, key=lambda p: -p[0]):
        if i not in taken_x and j not in taken_y:
            taken_x.add(i)
            taken_y.add(j)
            pairs.append((score, i, j))
    return pairs


def best_threshold(scored: list[tuple[float, bool]], n_gold: int) -> float:
    """The threshold with the best F1 for mined pairs (score, right), best first, of `n_gold` gold pairs; infinite where none is right."""
    best, threshold, right = 0.0, math.inf, 0
    for i, (score, is_right) in enumerate(scored):
        right += is_right
        f1 = 2 * right / (i + 1 + n_gold)
        if right and f1 > best:
            below = scored[i + 1][0] if i + 1 < len(scored) else score
            best, threshold = f1, (score + below) / 2
    return threshold


def unify(rows: list[dict]) -> tuple[list[dict], dict[str, str]]:
    """Rows with each text once, and for every id the id of the row that stands for it (BUCC's corpora repeat sentences)."""
    first: dict[str, dict] = {}
    alias = {row["id"]: first.setdefault(row["text"], row)["id"] for row in rows}
    return list(first.values()), alias


def average_precision(predicted: list[str], gold: list[str], k: int = K) -> float:
    """AP@k: precision at the rank of each right candidate among the first k, summed, over min(number of right ones, k)."""
    right, total, wanted = 0, 0.0, set(gold)
    for rank, candidate in enumerate(predicted[:k], 1):
        if candidate in wanted:
            right += 1
            total += right / rank
    return total / min(len(wanted), k)


def reciprocal_rank(predicted: list[str], gold: list[str], k: int = K) -> float:
    """One over the rank of the first right candidate among the first k, or 0."""
    return next((1 / rank for rank, candidate in enumerate(predicted[:k], 1) if candidate in gold), 0.0)


def pair_f1(predicted: set, gold: set) -> float:
    """F1 of a set of pairs, in [0, 1]."""
    return 2 * len(predicted & gold) / (len(predicted) + len(gold)) if predicted or gold else 0.0


def score(predictions: list[list[str]], rows: list[dict], task: Task, language: str) -> dict[str, float]:
    """The task's metric in percent, from the candidate ids predicted for each query, best first (mining: one or none)."""
    both = list(zip(predictions, rows, strict=True))
    if task.metric == "f1":
        predicted = {(row["id"], candidate) for found, row in both for candidate in found}
        return {"f1": 100 * pair_f1(predicted, {(row["id"], candidate) for row in rows for candidate in row["gold"]})}
    if task.metric == "map@20":
        return {"map@20": 100 * sum(average_precision(found, row["gold"]) for found, row in both) / len(rows)}
    if task.metric == "mrr@20":
        return {"mrr@20": 100 * sum(reciprocal_rank(found, row["gold"]) for found, row in both) / len(rows)}
    return {"accuracy": 100 * sum(found[0] in row["gold"] for found, row in both) / len(rows)}


# ---------------------------------------------------------------- tasks


TATOEBA_NAMES = dict(
    af="afr", ar="ara", bg="bul", bn="ben", de="deu", el="ell", es="spa", et="est", eu="eus", fa="pes", fi="fin", fr="fra", he="heb",
    hi="hin", hu="hun", id="ind", it="ita", ja="jpn", jv="jav", ka="kat", kk="kaz", ko="kor", ml="mal", mr="mar", nl="nld", pt="por",
    ru="rus", sw="swh", ta="tam", te="tel", th="tha", tl="tgl", tr="tur", ur="urd", vi="vie", zh="cmn",
)  # fmt: skip
TATOEBA_EXTRA = dict(az="aze-eng", lt="lit-eng", pl="pol-eng", uk="ukr-eng", ro="ron-eng")  # XTREME-R's, not in google/xtreme
TATOEBA_ROWS = dict.fromkeys(TATOEBA_NAMES, 1_000) | dict(jv=205, ka=746, kk=575, ml=687, sw=390, ta=307, te=234, th=548)


def _tatoeba(foreign: str, english: str):
    """Row makers for queries (English) and candidates (foreign); the Hub's sentences keep the newline that ended them."""
    return lambda row: {"text": row[english].strip()}, lambda row: {"text": row[foreign].strip()}


def _of_language(row: dict, name: str) -> bool:
    return row["lang"] == name


def _tatoeba_parts(which: int) -> tuple[Hub, Hub]:
    columns = _tatoeba("source_sentence", "target_sentence"), _tatoeba("sentence1", "sentence2")
    return (
        Hub("google/xtreme", "tatoeba.{lang}", "validation", columns[0][which], TATOEBA_NAMES, TATOEBA_ROWS, tuple(TATOEBA_NAMES)),
        Hub("mteb/tatoeba-bitext-mining", "default", "test", columns[1][which], TATOEBA_EXTRA, 88_877, tuple(TATOEBA_EXTRA), _of_language),
    )


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
BUCC_REVISION = "414572247440f0ccacf7eb0bb70a31533a0e5443"
BUCC_ENGLISH = {"de": 399_337, "fr": 369_810, "ru": 558_401, "zh": 88_860}  # English sentences beside each language's


def sentences(context: str, breaks: list | None = None) -> list[tuple[int, int]]:
    """Where the sentences of a context lie, [start, end): as given, else split after . ! ? and white space."""
    if breaks is not None:
        return [(start, end) for start, end in breaks]
    ends = [m.end() for m in re.finditer(r"[.!?]\s+", context)]
    spans = list(zip([0, *ends], [*ends, len(context)], strict=True))
    return [(start, end) for start, end in spans if end > start]


def with_context(context: str, start: int, end: int) -> str:
    """A candidate's text in LAReQA: the sentence, then its whole context; no newlines."""
    return " ".join(f"{context[start:end]} {context}".split())


def _lareqa_queries(passage: dict) -> list[dict]:
    """Questions; the right candidates are the sentences, in every language, that hold the answer to the same question."""
    return [{"id": qa["id"], "text": qa["question"].strip(), "gold": [qa["id"]]} for p in passage["paragraphs"] for qa in p["qas"]]


def _lareqa_candidates(passage: dict) -> list[dict]:
    """Every sentence of every paragraph, with the questions that it answers."""
    found = []
    for paragraph in passage["paragraphs"]:
        starts = [(qa["id"], qa["answers"][0]["answer_start"]) for qa in paragraph["qas"]]
        for n, (start, end) in enumerate(sentences(paragraph["context"], paragraph["sentence_breaks"])):
            answers = [question for question, place in starts if start <= place < end]
            key = f"{paragraph['qas'][0]['id']}-{n}"
            found.append({"id": key, "text": with_context(paragraph["context"], start, end), "answers": answers})
    return found


def _question_and_sentence(row: dict) -> dict | None:
    """SQuAD as LAReQA trains on it: a question and the sentence of its answer, in context."""
    place = row["answers"]["answer_start"][0]
    for start, end in sentences(row["context"]):
        if start <= place < end:
            return {"text": row["question"].strip(), "positive": with_context(row["context"], start, end)}
    return None


def _marked(text: str) -> str:
    return re.sub(r"\{(.*?)\}", r"(\1)", text)


def mention_text(text: str, start: int, end: int) -> str:
    """A mention as XTREME-R writes it: itself, then its sentence with the mention in braces; other braces become parentheses."""
    mention = text[start:end]
    query = f"{mention}: {_marked(text[:start])} {{ {mention} }} {_marked(text[end:])}"
    return " ".join(query.splitlines()).replace("  ", " ").strip()


def _mentions(row: dict) -> list[dict]:
    """The mentions of one document, each with the one sentence that holds it."""
    context, found = row["context"], []
    for mention in row["mentions"]:
        start, end = mention["mention_span"]["start"], mention["mention_span"]["end"]
        spans = [(s["start"], s["end"]) for s in context["sentence_spans"] if s["start"] <= start and end <= s["end"]]
        left, right = spans[0] if spans else (0, len(context["text"]))
        text = mention_text(context["text"][left:right], start - left, end - left)
        found.append({"id": mention["example_id"], "text": text, "gold": [mention["entity_id"]]})
    return found


def _entity_text(entity: dict) -> str:
    text = " ".join(entity["description"][s["start"] : s["end"]] for s in entity["sentence_spans"])
    return " ".join(text.splitlines()).replace("  ", " ").strip()


def _entity(row: dict) -> dict:
    return {"id": row["entity_id"], "text": _entity_text(row)}


def _mention_and_entity(row: dict) -> dict:
    """A training pair: a mention on English Wikipedia and the description of its entity."""
    found = row["contextual_mention"]
    mention = _mentions({"context": found["context"], "mentions": [found["mention"]]})[0]
    return {"text": mention["text"], "positive": _entity_text(row["entity"])}


def _in_language(row: dict, name: str) -> bool:
    return row["context"]["language"] == name


MEWSLIX = ("izhx/mewsli-x", "raw.tar.gz")  # the archive holds the original files; not comparable with the paper's re-sampled data
MEWSLIX_LANGUAGES = tuple("ar de en es fa ja pl ro ta tr uk".split())
LAREQA_LANGUAGES = tuple("ar de el en es hi ru th tr vi zh".split())
# On GitHub: google-research-datasets/xquad_r on the Hub lacks the sentence breaks that make the candidates.
LAREQA = ("google-research-datasets/lareqa", "xquad-r/{lang}.json")

TASKS = [
    Task(
        "tatoeba",
        "retrieval",
        "accuracy",
        "pairs",
        {"test": _tatoeba_parts(0), "candidates": _tatoeba_parts(1)},  # XTREME asks in English and searches the foreign sentences
        languages=(*TATOEBA_NAMES, *TATOEBA_EXTRA),
    ),
    Task(
        "bucc2018",
        "retrieval",
        "f1",
        "mining",
        {
            "test": Hub(*BUCC, _bucc_queries, rows=1, revision=BUCC_REVISION),
            "candidates": Hub(*BUCC, _bucc_candidates, rows=1, revision=BUCC_REVISION),
        },
        languages=tuple(BUCC_ENGLISH),
    ),
    Task(
        "lareqa",
        "retrieval",
        "map@20",
        "answers",
        {
            "train": Hub("rajpurkar/squad", "plain_text", "train", _question_and_sentence, rows=87_599),
            "test": Hub(*LAREQA, "validation", _lareqa_queries, reader="json"),
            "candidates": Hub(*LAREQA, "validation", _lareqa_candidates, reader="json"),
        },
        languages=LAREQA_LANGUAGES,
        pooled=True,
    ),
    Task(
        "mewslix",
        "retrieval",
        "mrr@20",
        "entities",
        {
            "train": Hub(*MEWSLIX, "wikipedia_pairs-train.jsonl", _mention_and_entity, rows=167_719, reader="archive"),
            "test": Hub(*MEWSLIX, "wikinews_mentions-test.jsonl", _mentions, keep=_in_language, reader="archive"),
            "candidates": Hub(*MEWSLIX, "candidate_set_entities.jsonl", _entity, rows=1_003_893, reader="archive"),
        },
        languages=MEWSLIX_LANGUAGES,
        pooled=True,
    ),
]
