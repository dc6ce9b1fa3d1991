"""Rows of the microworld's tasks, and their machine translations: the same facts in every language."""

import random

from xtools.problems import Problem
from xtools.sources import world, world_examples, world_retrieval
from xtools.sources.world_examples import rng_of


def rows(maker: str, split: str, language: str, n: int) -> list[dict]:
    """The first `n` examples of a kind, split and language; the same `n` facts in every language.

    Raises Problem for a language that the microworld does not have.
    """
    if language not in world.LANGUAGES:
        raise Problem(f"language {language}: not one of the microworld's ({', '.join(world.LANGUAGES)})")
    if maker in world_retrieval.MAKERS:
        return world_retrieval.rows(maker, split, language, n)
    return [
        {"id": f"{split}-{i}"} | world_examples.MAKERS[maker](rng_of(maker, split, i), rng_of(maker, split, i, language), language)
        for i in range(n)
    ]


def translated(maker: str, language: str, n: int, noise: float) -> list[dict]:
    """The first `n` training examples in another language as a machine would translate them: a share `noise` of the words is another
    word of the language. Spans and tags are kept in place, as word-aligned projection would."""
    exact = rows(maker, "train", language, n)
    words = [world.spell(word, world.LANGUAGES[language]) for key, forms in sorted(world.lexicon(language).items()) for word in forms]
    return [_garbled(row, rng_of("translation", maker, language, i), words, noise) for i, row in enumerate(exact)]


def _garbled(row: dict, rng: random.Random, words: list[str], noise: float) -> dict:
    """A row with some words replaced; an answer that is touched changes with its context."""

    def line(value: str) -> str:
        return " ".join(rng.choice(words) if w.isalpha() and rng.random() < noise else w for w in value.split())

    row = dict(row)
    for key in ("text_a", "text_b", "question", "text", "positive"):
        if key in row:
            row[key] = line(row[key])
    if "choices" in row:
        row["choices"] = [line(choice) for choice in row["choices"]]
    if "words" in row:
        row["words"] = line(" ".join(row["words"])).split()
    if "context" in row and "answers" in row and row["answers"]["text"]:
        context, start = row["context"], row["answers"]["answer_start"][0]
        before = line(context[:start])
        answer = line(row["answers"]["text"][0])
        after = line(context[start + len(row["answers"]["text"][0]) :])
        row["answers"] = {"text": [answer], "answer_start": [len(before) + 1 if before else 0]}
        row["context"] = " ".join(part for part in (before, answer, after) if part)
    elif "context" in row:
        row["context"] = line(row["context"])
    return row
