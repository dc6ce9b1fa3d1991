"""Classification of one text or a pair: accuracy."""

import torch

from xtools.tasks import Hub, Task


def encode(rows: list[dict], tokenizer, task: Task, max_length: int) -> list[dict]:
    """One sequence per row; a row longer than `max_length` loses the end of its longer text and is marked `cut`."""
    encoded = tokenizer([r["text_a"] for r in rows], [r["text_b"] for r in rows], return_attention_mask=False)["input_ids"]
    long = [i for i, ids in enumerate(encoded) if len(ids) > max_length]
    for i in long:
        encoded[i] = tokenizer(rows[i]["text_a"], rows[i]["text_b"], truncation="longest_first", max_length=max_length)["input_ids"]
    long = set(long)
    return [{"ids": [ids], "row": i, "label": rows[i]["label"], "cut": i in long} for i, ids in enumerate(encoded)]


class Head(torch.nn.Module):
    """XLM-R's classification head: dropout, dense, tanh, dropout, linear, on the first token of each sequence."""

    def __init__(self, config, task: Task):
        super().__init__()
        self.dropout = torch.nn.Dropout(config.hidden_dropout_prob)
        self.dense = torch.nn.Linear(config.hidden_size, config.hidden_size)
        self.out = torch.nn.Linear(config.hidden_size, max(1, len(task.labels)))

    def forward(self, hidden: torch.Tensor, batch: dict) -> torch.Tensor:
        """Hidden states [sequences, tokens, hidden] to logits [sequences, labels]."""
        return self.out(self.dropout(torch.tanh(self.dense(self.dropout(hidden[:, 0])))))


def loss(logits: torch.Tensor, batch: dict) -> torch.Tensor:
    labels = torch.tensor([f["label"] for f in batch["features"]], device=logits.device)
    return torch.nn.functional.cross_entropy(logits, labels)


def decode(logits: torch.Tensor, batch: dict) -> list[int]:
    return logits.argmax(-1).tolist()


def assemble(features: list[dict], parts: list[int], rows: list[dict]) -> list[int]:
    return parts


def score(predictions: list[int], rows: list[dict], task: Task) -> dict[str, float]:
    """Accuracy in percent."""
    return {"accuracy": 100 * sum(p == r["label"] for p, r in zip(predictions, rows, strict=True)) / len(rows)}


NLI = ("entailment", "neutral", "contradiction")


def _nli(row: dict) -> dict | None:
    if row["label"] == -1:  # no gold label: annotators did not agree
        return None
    return {"text_a": row["premise"].strip(), "text_b": row["hypothesis"].strip(), "label": row["label"]}


MNLI = {
    "train": Hub("nyu-mll/glue", "mnli", "train", _nli),
    "dev": Hub("nyu-mll/glue", "mnli", "validation_matched", _nli),
}
XNLI_LANGUAGES = tuple("en ar bg de el es fr hi ru sw th tr ur vi zh".split())

TASKS = [
    Task("mnli", "classification", "accuracy", "nli", MNLI, labels=NLI, chance=100 / 3),
    Task(
        "xnli",
        "classification",
        "accuracy",
        "nli",
        # facebook/xnli's training sets other than English are machine translations, so training uses MNLI itself.
        {
            "train": MNLI["train"],
            "dev": Hub("facebook/xnli", "{lang}", "validation", _nli),
            "test": Hub("facebook/xnli", "{lang}", "test", _nli),
        },
        labels=NLI,
        languages=XNLI_LANGUAGES,
        chance=100 / 3,
    ),
]
