"""Extractive question answering: a start and an end token in a window of the context, or no answer; exact match and F1.

Windows and the reading of answers are those of BERT's run_squad (Devlin et al. 2019), which XTREME uses.
"""

import hashlib
import itertools
import json
import math
import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from xtools.batching import moved, pad
from xtools.tasks.entry import Hub, Task

COLUMNS = {
    "ids": list[list[int]],
    "row": int,
    "offsets": list[tuple[int, int]],
    "own": list[int],
    "start": int,
    "end": int,
    "cut": bool,
}
LOSS_IS_MEAN = True
STEPS = 3  # a window starts a third of its length after the one before: XTREME's doc_stride, 128 of 384; other lengths are ours
OUTSIDE = (-1, -1)  # in place of a token's first and last character, where it is not of the context
MAX_ANSWER = 30  # tokens (XTREME's run_squad default)


def encode(rows: list[dict], tokenizer, task: Task, max_length: int) -> list[dict]:
    """Windows of at most `max_length` tokens over each row's context, starting a third of that apart, so that nothing is lost.

    A feature holds the character `offsets` of its context tokens (`OUTSIDE` elsewhere), the [first, end) tokens that are its `own` (see
    `_owned`), and the `start` and `end` tokens of the first answer; both are 0, the first token, in a window that does not hold the whole
    answer. A question longer than half a window is cut to that, and the row marked `cut`.
    """
    questions, cut = _short_questions(rows, tokenizer, max_length // 2)
    contexts = [row["context"] for row in rows]
    encoded = tokenizer(questions, contexts, return_offsets_mapping=True, return_attention_mask=False, verbose=False)
    features = []
    for i, row in enumerate(rows):
        pair = encoded["input_ids"][i], encoded["offset_mapping"][i], encoded.sequence_ids(i)
        for window in _windows(*pair, max_length):
            start, end = _target(window["offsets"], row)
            feature = window | {"row": i, "start": start, "end": end, "cut": i in cut}
            features.append({name: feature[name] for name in COLUMNS})
    return features


def _windows(ids: list[int], offsets: list, sides: list[int | None], max_length: int) -> list[dict]:
    """The windows of a pair of question and context, tokenized whole; `sides` says which of the two a token is of (1: the context)."""
    first = sides.index(1) if 1 in sides else len(ids)
    size = sides.count(1)
    room = max_length - (len(ids) - size)
    spans = window_spans(size, room, min(room, max_length // STEPS))
    windows = []
    for (start, stop), (own, end) in zip(spans, _owned(spans), strict=True):
        cut = slice(first + start, first + stop)
        outside = [OUTSIDE] * first, [OUTSIDE] * (len(ids) - first - size)
        window = {"ids": [ids[:first] + ids[cut] + ids[first + size :]], "offsets": [*outside[0], *offsets[cut], *outside[1]]}
        windows.append(window | {"own": [own - start + first, end - start + first]})
    return windows


def window_spans(size: int, room: int, step: int) -> list[tuple[int, int]]:
    """The [start, stop) tokens of a context of `size` tokens in each window: `room` tokens, from every `step`th on, until the end is in."""
    last = max(0, math.ceil((size - room) / step))
    return [(i * step, min(size, i * step + room)) for i in range(last + 1)]


def _owned(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The tokens [first, end) of each window for which no other has more context: the most to the shorter side, a hundredth of a window's
    length deciding between two, and the first window where that does not.

    They lie side by side, since of two windows the later one gains on the earlier from token to token.
    """
    if len(spans) == 1:
        return spans
    start, stop = np.array(spans).T[..., None]
    token = np.arange(stop.max())
    context = np.minimum(token - start, stop - 1 - token) + 0.01 * (stop - start)
    owner = np.where((token >= start) & (token < stop), context, -1.0).argmax(0)
    ends = np.searchsorted(owner, np.arange(len(spans) + 1)).tolist()
    return list(itertools.pairwise(ends))


def _short_questions(rows: list[dict], tokenizer, limit: int) -> tuple[list[str], set[int]]:
    """The questions, each cut to `limit` tokens, and the rows whose question was longer."""
    questions, cut = [row["question"] for row in rows], set()
    encoded = tokenizer(questions, add_special_tokens=False, return_offsets_mapping=True)
    for i, offsets in enumerate(encoded["offset_mapping"]):
        if len(offsets) > limit:
            questions[i] = questions[i][: offsets[limit - 1][1]]
            cut.add(i)
    return questions, cut


def _target(offsets: list, row: dict) -> tuple[int, int]:
    """First and last token that overlap the answer, or (0, 0) when the window does not hold all of it."""
    if not row["answers"]["text"]:
        return 0, 0
    first, last = row["answers"]["answer_start"][0], row["answers"]["answer_start"][0] + len(row["answers"]["text"][0])
    tokens = [i for i, o in enumerate(offsets) if o[0] < last and o[1] > first]
    if not tokens or offsets[tokens[0]][0] > first or offsets[tokens[-1]][1] < last:
        return 0, 0
    return tokens[0], tokens[-1]


class Head(torch.nn.Module):
    """A linear layer with two outputs, start and end, on every token."""

    def __init__(self, config, task: Task):
        super().__init__()
        self.out = torch.nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: torch.Tensor, batch: dict) -> torch.Tensor:
        """Hidden states [windows, tokens, hidden] to logits [windows, tokens, 2]; padding cannot be chosen."""
        logits = self.out(hidden)
        lengths = moved([len(f["ids"][0]) for f in batch["features"]], hidden.device)
        padding = torch.arange(logits.shape[1], device=hidden.device) >= lengths[:, None]
        return logits.masked_fill(padding[..., None], -1e4)


def loss(logits: torch.Tensor, batch: dict) -> torch.Tensor:
    """Mean of the cross-entropies of start and end."""
    targets = [[f["start"], f["end"]] for f in batch["features"]]
    return torch.nn.functional.cross_entropy(logits, moved(targets, logits.device))


def decode(logits: torch.Tensor, batch: dict, task: Task) -> list[tuple[float, int, int, float]]:
    """Each window's best span as (score, first token, last token, score of no answer).

    A span's score is its start logit plus its end logit, over spans of up to `MAX_ANSWER` tokens that start in one of the window's own
    tokens; that of no answer is the first token's.
    """
    features, width = batch["features"], logits.shape[1]
    context = moved(pad([np.asarray(f["offsets"])[:, 0] >= 0 for f in features], 0).bool(), logits.device)
    own = moved(pad([_mask(f) for f in features], 0).bool(), logits.device)
    start, end = logits[..., 0].masked_fill(~own, -1e4), logits[..., 1].masked_fill(~context, -1e4)
    allowed = torch.ones(width, width, dtype=torch.bool, device=logits.device).triu().tril(MAX_ANSWER - 1)
    spans = (start[:, :, None] + end[:, None, :]).masked_fill(~allowed, -1e9).flatten(1)
    values, places = spans.max(1)
    # Where every context has an answer, no answer never wins.
    null = logits[:, 0].sum(-1).tolist() if task.unanswerable else [-float("inf")] * len(features)
    return [(v, p // width, p % width, n) for v, p, n in zip(values.tolist(), places.tolist(), null, strict=True)]


def _mask(feature: dict) -> np.ndarray:
    """Which of a window's tokens are its own."""
    place, (first, end) = np.arange(len(feature["offsets"])), feature["own"]
    return (place >= first) & (place < end)


def assemble(features: list[dict], parts: list[tuple], rows: list[dict]) -> list[str]:
    """The text of the best span over all windows of each row; empty where no answer scores higher in every window (Devlin et al. 2019)."""
    best: dict[int, tuple[float, str]] = {}
    null: dict[int, float] = {}
    for feature, (value, start, end, none) in zip(features, parts, strict=True):
        row = feature["row"]
        null[row] = min(none, null.get(row, float("inf")))
        if value > best.get(row, (float("-inf"),))[0]:
            first, last = feature["offsets"][start], feature["offsets"][end]
            best[row] = (value, rows[row]["context"][first[0] : last[1]].strip() if first[0] >= 0 and last[0] >= 0 else "")
    return ["" if null[i] > best[i][0] else best[i][1] for i in range(len(rows))]


def normalize(answer: str) -> str:
    """SQuAD v1.1's normal form: lower case, no ASCII punctuation, no English articles, single spaces."""
    answer = "".join(c for c in answer.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", answer).split())


ARTICLES = {
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": r"\sال^|ال",
}  # MLQA's (Lewis et al. 2020); its other languages, Hindi and Chinese, have none


@cache
def _punctuation() -> frozenset[str]:
    """Every character of a Unicode punctuation category, and ASCII's."""
    unicode = {chr(i) for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P")}
    return frozenset(unicode | set(string.punctuation))


def normalize_mlqa(answer: str, language: str) -> str:
    """MLQA's normal form in the answer's language: lower case, no punctuation of any script, no articles, Chinese characters apart."""
    answer = "".join(c for c in answer.lower() if c not in _punctuation())
    answer = re.sub(ARTICLES[language], " ", answer) if language in ARTICLES else answer
    if language == "zh":
        answer = re.sub("([\u4e00-\u9fa5])", r" \1 ", answer)
    return " ".join(answer.split())


def token_f1(prediction: str, gold: str) -> float:
    """F1 between the bags of words of two normalised answers, in [0, 1]; two empty ones agree only where both mean no answer."""
    p, g = prediction.split(), gold.split()
    common = sum((Counter(p) & Counter(g)).values())
    return 2 * common / (len(p) + len(g)) if common else 0.0


def answer_scores(prediction: str, golds: list[str], normal=normalize) -> tuple[float, float]:
    """Exact match and F1 of one answer in [0, 1], each the best over the gold answers; no gold means that no answer is right."""
    if not golds:
        return float(not prediction), float(not prediction)
    prediction, golds = normal(prediction), [normal(gold) for gold in golds]
    return float(max(prediction == gold for gold in golds)), max(token_f1(prediction, gold) for gold in golds)


def score(predictions: list[str], rows: list[dict], task: Task, language: str) -> dict[str, float]:
    """Exact match and F1 in percent, and their mean, XTREME's score of a QA task."""
    normal = (lambda answer: task.normal_form(answer, language)) if task.normal_form else normalize
    pairs = [answer_scores(p, row["answers"]["text"], normal) for p, row in zip(predictions, rows, strict=True)]
    exact, f1 = (100 * sum(values) / len(rows) for values in zip(*pairs, strict=True))
    return {"f1": f1, "exact": exact, "f1_exact": (f1 + exact) / 2}


# ---------------------------------------------------------------- for people and files


SEQUENCES = 1


def gold_text(row: dict, task: Task) -> str:
    return " / ".join(row["answers"]["text"]) or "(no answer)"


def prediction_text(prediction: str, row: dict, task: Task) -> str:
    return prediction or "(no answer)"


def extension(task: Task) -> str:
    return "json"


def file_text(pairs: list, task: Task, language: str, rows: Callable[[], list[dict]]) -> str:
    """Answers by their question's id, as JSON."""
    return json.dumps(dict(pairs), ensure_ascii=False, indent=1) + "\n"


def score_files(predicted: Path, gold: Path, task: Task, language: str) -> dict[str, float]:
    """As `score`, against questions in SQuAD's form; a question without prediction scores 0."""
    answers, questions = json.loads(predicted.read_text()), _questions(gold)
    if not questions:
        raise ValueError("it holds no questions")
    answered = [question for question in questions if question["id"] in answers]
    if not answered:
        return dict.fromkeys(("f1", "exact", "f1_exact"), 0.0)
    rows = [{"answers": {"text": [answer["text"] for answer in question["answers"]]}} for question in answered]
    scores = score([answers[question["id"]] for question in answered], rows, task, language)
    return {metric: value * len(rows) / len(questions) for metric, value in scores.items()}


def _questions(path: Path) -> list[dict]:
    """The questions of a file in SQuAD's form, with or without its header."""
    articles = json.loads(path.read_text())
    articles = articles["data"] if isinstance(articles, dict) else articles
    return [question for article in articles for paragraph in article["paragraphs"] for question in paragraph["qas"]]


# ---------------------------------------------------------------- tasks


def _squad(row: dict) -> dict | None:
    """Answer starts are moved to the nearest occurrence of the text: some of the Hub's copies strip contexts without moving the starts.

    A row whose answers occur nowhere is dropped; one that has none from the start (SQuAD v2) is kept.
    """
    context = row["context"]
    answers: dict[str, list] = {"text": [], "answer_start": []}
    for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
        places = [m.start() for m in re.finditer(f"(?={re.escape(text)})", context)]
        if places:
            answers["text"].append(text)
            answers["answer_start"].append(min(places, key=lambda place: abs(place - start)))
    canonical = {"question": row["question"].strip(), "context": context, "answers": answers}
    return canonical if answers["text"] or not row["answers"]["text"] else None


def _tydiqa_language(row: dict, name: str) -> bool:
    return row["id"].partition("-")[0] == name


def _tydiqa_train(row: dict, name: str) -> bool:
    """Rows of the language whose article is not held out."""
    return _tydiqa_language(row, name) and not _held_out(row)


def _tydiqa_dev(row: dict, name: str) -> bool:
    """Rows of the language whose article is held out: the published development set is the benchmark's test set."""
    return _tydiqa_language(row, name) and _held_out(row)


def _held_out(row: dict) -> bool:
    """Whether an article is in the tenth, by a hash of its title, that is held out of training; where rows have no title, its context."""
    digest = hashlib.sha256((row.get("title") or row["context"]).encode()).digest()
    return int.from_bytes(digest[:8]) % 10 == 0


SQUAD = {
    "train": Hub("rajpurkar/squad", "plain_text", "train", _squad, rows=87_599, spans=True),
    "dev": Hub("rajpurkar/squad", "plain_text", "validation", _squad, rows=10_570, spans=True),
}
SQUAD_V2 = {
    "train": Hub("rajpurkar/squad_v2", "squad_v2", "train", _squad, rows=130_319, spans=True),
    "dev": Hub("rajpurkar/squad_v2", "squad_v2", "validation", _squad, rows=11_873, spans=True),
}
XQUAD = Hub("google/xquad", "xquad.{lang}", "validation", _squad, rows=1_190, spans=True)
XQUAD_LANGUAGES = tuple("en ar de el es hi ro ru th tr vi zh".split())
MLQA_ROWS = {"en": 11_590, "de": 4_517, "es": 5_253, "ar": 5_335, "zh": 5_137, "vi": 5_495, "hi": 4_918}
TYDIQA_NAMES = dict(
    en="english", ar="arabic", bn="bengali", fi="finnish", id="indonesian", ko="korean", ru="russian", sw="swahili", te="telugu"
)
TYDIQA_TEST = {"ar": 921, "bn": 113, "en": 440, "fi": 782, "id": 565, "ko": 276, "ru": 812, "sw": 499, "te": 669}
TYDIQA = ("google-research-datasets/tydiqa", "secondary_task")  # all languages in one table; the primary task is another, of 6 GB

TASKS = [
    Task("squad_v1", "span", "f1_exact", "qa", SQUAD),
    Task("squad_v2", "span", "f1_exact", "qa_unanswerable", SQUAD_V2, unanswerable=True),
    Task(
        "xquad",
        "span",
        "f1_exact",
        "qa",
        # XQuAD translates questions of SQuAD's development set; they are no development rows here.
        SQUAD | {"dev": replace(SQUAD["dev"], without=XQUAD, examples=9_380), "test": XQUAD},
        languages=XQUAD_LANGUAGES,
    ),
    Task(
        "mlqa",
        "span",
        "f1_exact",
        "qa_long",
        # facebook/mlqa holds a loading script only. The first language is the context's and so the answer's.
        SQUAD | {"test": Hub("google/xtreme", "MLQA.{lang}.{lang}", "test", _squad, rows=MLQA_ROWS, spans=True)},
        languages=tuple(MLQA_ROWS),
        shares="xquad",
        normal_form=normalize_mlqa,
    ),
    Task(
        "tydiqa",
        "span",
        "f1_exact",
        "qa_sparse",
        {
            # 3,696 of the rows are English, about a tenth of which is held out.
            "train": Hub(*TYDIQA, "train", _squad, TYDIQA_NAMES, rows=49_881, keep=_tydiqa_train, examples={"en": 3_326}, spans=True),
            "dev": Hub(*TYDIQA, "train", _squad, TYDIQA_NAMES, rows=49_881, keep=_tydiqa_dev, examples={"en": 370}, spans=True),
            "test": Hub(*TYDIQA, "validation", _squad, TYDIQA_NAMES, rows=5_077, keep=_tydiqa_language, examples=TYDIQA_TEST, spans=True),
        },
        languages=tuple(TYDIQA_NAMES),
    ),
]
