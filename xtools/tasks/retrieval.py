"""Retrieval: nearest neighbours between sentence vectors, of a plain encoder or of one trained as a dual encoder.

Queries are a test set's rows, in each language; candidates are what they search. A task's metric says how it is scored: accuracy of the
nearest candidate, mean average precision or reciprocal rank of the first 20.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import precision_recall_fscore_support

from xtools.tasks import search
from xtools.tasks.entry import Hub, Searched, Task
from xtools.tasks.files import accuracy, lines

COLUMNS = {"ids": list[list[int]], "row": int, "cut": bool}
LOSS_IS_MEAN = False  # each query's loss hangs on all of the batch's positives
CAPS_QUERIES = True
CENTRED = " centred"  # after a metric's name: of vectors less their language's mean (`centred`)
MTEB = "mteb "  # before a metric's name: as MTEB scores a bitext (`matched`)
K = 20  # candidates kept per query: XTREME-R's retrieval metrics look no further


def encode(rows: list[dict], tokenizer, task: Task, max_length: int) -> list[dict]:
    """One sequence per row, or two where the row has a positive beside its text, which is then a query (`Task.length_of`).

    What is longer than `max_length`, or than a query may be, is cut and marked.
    """
    paired = bool(rows) and "positive" in rows[0]
    columns = ["text", "positive"] if paired else ["text"]
    most = [task.length_of("test", max_length), max_length] if paired else [max_length]
    encoded = [tokenizer([row[c] for row in rows], return_attention_mask=False, verbose=False)["input_ids"] for c in columns]
    features = []
    for i, sequences in enumerate(zip(*encoded, strict=True)):
        ids = [s if len(s) <= n else [*s[: n - 1], s[-1]] for s, n in zip(sequences, most, strict=True)]
        features.append({"ids": ids, "row": i, "cut": any(len(s) > n for s, n in zip(sequences, most, strict=True))})
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


def first_is_right(predicted: list[str], gold: list[str]) -> bool:
    return predicted[0] in gold


METRICS: dict[str, Callable[[list[str], list[str]], float]] = {
    "accuracy": first_is_right,
    "map@20": average_precision,
    "mrr@20": reciprocal_rank,
}


def score(predictions: list[list[str]], rows: list[dict], task: Task, language: str) -> dict[str, float]:
    """The task's metric in percent, from the candidate ids predicted for each query, best first."""
    metric = METRICS[task.metric]
    return {task.metric: 100 * sum(metric(ranked, row["gold"]) for ranked, row in zip(predictions, rows, strict=True)) / len(rows)}


def retrieve(
    task: Task, queries: list[dict], candidates: list[dict], q: np.ndarray, c: np.ndarray, language: str, device: torch.device = search.CPU
) -> Searched:
    """The nearest candidates of each query, by the vectors [rows, hidden] of queries and candidates; large sets are searched on `device`.

    Beside the task's metric stands the same of centred vectors, a control, but not of sets that are held in fp16: a copy would not fit; and
    of a whole bitext what MTEB has, which searches the other way, from the foreign sentence to the source language's.
    """

    def found(x: np.ndarray, y: np.ndarray) -> list[list[str]]:
        return [[candidates[i]["id"] for i in row] for row in search.nearest(x, y, K, device)[1]]

    predictions = found(q, c)
    scores = score(predictions, queries, task, language)
    if q.dtype == c.dtype == np.float32:
        beside = found(centred(q, [language] * len(q)), centred(c, [row.get("language", "") for row in candidates]))
        scores |= {f"{metric}{CENTRED}": value for metric, value in score(beside, queries, task, language).items()}
    if task.is_bitext and len(queries) == len(candidates):
        counterpart = {row["gold"][0]: row["id"] for row in queries}
        back = [queries[i]["id"] for i in search.nearest(c, q, 1, device)[1][:, 0]]
        scores |= matched([counterpart.get(row["id"], "") for row in candidates], back)
    return Searched(scores | {"n": len(queries)}, predictions, queries)


def matched(right: list[str], found: list[str]) -> dict[str, float]:
    """As MTEB scores a bitext, in percent, from the ids of each sentence's counterpart and of what was nearest: ids are labels, whose precision
    and F1 are averaged by how often each is right (mteb, AbsTaskBitextMining); recall so averaged is accuracy."""
    precision, recall, f1, _ = precision_recall_fscore_support(right, found, average="weighted", zero_division=0.0)
    return {f"{MTEB}{name}": 100 * float(value) for name, value in (("precision", precision), ("accuracy", recall), ("f1", f1))}


def centred(vectors: np.ndarray, languages: list[str]) -> np.ndarray:
    """A copy of vectors [rows, hidden], each less the mean of its language's, which no label tells: what all texts of a language have in
    common is gone, and with it the gain of a recipe that only moved languages as wholes (Libovický et al. 2020)."""
    less, names = vectors.copy(), np.array(languages)
    for name in set(languages):
        less[names == name] -= vectors[names == name].mean(0, dtype=np.float64).astype(vectors.dtype)
    return less


# ---------------------------------------------------------------- for people and files


SEQUENCES = 1


def gold_text(row: dict, task: Task) -> str:
    """The first three right candidates that were there to be found."""
    return " / ".join(row["texts"][i] for i in row["gold"][:3] if i in row["texts"]) or "(no counterpart)"


def prediction_text(prediction: list[str], row: dict, task: Task) -> str:
    return row["texts"][prediction[0]]


def extension(task: Task) -> str:
    return "json" if task.pooled else "tsv"


def file_text(pairs: list, task: Task, language: str, rows: Callable[[], list[dict]]) -> str:
    """Candidates of a pool by their query's id, as JSON; else the nearest one a line, in the order of the sorted queries, in which XTREME
    hands them out so that order tells nothing."""
    if task.pooled:
        return json.dumps(dict(pairs), ensure_ascii=False, indent=1) + "\n"
    text = {row["id"]: row["text"] for row in rows()}
    ordered = sorted(pairs, key=lambda pair: text[pair[0]])
    return "".join(f"{ranked[0]}\n" for _, ranked in ordered)


def score_files(predicted: Path, gold: Path, task: Task, language: str) -> dict[str, float]:
    """As `score`; a query of a pool without prediction scores 0."""
    if not task.pooled:
        return accuracy(lines(predicted), lines(gold))
    ranked, right = json.loads(predicted.read_text()), json.loads(gold.read_text())
    rows = [{"gold": [answer.strip() for answer in answers]} for answers in right.values()]
    return score([ranked.get(query, []) for query in right], rows, task, language)


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


TATOEBA = {"test": _tatoeba_parts(0), "candidates": _tatoeba_parts(1)}  # XTREME asks in English and searches the foreign sentences


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
    candidates = []
    for paragraph in passage["paragraphs"]:
        starts = [(qa["id"], qa["answers"][0]["answer_start"]) for qa in paragraph["qas"]]
        for n, (start, end) in enumerate(sentences(paragraph["context"], paragraph["sentence_breaks"])):
            answers = [question for question, place in starts if start <= place < end]
            key = f"{paragraph['qas'][0]['id']}-{n}"
            candidates.append({"id": key, "text": with_context(paragraph["context"], start, end), "answers": answers})
    return candidates


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
    context, queries = row["context"], []
    for mention in row["mentions"]:
        start, end = mention["mention_span"]["start"], mention["mention_span"]["end"]
        spans = [(s["start"], s["end"]) for s in context["sentence_spans"] if s["start"] <= start and end <= s["end"]]
        left, right = spans[0] if spans else (0, len(context["text"]))
        text = mention_text(context["text"][left:right], start - left, end - left)
        queries.append({"id": mention["example_id"], "text": text, "gold": [mention["entity_id"]]})
    return queries


def _entity_text(entity: dict) -> str:
    text = " ".join(entity["description"][s["start"] : s["end"]] for s in entity["sentence_spans"])
    return " ".join(text.splitlines()).replace("  ", " ").strip()


def _entity(row: dict) -> dict:
    return {"id": row["entity_id"], "text": _entity_text(row)}


def _mention_and_entity(row: dict) -> dict:
    """A training pair: a mention on English Wikipedia and the description of its entity."""
    one = row["contextual_mention"]
    query = _mentions({"context": one["context"], "mentions": [one["mention"]]})[0]
    return {"text": query["text"], "positive": _entity_text(row["entity"])}


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
        TATOEBA,
        languages=(*TATOEBA_NAMES, *TATOEBA_EXTRA),
    ),
    Task(
        "tatoeba_squad",  # XTREME-R's: by an encoder that was tuned on SQuAD (google-research/xtreme, scripts/run_tatoeba.sh)
        "retrieval",
        "accuracy",
        "pairs",
        TATOEBA,
        languages=(*TATOEBA_NAMES, *TATOEBA_EXTRA),
        first="squad_v1",
        folder="tatoeba",
    ),
    Task(
        "lareqa",
        "retrieval",
        "map@20",
        "answers",
        {
            "train": Hub("rajpurkar/squad", "plain_text", "train", _question_and_sentence, rows=87_599, spans=True),
            "test": Hub(*LAREQA, "validation", _lareqa_queries, reader="json"),
            "candidates": Hub(*LAREQA, "validation", _lareqa_candidates, reader="json"),
        },
        languages=LAREQA_LANGUAGES,
        pooled=True,
        query_length=96,  # google-research/xtreme, scripts/train_lareqa.sh and run_eval_lareqa.sh; answers have the 256 of `max_length`
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
