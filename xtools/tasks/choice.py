"""Multiple choice: each choice is scored with the context; accuracy."""

import json
from collections.abc import Callable
from pathlib import Path

import torch

from xtools.tasks import classification
from xtools.tasks.entry import Hub, Task, number
from xtools.tasks.files import accuracy

COLUMNS = {"ids": list[list[int]], "row": int, "label": int, "cut": bool}
LOSS_IS_MEAN = True


def encode(rows: list[dict], tokenizer, task: Task, max_length: int) -> list[dict]:
    """One sequence per choice; where a row is longer than `max_length` the start of its context goes, and it is marked `cut`."""
    choices = [choice for row in rows for choice in row["choices"]]
    contexts = [row["context"] for row in rows for _ in row["choices"]]
    encoded = tokenizer(contexts, choices, return_attention_mask=False, verbose=False)["input_ids"]
    features, position = [], 0
    for i, row in enumerate(rows):
        ids = encoded[position : position + len(row["choices"])]
        position += len(ids)
        cut = any(len(s) > max_length for s in ids)
        if cut:
            ids = [_keep_end(tokenizer, row["context"], choice, max_length) for choice in row["choices"]]
        features.append({"ids": ids, "row": i, "label": row["label"], "cut": cut})
    return features


def _keep_end(tokenizer, context: str, choice: str, max_length: int) -> list[int]:
    """The pair at `max_length` tokens: what an ending continues is the end of the context, so its start is what goes."""
    side, tokenizer.truncation_side = tokenizer.truncation_side, "left"
    ids = tokenizer(context, choice, truncation="longest_first", max_length=max_length)["input_ids"]
    tokenizer.truncation_side = side
    return ids


class Head(classification.Head):
    """The classification head with one output per choice."""

    def forward(self, hidden: torch.Tensor, batch: dict) -> torch.Tensor:
        """Hidden states [features x choices, tokens, hidden] to logits [features, choices]."""
        return super().forward(hidden, batch).view(len(batch["features"]), -1)


# Once there is a logit per choice, choosing is classifying.
loss, decode, assemble, score = classification.loss, classification.decode, classification.assemble, classification.score


# ---------------------------------------------------------------- for people and files


SEQUENCES = 4  # as HellaSwag's and Cosmos QA's examples have


def gold_text(row: dict, task: Task) -> str:
    return row["choices"][row["label"]]


def prediction_text(prediction: int, row: dict, task: Task) -> str:
    return row["choices"][prediction]


def extension(task: Task) -> str:
    return "jsonl"


def file_text(pairs: list, task: Task, language: str, rows: Callable[[], list[dict]]) -> str:
    """The number of the chosen one a line, as JSON."""
    return "".join(json.dumps({"label": label}) + "\n" for _, label in pairs)


def score_files(predicted: Path, gold: Path, task: Task, language: str) -> dict[str, float]:
    return accuracy(_labels(predicted), _labels(gold))


def _labels(path: Path) -> list[int]:
    return [json.loads(line)["label"] for line in path.read_text().splitlines()]


# ---------------------------------------------------------------- tasks


def _hellaswag(row: dict) -> dict | None:
    if row["label"] == "":  # the test split hides its labels
        return None
    return {"context": row["ctx"].strip(), "choices": [e.strip() for e in row["endings"]], "label": number(row["label"])}


def _copa(row: dict) -> dict | None:
    if row["label"] == -1:
        return None
    # XTREME-R's wording: the question is in English in every language.
    context = f"{row['premise'].strip()} What was the {row['question']}?"
    return {"context": context, "choices": [row["choice1"].strip(), row["choice2"].strip()], "label": row["label"]}


def _cosmos(row: dict) -> dict | None:
    if row["label"] == -1:
        return None
    choices = [row[f"answer{i}"].strip() for i in range(4)]
    return {"context": f"{row['context'].strip()} {row['question'].strip()}", "choices": choices, "label": row["label"]}


def _commonsense(row: dict) -> dict | None:
    if row["answerKey"] == "":  # the test split hides its answers
        return None
    choices = row["choices"]
    return {
        "context": row["question"].strip(),
        "choices": [text.strip() for text in choices["text"]],
        "label": choices["label"].index(row["answerKey"]),
    }


def _social(row: dict) -> dict:
    """Labels are "1", "2" and "3"; context and question make the first segment, as in XTREME-R's code."""
    context = f"{row['context'].strip()} {row['question'].strip()}"
    return {"context": context, "choices": [row[f"answer{c}"].strip() for c in "ABC"], "label": number(row["label"]) - 1}


def _splits(repo: str, config: str, row, train: int, dev: int) -> dict[str, Hub]:
    return {"train": Hub(repo, config, "train", row, rows=train), "dev": Hub(repo, config, "validation", row, rows=dev)}


XCOPA_LANGUAGES = tuple("et ht id it qu sw ta th tr vi zh".split())

TASKS = [
    Task("hellaswag", "choice", "accuracy", "continuation", _splits("Rowan/hellaswag", "default", _hellaswag, 39_905, 10_042), chance=25.0),
    # allenai/cosmos_qa still holds a loading script, which the library refuses; this is a parquet copy of it.
    Task("cosmos_qa", "choice", "accuracy", "usual_place", _splits("Samsoup/cosmos_qa", "default", _cosmos, 25_262, 2_985), chance=25.0),
    Task(
        "commonsense_qa",
        "choice",
        "accuracy",
        "usual_object",
        _splits("tau/commonsense_qa", "default", _commonsense, 9_741, 1_221),
        chance=20.0,
    ),
    # allenai/social_i_qa holds a loading script too; lighteval/siqa is the same rows.
    Task("social_iqa", "choice", "accuracy", "social", _splits("lighteval/siqa", "default", _social, 33_410, 1_954), chance=100 / 3),
    Task(
        "xcopa",
        "choice",
        "accuracy",
        "causes",
        # XCOPA has no English: COPA's own training set trains, and its validation set is the source-language score.
        {
            "train": Hub("aps/super_glue", "copa", "train", _copa, rows=400),
            "dev": Hub("aps/super_glue", "copa", "validation", _copa, rows=100),
            "test": Hub("cambridgeltl/xcopa", "{lang}", "test", _copa, rows=500),
        },
        languages=XCOPA_LANGUAGES,
        chance=50.0,
        first="social_iqa",  # XTREME-R trains on Social IQa, then on COPA
    ),
]
