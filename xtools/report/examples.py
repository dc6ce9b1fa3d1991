"""A few rows beside their gold answers and predictions, readable, for the notebooks' pages."""

import pandas as pd

from xtools.sources import texts
from xtools.tasks import Task, format_of


def asked(row: dict) -> str:
    """What a row asks, on one line."""
    return " | ".join(texts(row))


def table(entries: list[tuple[str, Task, list[dict], list | None]], n: int = 3) -> pd.DataFrame:
    """The first `n` rows of each (label, task, rows, predictions or None)."""
    lines = []
    for label, task, rows, predictions in entries:
        form = format_of(task)
        for i, row in enumerate(rows[:n]):
            line = {"": label, "asked": asked(row), "gold": form.gold_text(row, task)}
            lines.append(line | ({"predicted": form.prediction_text(predictions[i], row, task)} if predictions else {}))
    return pd.DataFrame(lines)
