"""A few rows beside their gold answers and predictions, readable, for the notebooks' pages."""

import pandas as pd

from xtools.sources import texts
from xtools.tasks import Task


def asked(row: dict) -> str:
    """What a row asks, on one line."""
    return " | ".join(texts(row))


def gold(row: dict, task: Task) -> str:
    """The gold answer of a row."""
    if task.format == "span":
        return " / ".join(row["answers"]["text"]) or "(no answer)"
    if task.format == "tagging":
        return " ".join(row["tags"])
    if task.format == "retrieval":
        return " / ".join(row["texts"][i] for i in row["gold"][:3] if i in row["texts"]) or "(no counterpart)"
    return row["choices"][row["label"]] if task.format == "choice" else task.labels[row["label"]]


def readable(prediction, row: dict, task: Task) -> str:
    """A prediction in the words of `gold`."""
    if task.format == "span":
        return prediction or "(no answer)"
    if task.format == "tagging":
        return " ".join(task.labels[p] for piece in prediction for p in piece)
    if task.format == "retrieval":
        return row["texts"][prediction[0]] if prediction else "(nothing mined)"
    return row["choices"][prediction] if task.format == "choice" else task.labels[prediction]


def table(entries: list[tuple[str, Task, list[dict], list | None]], n: int = 3) -> pd.DataFrame:
    """The first `n` rows of each (label, task, rows, predictions or None)."""
    found = []
    for label, task, rows, predictions in entries:
        for i, row in enumerate(rows[:n]):
            line = {"": label, "asked": asked(row), "gold": gold(row, task)}
            found.append(line | ({"predicted": readable(predictions[i], row, task)} if predictions else {}))
    return pd.DataFrame(found)
