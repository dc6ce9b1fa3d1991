"""What the formats share of XTREME's files: a prediction a line, scored against a label a line."""

from pathlib import Path


def lines(path: Path) -> list[str]:
    """A file's lines, stripped."""
    with open(path) as file:  # not splitlines, which also splits at separators inside a line
        return [line.strip() for line in file]


def accuracy(predicted: list, gold: list) -> dict[str, float]:
    """Share of equal items, in percent.

    Raises ValueError for lists of different lengths.
    """
    if len(predicted) != len(gold):
        raise ValueError(f"{len(predicted)} predictions for {len(gold)} examples")
    return {"accuracy": 100 * sum(p == g for p, g in zip(predicted, gold, strict=True)) / len(gold)}
