"""Wikipedia's articles, as far as they were fetched from the Hub: the unlabelled text of studies that read it."""

import datasets

from xtools import snapshots
from xtools.problems import Problem
from xtools.sources import layout

REPO, DUMP = "wikimedia/wikipedia", "20231101"


def where(language: str) -> str:
    return f"{REPO} ({DUMP}.{language})"


def files(language: str) -> list[str] | None:
    """The first file of a language's articles, where the commit that is read has one; None where that is not known here."""
    names = snapshots.names("datasets", REPO)
    return None if names is None else first(names, language)


def first(names: list[str], language: str) -> list[str]:
    """Of the names of all files the first of a language's."""
    return [name for name in names if name.startswith(f"{DUMP}.{language}/train-00000-")]


def is_fetched(language: str) -> bool:
    """Whether a language's file is here.

    Raises Problem where there is no such language.
    """
    found = files(language)
    if found == []:
        raise Problem(f"{where(language)}: not among its languages; take {language}, or the +mlm recipes, out of the study")
    return found is not None and snapshots.are_there("datasets", REPO, found)


def articles(language: str, n: int) -> list[str]:
    """The first `n` articles' first 2,000 characters.

    Raises Problem when they are not here.
    """
    if not is_fetched(language):
        raise layout.unfetched(where(language))
    paths = [str(snapshots.folder("datasets", REPO) / name) for name in files(language)]
    try:
        return [text[:2000] for text in datasets.load_dataset("parquet", data_files=paths, split=f"train[:{n}]")["text"]]
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise Problem(
            f"{where(language)}: cannot be loaded ({' '.join(str(error).split())[:200]}); remove it and fetch it again"
        ) from error
