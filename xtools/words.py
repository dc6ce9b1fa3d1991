"""Tokenizers, each read once by a process and those that it forks: one of XLM-R's vocabulary takes seconds to read and to hash."""

from pathlib import Path

from transformers import AutoTokenizer

from xtools import versions

FILES = ("*.json", "*.model", "*.txt")  # of an encoder's folder, those that its tokenizer may come from
APART = ("card.json",)
_read: dict[tuple, object] = {}


def read(where: str, **options):
    """The tokenizer of a folder or Hub id, as transformers reads it with `options`; folders with the same files have the same one.

    Raises OSError or ValueError when there is none.
    """
    key = _identity(where, options)
    if key not in _read:
        _read[key] = AutoTokenizer.from_pretrained(where, **options)
    return _read[key]


def _identity(where: str, options: dict) -> tuple:
    """The content of a folder's files, or a Hub id and its revision, which stands for one commit as long as a process lives."""
    if Path(where).is_dir():
        return (versions.folder_digest(Path(where), FILES, APART),)
    return where, options.get("revision")
