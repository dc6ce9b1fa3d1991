"""Makers of the microworld's retrieval examples: queries, candidates, and the training pairs of a dual encoder."""

import random

from xtools.sources import world
from xtools.sources.world import render, sample_fact, text
from xtools.sources.world_examples import question, rng_of


def _story(rng: random.Random, say: random.Random, code: str) -> str:
    """A story of two facts in a language."""
    return " ".join(text(render(fact, code, say)) for fact in world.sample_story(rng, 2))


def pairs(rng: random.Random, say: random.Random, code: str, side: str, i: int) -> list[dict]:
    """The same story of two facts: the query in the source language, the candidate in the other."""
    return [{"text": _story(rng, say, world.SOURCE if side == "query" else code)}]


def mining(rng: random.Random, say: random.Random, code: str, side: str, i: int) -> list[dict]:
    """As `pairs`, the other way round; for half of the queries the candidate is another story (a distractor), and gold is empty."""
    paired = rng.random() < 0.5
    if side == "query":
        return [{"text": _story(rng, say, code)} | ({} if paired else {"gold": []})]
    if not paired:
        rng = random.Random(rng.random())
    return [{"text": _story(rng, say, world.SOURCE)}]


def answers(rng: random.Random, say: random.Random, code: str, side: str, i: int) -> list[dict]:
    """A question, and as candidates each sentence of its context (three facts) followed by the whole context, with what it answers."""
    story, fact, asked, said = question(rng, 3)
    if side == "query":
        return [{"text": text(render(said, code, say, asked))}]
    sentences = [text(render(f, code, say)) for f in story]
    told = [{"text": f"{sentence} {' '.join(sentences)}", "fact": f} for sentence, f in zip(sentences, story, strict=True)]
    if side == "pair":
        query = text(render(said, code, say, asked))
        return [{"text": query, "positive": next(t["text"] for t in told if t["fact"] is fact)}]
    return [{"id": f"{i}-{k}", "text": t["text"], "answers": [f"{i}"] if t["fact"] is fact else []} for k, t in enumerate(told)]


N_ENTITIES = 60 * 2  # persons and places: two for each name


def _entity(i: int) -> tuple[tuple, str, str]:
    """An entity: who or where it is, and the two events that it is known for. Persons and places share their names."""
    rng = rng_of("entity", i)
    kind = ("per", "loc")[i % 2]
    first, second = rng.sample(world.VERBS, 2)
    return (kind, i // 2 % world.N_NAMES), first, second


def entities(rng: random.Random, say: random.Random, code: str, side: str, i: int) -> list[dict]:
    """A mention in its sentence, written as XTREME-R writes it, and as candidates the descriptions of all entities.

    A person and a place may share a name; the event that the sentence tells decides which is meant. Descriptions are in different
    languages, as Mewsli-X's are.
    """
    key = i if side == "candidate" else rng.randrange(N_ENTITIES)
    value, first, second = _entity(key)
    described = [sample_fact(rng_of("described", key, verb), value, verb, ("time",)) for verb in (first, second)]
    language = code if side == "pair" else list(world.LANGUAGES)[key % 6]  # the seventh is in no pretraining text
    description = " ".join(text(render(fact, language, say)) for fact in described)
    if side == "candidate":
        return [{"id": f"entity-{key}", "text": description}]
    fact = sample_fact(rng, value, rng.choice([first, second]), ("time",))
    words = [token.word for token in render(fact, code, say)]
    place = next(n for n, token in enumerate(render(fact, code, random.Random(0))) if token.slot == "agent")
    mention = words[place]
    words[place] = f"{{ {mention} }}"
    query = {"text": f"{mention}: {' '.join(words)}"}
    return [query | ({"positive": description} if side == "pair" else {"gold": [f"entity-{key}"]})]


MAKERS = {"pairs": pairs, "mining": mining, "answers": answers, "entities": entities}
POOLS = {"entities": N_ENTITIES}  # of the makers whose candidates are the same for any number of queries: how many there are


def rows(maker: str, split: str, language: str, n: int) -> list[dict]:
    """Training pairs, queries, or candidates: `n` of them, or what belongs to `n` queries; a row without an id is named by its number.

    A query without gold is answered by the candidate with its id.
    """
    task, _, last = split.rpartition("-")
    side = "pair" if split == "train" else "candidate" if last == "candidates" else "query"
    key = "train" if split == "train" else task  # queries and their candidates tell the same facts
    n = POOLS.get(maker, n) if side == "candidate" else n
    return [{"id": f"{i}"} | row for i in range(n) for row in _example(maker, key, i, language, side)]


def _example(maker: str, key: str, i: int, language: str, side: str) -> list[dict]:
    """What a maker says of example `i` on one side, in a language."""
    return MAKERS[maker](rng_of(maker, key, i), rng_of(maker, key, i, language, side), language, side, i)
