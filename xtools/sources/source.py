"""Which data a study reads, what its README says of its files, and the text in its rows."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

# What the header of a README raises that is not as the Hub's are.
UNREADABLE = (yaml.YAMLError, AttributeError, KeyError, TypeError, UnicodeDecodeError)


@dataclass(frozen=True)
class Source:
    """`root` is microworld, hub, or a folder in the Hub's layout.

    `subset` allows splits whose row count is not the published one; `ccg` and `translations` are the folders of data that no hub serves;
    `noise` is the word-error rate of machine translation in the microworld.
    """

    root: str
    subset: bool = False
    ccg: str | None = None
    translations: str | None = None
    noise: float = 0.1

    @property
    def is_generated(self) -> bool:
        """Whether rows are made, in any number, rather than read."""
        return self.root == "microworld"


def texts(row: dict) -> list[str]:
    """The running text in a canonical row, the longest piece of evidence first."""
    pieces = [row[key] for key in ("context", "text_a", "text", "text_b", "question", "positive") if key in row]
    pieces += row.get("choices", [])
    return pieces + ([" ".join(row["words"])] if "words" in row else [])


def each(there) -> Iterator[dict]:
    """The rows of a datasets.Dataset, decoded many at a time: one by one that takes a tenth as long as encoding them."""
    for some in there.iter(1_000):
        yield from (dict(zip(some, values, strict=True)) for values in zip(*some.values(), strict=True))


@lru_cache
def header(readme: Path, changed: int) -> dict:
    """A README's header, read once for the hundreds of splits that it describes."""
    return yaml.safe_load(readme.read_text().partition("---\n")[2].partition("\n---")[0])
