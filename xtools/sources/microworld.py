"""Task examples of the microworld: the same facts in every language, in the canonical rows of each format (see `xtools.tasks`).

Examples are numbered: example i of a split says the same thing in every language. Class cues other than meaning are removed where
the examples are made, and `tests/test_microworld.py` holds length-only and word-overlap baselines near chance.
"""

import random
from dataclasses import replace

from xtools.problems import Problem
from xtools.sources import world
from xtools.sources.world import Fact, Token, render, sample_fact, text

ANSWERS = ("agent", "obj", "place", "time")
NOISE = 0.08  # share of examples whose annotator guessed: as in real data, no model can be right everywhere


def _rng(*key) -> random.Random:
    return random.Random("-".join(map(str, (world.VERSION, *key))))


def _annotated(rng: random.Random, label: int, n: int) -> int:
    """The label as annotated: `NOISE` of the time a guess among `n`."""
    return rng.randrange(n) if rng.random() < NOISE else label


def _changed_concept(rng: random.Random, concept: str) -> str:
    """Another concept of the same kind that excludes this one: the antonym of an adjective, else any of its class."""
    if concept in world.ADJECTIVES:
        return world.ADJECTIVES[world.ADJECTIVES.index(concept) ^ 1]
    return rng.choice([c for c in world.CLASSES[concept] if c != concept])


def nli(rng: random.Random, say: random.Random, code: str) -> dict:
    """Premise and hypothesis about one fact: 0 entailment, 1 neutral, 2 contradiction.

    The premise says one of two details, an adjective or a time. The hypothesis says that detail with its synonym (entailment), the
    other detail instead (neutral), or the antonym or another time (contradiction). So in every class one content word of the premise
    goes and one comes; other details are dropped at random. Lengths and shared words are alike in all classes by construction.
    """
    label = rng.randrange(3)
    slot, other = rng.sample(["adj", "time"], 2)
    extras = [detail for detail in ("place", "number") if rng.random() < 0.5]
    fact = sample_fact(rng, details=(slot, other, *extras))
    concept = getattr(fact, slot)
    premise = replace(fact, **{slot if label == 1 else other: None})
    hypothesis = replace(fact, **{detail: None for detail in (other, *extras) if detail == other or rng.random() < 0.5})
    if label == 2:
        hypothesis = replace(hypothesis, **{slot: _changed_concept(rng, concept)})
    shared = {c: say.randrange(2) for c in world.UPOS}  # the words that both sentences share are the same words
    return {
        "text_a": text(render(premise, code, say, synonyms=shared)),
        "text_b": text(render(hypothesis, code, say, synonyms=shared | {concept: 1 - shared[concept]})),
        "label": _annotated(rng, label, 3),
    }


def _span(words: list[Token], slot: str) -> tuple[str, int]:
    """Text and character offset of the phrase that fills a slot (without determiner and adposition)."""
    start, parts, position = None, [], 0
    for token in words:
        if token.slot == slot:
            start = position if start is None else start
            parts.append(token.word)
        position += len(token.word) + 1
    return " ".join(parts), start


def qa(rng: random.Random, say: random.Random, code: str, n_facts: int = 2) -> dict:
    """`n_facts` unrelated facts and a question about one slot of one of them; it says the fact's other slots, which single it out."""
    while True:
        story = [sample_fact(rng) for _ in range(n_facts)]
        fact = rng.choice(story)
        asked = rng.choice([slot for slot in ANSWERS if getattr(fact, slot)])
        said = {s: getattr(fact, s) for s in ("agent", "verb", "obj", *world.DETAILS) if s != asked and getattr(fact, s)}
        if sum(all(getattr(f, s) == v for s, v in said.items()) for f in story) == 1:
            break
    sentences = [render(f, code, say) for f in story]
    answerable = [i for i, f in enumerate(story) if getattr(f, asked)]
    at = rng.choice(answerable) if rng.random() < NOISE else story.index(fact)
    answer, offset = _span(sentences[at], asked)
    offset += sum(len(text(s)) + 1 for s in sentences[:at])
    return {
        "question": text(render(fact, code, say, asked)),
        "context": " ".join(map(text, sentences)),
        "answers": {"text": [answer], "answer_start": [offset]},
    }


def _unlike(rng: random.Random, fact: Fact, details: tuple) -> Fact:
    """A fact that does not usually follow `fact`: the same agent and kinds of details, and a verb that is not a usual next event."""
    usual = {fact.verb, *world.habits()[fact.verb]["next"]}
    return sample_fact(rng, fact.agent, rng.choice([v for v in world.VERBS if v not in usual]), details)


def continuation(rng: random.Random, say: random.Random, code: str) -> dict:
    """A story of two facts and four endings; the right one is what usually happens next. All endings have the same details."""
    story = world.sample_story(rng, 2)
    details = tuple(d for d in world.DETAILS if rng.random() < 0.2)
    endings = [_unlike(rng, story[-1], details) for _ in range(3)]
    label = rng.randrange(4)
    endings.insert(label, world.next_fact(rng, story[-1], details))
    return {
        "context": " ".join(text(render(f, code, say)) for f in story),
        "choices": [text(render(f, code, say)) for f in endings],
        "label": _annotated(rng, label, 4),
    }


def causes(rng: random.Random, say: random.Random, code: str) -> dict:
    """A fact, the connective `because` or `then`, and two alternatives; the right one usually came before, or comes next."""
    cause = sample_fact(rng, details=())
    effect = world.next_fact(rng, cause, ())
    ask_cause = rng.random() < 0.5
    premise, right = (effect, cause) if ask_cause else (cause, effect)
    while True:
        wrong = sample_fact(rng, premise.agent, details=())
        first, second = (wrong, effect) if ask_cause else (cause, wrong)
        if wrong.verb not in (cause.verb, effect.verb) and second.verb not in world.habits()[first.verb]["next"]:
            break
    label = rng.randrange(2)
    connective = world.spell(world.lexicon(code)["because" if ask_cause else "then"][0], world.LANGUAGES[code])
    choices = [text(render(f, code, say)) for f in ((right, wrong) if label == 0 else (wrong, right))]
    return {"context": f"{text(render(premise, code, say))} {connective}", "choices": choices, "label": _annotated(rng, label, 2)}


def tagged(rng: random.Random, say: random.Random, code: str) -> list[Token]:
    """A story of one or two facts as tokens."""
    return [token for fact in world.sample_story(rng, rng.choice([1, 2])) for token in render(fact, code, say)]


def pos(rng: random.Random, say: random.Random, code: str) -> dict:
    tokens = tagged(rng, say, code)
    known = sorted({*world.UPOS.values(), "DET", "ADP", "NUM", "PROPN"})
    tags = [rng.choice(known) if rng.random() < NOISE / 2 else t.upos for t in tokens]
    return {"words": [t.word for t in tokens], "tags": tags}


def ner(rng: random.Random, say: random.Random, code: str) -> dict:
    tokens = tagged(rng, say, code)
    return {"words": [t.word for t in tokens], "tags": [t.ner for t in tokens]}


def pairs(rng: random.Random, say: random.Random, code: str) -> dict:
    """The same story of two facts in the language and in the source language."""
    story = world.sample_story(rng, 2)
    return {
        "text": " ".join(text(render(f, code, say)) for f in story),
        "source_text": " ".join(text(render(f, world.SOURCE, say)) for f in story),
    }


MAKERS = {"nli": nli, "qa": qa, "continuation": continuation, "causes": causes, "pos": pos, "ner": ner, "pairs": pairs}


def rows(maker: str, split: str, language: str, n: int) -> list[dict]:
    """The first `n` examples of a kind, split and language; the same `n` facts in every language.

    Raises Problem for a language that the microworld does not have.
    """
    if language not in world.LANGUAGES:
        raise Problem(f"language {language}: not one of the microworld's ({', '.join(world.LANGUAGES)})")
    return [{"id": f"{split}-{i}"} | MAKERS[maker](_rng(maker, split, i), _rng(maker, split, i, language), language) for i in range(n)]
