"""Classification of one text or a pair: accuracy."""

from collections.abc import Callable
from pathlib import Path

import torch

from xtools.batching import moved
from xtools.tasks.entry import Hub, Task, number
from xtools.tasks.files import accuracy, lines

COLUMNS = {"ids": list[list[int]], "row": int, "label": int, "cut": bool}
LOSS_IS_MEAN = True


def encode(rows: list[dict], tokenizer, task: Task, max_length: int) -> list[dict]:
    """One sequence per row; a row longer than `max_length` loses the end of its longer text and is marked `cut`."""
    encoded = tokenizer([r["text_a"] for r in rows], [r["text_b"] for r in rows], return_attention_mask=False, verbose=False)["input_ids"]
    long = {i for i, ids in enumerate(encoded) if len(ids) > max_length}
    for i in long:
        encoded[i] = tokenizer(rows[i]["text_a"], rows[i]["text_b"], truncation="longest_first", max_length=max_length)["input_ids"]
    return [{"ids": [ids], "row": i, "label": rows[i]["label"], "cut": i in long} for i, ids in enumerate(encoded)]


def dropout(config) -> float:
    """An architecture's dropout on hidden states, under the name that its config gives it; 0 where it has none."""
    names = ("hidden_dropout_prob", "dropout", "classifier_dropout")
    return next((getattr(config, name) for name in names if getattr(config, name, None) is not None), 0.0)


class Head(torch.nn.Module):
    """XLM-R's classification head: dropout, dense, tanh, dropout, linear, on the first token of each sequence."""

    def __init__(self, config, task: Task):
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout(config))
        self.dense = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.out = torch.nn.Linear(config.hidden_size, max(1, len(task.labels)))

    def forward(self, hidden: torch.Tensor, batch: dict) -> torch.Tensor:
        """Hidden states [sequences, tokens, hidden] to logits [sequences, labels]."""
        return self.out(self.dropout(torch.tanh(self.dense(self.dropout(hidden[:, 0])))))


def loss(logits: torch.Tensor, batch: dict) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, moved([f["label"] for f in batch["features"]], logits.device))


def decode(logits: torch.Tensor, batch: dict, task: Task) -> list[int]:
    return logits.argmax(-1).tolist()


def assemble(features: list[dict], parts: list[int], rows: list[dict]) -> list[int]:
    return parts


def score(predictions: list[int], rows: list[dict], task: Task, language: str) -> dict[str, float]:
    """Accuracy in percent."""
    return {"accuracy": 100 * sum(p == r["label"] for p, r in zip(predictions, rows, strict=True)) / len(rows)}


# ---------------------------------------------------------------- for people and files


SEQUENCES = 1


def gold_text(row: dict, task: Task) -> str:
    return task.labels[row["label"]]


def prediction_text(prediction: int, row: dict, task: Task) -> str:
    return task.labels[prediction]


def extension(task: Task) -> str:
    return "tsv"


def file_text(pairs: list, task: Task, language: str, rows: Callable[[], list[dict]]) -> str:
    """A label's name a line."""
    names = task.file_labels or task.labels
    return "".join(f"{names[label]}\n" for _, label in pairs)


def score_files(predicted: Path, gold: Path, task: Task, language: str) -> dict[str, float]:
    return accuracy(lines(predicted), lines(gold))


# ---------------------------------------------------------------- tasks


NLI = ("entailment", "neutral", "contradiction")


def _nli(row: dict) -> dict | None:
    if row["label"] == -1:  # no gold label: annotators did not agree
        return None
    return {"text_a": row["premise"].strip(), "text_b": row["hypothesis"].strip(), "label": row["label"]}


def _pair(a: str, b: str):
    """A row maker for two columns of text; a row whose label is hidden (-1) is dropped."""

    def canonical(row: dict) -> dict | None:
        label = number(row["label"])  # google/xtreme has labels as text
        return {"text_a": row[a].strip(), "text_b": row[b].strip(), "label": label} if label != -1 else None

    return canonical


MNLI_ROWS, SNLI_ROWS, ANLI_ROWS = 392_702, 550_152, {"r1": 16_946, "r2": 45_460, "r3": 100_459}
MNLI = {
    "train": Hub("nyu-mll/glue", "mnli", "train", _nli, rows=MNLI_ROWS),
    "dev": Hub("nyu-mll/glue", "mnli", "validation_matched", _nli, rows=9_815),
}
# SNLI + MNLI + ANLI rounds 1 to 3 (Phang et al. 2020, table 1): 1,104,934 training rows once those without a gold label are dropped. As
# part of `all` it leaves MNLI to the task of that name, and they share a head, as jiant's guide trains SNLI, MNLI and ANLI together.
ANLI_PLUS = {
    "train": (
        Hub("stanfordnlp/snli", "plain_text", "train", _nli, rows=SNLI_ROWS),
        MNLI["train"],
        *(Hub("facebook/anli", "plain_text", f"train_{r}", _nli, rows=n) for r, n in ANLI_ROWS.items()),
    ),
    "dev": (
        Hub("stanfordnlp/snli", "plain_text", "validation", _nli, rows=10_000),
        MNLI["dev"],
        *(Hub("facebook/anli", "plain_text", f"dev_{r}", _nli, rows=n) for r, n in {"r1": 1_000, "r2": 1_000, "r3": 1_200}.items()),
    ),
}
XNLI_LANGUAGES = tuple("en ar bg de el es fr hi ru sw th tr ur vi zh".split())
PAWSX_LANGUAGES = tuple("en de es fr ja ko zh".split())
# google/xtreme's copy lost rows to csv quoting. The "NS" and empty sentences of this one stay in, with label 0, as in XTREME.
PAWSX = "google-research-datasets/paws-x"

TASKS = [
    Task(
        "mnli",
        "classification",
        "accuracy",
        "nli",
        MNLI,
        labels=NLI,
        chance=100 / 3,
        head="nli",
        translated=Hub("facebook/xnli", "{lang}", "train", _nli, rows=MNLI_ROWS, only=XNLI_LANGUAGES),
    ),
    Task("anli_plus", "classification", "accuracy", "nli_plus", ANLI_PLUS, labels=NLI, chance=100 / 3, head="nli"),
    Task(
        "qqp",
        "classification",
        "accuracy",
        "duplicates",
        {
            "train": Hub("nyu-mll/glue", "qqp", "train", _pair("question1", "question2"), rows=363_846),
            "dev": Hub("nyu-mll/glue", "qqp", "validation", _pair("question1", "question2"), rows=40_430),
        },
        labels=("not_duplicate", "duplicate"),
        chance=50.0,
    ),
    Task(
        "xnli",
        "classification",
        "accuracy",
        "nli",
        # facebook/xnli's training sets other than English are machine translations, so training uses MNLI itself.
        {
            "train": MNLI["train"],
            "dev": Hub("facebook/xnli", "{lang}", "validation", _nli, rows=2_490),
            "test": Hub("facebook/xnli", "{lang}", "test", _nli, rows=5_010),
        },
        labels=NLI,
        languages=XNLI_LANGUAGES,
        chance=100 / 3,
    ),
    Task(
        "pawsx",
        "classification",
        "accuracy",
        "paraphrases",
        {
            "train": Hub(PAWSX, "en", "train", _pair("sentence1", "sentence2"), rows=49_401),
            "dev": Hub(PAWSX, "{lang}", "validation", _pair("sentence1", "sentence2"), rows=2_000),
            "test": Hub(PAWSX, "{lang}", "test", _pair("sentence1", "sentence2"), rows=2_000),
        },
        labels=("different", "paraphrase"),
        file_labels=("0", "1"),
        languages=PAWSX_LANGUAGES,
        chance=50.0,
    ),
]
