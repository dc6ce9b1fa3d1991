"""Extractive question answering: a start and an end token in a window of the context; SQuAD's exact match and F1."""

import re
import string
from collections import Counter

import torch

from xtools.batching import pad
from xtools.tasks import Hub, Task

STRIDE = 0.33  # share of a window that overlaps with the one before (XTREME: 128 of 384 tokens)
MAX_ANSWER = 30  # tokens (XTREME's run_squad default)


def encode(rows: list[dict], tokenizer, task: Task, max_length: int) -> list[dict]:
    """Windows of at most `max_length` tokens over each row's context, overlapping by `STRIDE`, so that nothing is cut off.

    A feature holds the character `offsets` of its context tokens (None elsewhere) and the `start` and `end` tokens of the first
    answer; both are 0, the first token, in a window that does not hold the whole answer. A question longer than half a window is
    cut to that, and the row marked `cut`.
    """
    questions, cut = _short_questions(rows, tokenizer, max_length // 2)
    encoded = tokenizer(
        questions,
        [row["context"] for row in rows],
        truncation="only_second",
        max_length=max_length,
        stride=int(STRIDE * max_length / 2),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_attention_mask=False,
    )
    features = []
    for w, row in enumerate(encoded["overflow_to_sample_mapping"]):
        inside = [s == 1 for s in encoded.sequence_ids(w)]
        offsets = [o if i else None for o, i in zip(encoded["offset_mapping"][w], inside, strict=True)]
        start, end = _target(offsets, rows[row])
        feature = {"ids": [encoded["input_ids"][w]], "row": row, "offsets": offsets, "start": start, "end": end, "cut": row in cut}
        features.append(feature)
    return features


def _short_questions(rows: list[dict], tokenizer, limit: int) -> tuple[list[str], set[int]]:
    questions, cut = [row["question"] for row in rows], set()
    encoded = tokenizer(questions, add_special_tokens=False, return_offsets_mapping=True)
    for i, offsets in enumerate(encoded["offset_mapping"]):
        if len(offsets) > limit:
            questions[i], _ = questions[i][: offsets[limit - 1][1]], cut.add(i)
    return questions, cut


def _target(offsets: list, row: dict) -> tuple[int, int]:
    """First and last token that overlap the answer, or (0, 0) when the window does not hold all of it."""
    if not row["answers"]["text"]:
        return 0, 0
    first, last = row["answers"]["answer_start"][0], row["answers"]["answer_start"][0] + len(row["answers"]["text"][0])
    tokens = [i for i, o in enumerate(offsets) if o and o[0] < last and o[1] > first]
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
        lengths = torch.tensor([len(f["ids"][0]) for f in batch["features"]], device=hidden.device)
        padding = torch.arange(logits.shape[1], device=hidden.device) >= lengths[:, None]
        return logits.masked_fill(padding[..., None], -1e4)


def loss(logits: torch.Tensor, batch: dict) -> torch.Tensor:
    """Mean of the cross-entropies of start and end."""
    targets = torch.tensor([[f["start"], f["end"]] for f in batch["features"]], device=logits.device)
    return torch.nn.functional.cross_entropy(logits, targets)


def decode(logits: torch.Tensor, batch: dict) -> list[tuple[float, int, int]]:
    """Each window's best span as (score, first token, last token): start + end logit over spans of up to `MAX_ANSWER` tokens."""
    features, width = batch["features"], logits.shape[1]
    context = pad([[int(o is not None) for o in f["offsets"]] for f in features], 0).bool().to(logits.device)
    start, end = (logits[..., i].masked_fill(~context, -1e4) for i in (0, 1))
    allowed = torch.ones(width, width, dtype=torch.bool, device=logits.device).triu().tril(MAX_ANSWER - 1)
    spans = (start[:, :, None] + end[:, None, :]).masked_fill(~allowed, -1e9).flatten(1)
    values, places = spans.max(1)
    return [(v, p // width, p % width) for v, p in zip(values.tolist(), places.tolist(), strict=True)]


def assemble(features: list[dict], parts: list[tuple], rows: list[dict]) -> list[str]:
    """The text of the best span over all windows of each row."""
    best = {}
    for feature, (value, start, end) in zip(features, parts, strict=True):
        if value > best.get(feature["row"], (float("-inf"),))[0]:
            first, last = feature["offsets"][start], feature["offsets"][end]
            best[feature["row"]] = (value, rows[feature["row"]]["context"][first[0] : last[1]].strip() if first and last else "")
    return [best[i][1] for i in range(len(rows))]


def normalize(answer: str) -> str:
    """SQuAD v1.1's normal form: lower case, no ASCII punctuation, no English articles, single spaces."""
    answer = "".join(c for c in answer.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", answer).split())


def token_f1(prediction: str, gold: str) -> float:
    """F1 between the bags of normalised words, in [0, 1]."""
    p, g = normalize(prediction).split(), normalize(gold).split()
    common = sum((Counter(p) & Counter(g)).values())
    return 2 * common / (len(p) + len(g)) if common else 0.0


def score(predictions: list[str], rows: list[dict], task: Task) -> dict[str, float]:
    """SQuAD's exact match and F1 in percent, each the best over the gold answers, and their mean, XTREME's score of a QA task."""
    gold = [row["answers"]["text"] for row in rows]
    exact = [max(normalize(p) == normalize(g) for g in gs) for p, gs in zip(predictions, gold, strict=True)]
    f1 = [max(token_f1(p, g) for g in gs) for p, gs in zip(predictions, gold, strict=True)]
    exact, f1 = 100 * sum(exact) / len(rows), 100 * sum(f1) / len(rows)
    return {"f1": f1, "exact": exact, "f1_exact": (f1 + exact) / 2}


def _squad(row: dict) -> dict:
    """Answer starts are moved to the nearest occurrence of the text: the Hub's copies strip contexts without moving the starts."""
    context, answers = row["context"], {"text": [], "answer_start": []}
    for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
        places = [m.start() for m in re.finditer(f"(?={re.escape(text)})", context)]
        if places:
            answers["text"].append(text)
            answers["answer_start"].append(min(places, key=lambda place: abs(place - start)))
    return {"question": row["question"].strip(), "context": context, "answers": answers} if answers["text"] else None


SQUAD = {
    "train": Hub("rajpurkar/squad", "plain_text", "train", _squad),
    "dev": Hub("rajpurkar/squad", "plain_text", "validation", _squad),
}
XQUAD_LANGUAGES = tuple("en ar de el es hi ro ru th tr vi zh".split())

TASKS = [
    Task("squad_v1", "span", "f1_exact", "qa", SQUAD),
    Task(
        "xquad",
        "span",
        "f1_exact",
        "qa",
        SQUAD | {"test": Hub("google/xquad", "xquad.{lang}", "validation", _squad)},
        languages=XQUAD_LANGUAGES,
    ),
]
