"""The microworld: a generated world of events, and constructed languages that all describe the same events.

The languages differ in what real cross-lingual transfer depends on: word order, affixes and function words, share of cognates,
script, and amount of pretraining text (K et al. 2020; Dufter and Schuetze 2020; Deshpande et al. 2022). Their codes are those that
ISO 639 reserves for private use. Everything follows from `VERSION` and seeds, so every translation is exact by construction.
"""

import hashlib
import random
from dataclasses import dataclass, replace
from functools import cache

VERSION = 1
SOURCE = "qaa"


@dataclass(frozen=True)
class Language:
    """One constructed language; `share` is its weight in the pretraining text, relative to the source language."""

    code: str
    description: str
    order: str = "SVO"
    adjective_first: bool = True
    preposition: bool = True
    determiner: bool = True
    affixes: bool = False
    cognates: float = 1.0
    script: str = "latin"
    share: float = 1.0

    @property
    def traits(self) -> tuple:
        """What a language is like: verb before object, subject before verb, adjective and adposition first, determiner, affixes, script."""
        v, o, s = (self.order.index(role) for role in "VOS")
        return v < o, s < v, self.adjective_first, self.preposition, self.determiner, self.affixes, self.script

    @property
    def distance(self) -> float:
        """Distance from the source language in [0, 1]: the mean of eight differences, seven traits and the share of other words."""
        differences = [a != b for a, b in zip(self.traits, LANGUAGES[SOURCE].traits, strict=True)]
        return (sum(differences) + 1 - self.cognates) / (len(differences) + 1)


LANGUAGES = {
    language.code: language
    for language in (
        Language("qaa", "source"),
        Language("qab", "close", cognates=0.4),
        Language("qac", "verb-final", order="SOV", preposition=False, affixes=True, cognates=0.2),
        Language("qad", "verb-first", order="VSO", adjective_first=False, affixes=True, cognates=0.2),
        Language("qae", "other script", cognates=0.0, script="georgian"),
        Language("qaf", "low-resource", cognates=0.3, share=0.06),
        Language("qag", "unseen", adjective_first=False, cognates=0.5, share=0.0),
    )
}

# Concepts: each has two interchangeable words (synonyms) in every language; names and digits are shared by all languages.
ANIMATE = [f"animate{i}" for i in range(12)]
THINGS = [f"thing{i}" for i in range(24)]
PLACES = [f"place{i}" for i in range(12)]
ORGS = [f"org{i}" for i in range(4)]
VERBS = [f"verb{i}" for i in range(24)]
ADJECTIVES = [f"adj{i}" for i in range(20)]  # adj0 and adj1 are antonyms, adj2 and adj3, ...
TIMES = [f"time{i}" for i in range(5)]
FUNCTION = ["the", "in", "who", "what", "where", "when", "acc", "past", "because", "then"]
UPOS = dict.fromkeys(ANIMATE + THINGS + PLACES + ORGS, "NOUN") | dict.fromkeys(VERBS, "VERB")
UPOS |= dict.fromkeys(ADJECTIVES, "ADJ") | dict.fromkeys(TIMES, "ADV")
CLASSES = {concept: group for group in (ANIMATE, THINGS, PLACES, ORGS, VERBS, TIMES) for concept in group}
HOMONYMS = 4  # the second word of this many verbs is also a noun, so that a word alone does not give its part of speech
N_NAMES = 60
RARER = 0.3  # chance of a concept's second word
GEORGIAN = dict(zip("abcdefghijklmnopqrstuvwxyz", "აბცდეფგჰიჯკლმნოპქრსტუვწხყზ", strict=True))


@dataclass(frozen=True)
class Fact:
    """One event. Agent and place are `(kind, key)` with kind noun, per, org or loc; the other slots are concepts, or None when unsaid."""

    agent: tuple
    verb: str
    obj: str | None = None
    adj: str | None = None
    number: str | None = None
    place: tuple | None = None
    time: str | None = None


DETAILS = ("adj", "number", "place", "time")


@dataclass(frozen=True)
class Token:
    """One word of a rendered fact, with its part of speech, the slot that it fills and its BIO entity tag."""

    word: str
    upos: str
    slot: str = ""
    ner: str = "O"


def _syllables(rng: random.Random, n: int) -> str:
    return "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(n))


@cache
def names() -> list[str]:
    """The 60 names that all languages share (each language writes them in its own script)."""
    rng = random.Random(f"names-{VERSION}")
    found: dict[str, None] = {}
    while len(found) < N_NAMES:
        found[(_syllables(rng, 2) + rng.choice("lnrsx")).capitalize()] = None
    return list(found)


@cache
def lexicon(code: str) -> dict[str, tuple[str, ...]]:
    """The words of each concept (two) and of each function (one) in a language; cognates keep the source language's words."""
    language, rng = LANGUAGES[code], random.Random(f"lexicon-{VERSION}-{code}")
    used = set() if code == SOURCE else {word for words in lexicon(SOURCE).values() for word in words}

    def fresh(n: int) -> str:
        while True:
            word = _syllables(rng, n) + rng.choice(["", "", "k", "m", "sh"])
            if word not in used:
                used.add(word)
                return word

    words: dict[str, tuple[str, ...]] = {f: (fresh(1),) for f in FUNCTION}
    for concept in UPOS:
        cognate = code != SOURCE and rng.random() < language.cognates
        words[concept] = lexicon(SOURCE)[concept] if cognate else (fresh(2), fresh(rng.choice([2, 3])))
    for verb, noun in zip(VERBS[:HOMONYMS], THINGS[:HOMONYMS], strict=True):
        words[verb] = (words[verb][0], words[noun][1])
    return words


def spell(word: str, language: Language) -> str:
    """The word in the language's script."""
    return "".join(GEORGIAN.get(c.lower(), c) for c in word) if language.script == "georgian" else word


@cache
def habits() -> dict[str, dict[str, list]]:
    """What the world makes likely: each verb's usual objects (5), places (4) and next events (3)."""
    rng = random.Random(f"habits-{VERSION}")
    return {
        verb: dict(
            objects=rng.sample(THINGS + ANIMATE, 5), places=rng.sample(PLACES, 4), next=rng.sample([v for v in VERBS if v != verb], 3)
        )
        for verb in VERBS
    }


def sample_agent(rng: random.Random) -> tuple:
    """Who acts: an animate noun, a person, an organisation, or a place that stands for its people."""
    kind = rng.choices(["noun", "per", "loc", "org"], [8, 6, 2, 2])[0]
    if kind == "noun":
        return "noun", rng.choice(ANIMATE)
    return (kind, (rng.choice(ORGS), sample_name(rng, kind))) if kind == "org" else (kind, sample_name(rng, kind))


def sample_name(rng: random.Random, kind: str) -> int:
    """A name; most mentions use the kind's own third of the names, but neither name nor position alone gives the type."""
    third = N_NAMES // 3
    return rng.randrange(third) + third * ("per", "loc", "org").index(kind) if rng.random() < 0.8 else rng.randrange(N_NAMES)


def sample_detail(rng: random.Random, slot: str, verb: str):
    """A value for a slot of a fact with this verb: usual four times in five where the world has habits."""
    if slot == "place":
        kind = rng.choices(["noun", "loc", "per"], [6, 3, 1])[0]  # someone's place goes by the person's name
        if kind != "noun":
            return kind, sample_name(rng, kind)
        return "noun", rng.choice(habits()[verb]["places"] if rng.random() < 0.8 else PLACES)
    if slot == "obj":
        return rng.choice(habits()[verb]["objects"] if rng.random() < 0.8 else THINGS + ANIMATE)
    return rng.choice({"adj": ADJECTIVES, "number": list("23456789"), "time": TIMES}[slot])


def sample_fact(rng: random.Random, agent: tuple | None = None, verb: str | None = None, details: tuple | None = None) -> Fact:
    """A fact with an object and the given details (each with probability .4 when not given)."""
    verb = verb or rng.choice(VERBS)
    details = tuple(d for d in DETAILS if rng.random() < 0.4) if details is None else details
    return Fact(agent or sample_agent(rng), verb, **{slot: sample_detail(rng, slot, verb) for slot in ("obj", *details)})


def next_fact(rng: random.Random, fact: Fact, details: tuple | None = None) -> Fact:
    """A fact that usually follows: the same agent, one of the verb's usual next events."""
    return sample_fact(rng, fact.agent, rng.choice(habits()[fact.verb]["next"]), details)


def sample_story(rng: random.Random, n_facts: int) -> list[Fact]:
    """Facts in order; the next one keeps its agent and follows the script seven times in ten."""
    story = [sample_fact(rng)]
    while len(story) < n_facts:
        story.append(next_fact(rng, story[-1]) if rng.random() < 0.7 else sample_fact(rng))
    return story


def drop_details(rng: random.Random, fact: Fact, p: float = 0.5) -> Fact:
    """The same fact, said with fewer details."""
    return replace(fact, **{slot: None for slot in DETAILS if rng.random() < p})


def render(fact: Fact, code: str, rng: random.Random, asked: str | None = None, synonyms: dict | None = None) -> list[Token]:
    """The fact as tokens of a language; with `asked`, the question about that slot.

    `synonyms` maps a concept to the index of the word to use; other concepts get one of their two words at random.
    """
    language, words = LANGUAGES[code], lexicon(code)

    def content(concept: str, slot: str, suffix: str = "") -> Token:
        choice = (synonyms or {}).get(concept)
        word = words[concept][int(rng.random() < RARER) if choice is None else choice] + suffix
        return Token(spell(word, language), UPOS[concept], slot)

    def function(name: str, upos: str, slot: str = "") -> Token:
        return Token(spell(words[name][0], language), upos, slot)

    def name(index: int, kind: str, slot: str, prefix: str = "B") -> Token:
        return Token(spell(names()[index], language), "PROPN", slot, f"{prefix}-{kind.upper()}")

    def noun_phrase(concept: str, slot: str, adj=None, number=None, suffix="") -> list[Token]:
        head, modifier = [content(concept, slot, suffix)], [content(adj, "adj")] if adj else []
        phrase = modifier + head if language.adjective_first else head + modifier
        if number:
            return [Token(number, "NUM", "number"), *phrase]
        return [function("the", "DET"), *phrase] if language.determiner else phrase

    def entity(value: tuple, slot: str) -> list[Token]:
        kind, key = value
        if kind == "noun":
            return noun_phrase(key, slot)
        if kind == "org":
            head = content(key[0], slot)
            return [replace(head, ner="B-ORG"), name(key[1], "org", slot, "I")]
        return [name(key, kind, slot)]

    accusative = words["acc"][0] if language.affixes and language.order == "SOV" else ""
    tense = words["past"][0] if language.affixes else ""
    parts = {
        "S": [] if asked == "agent" else entity(fact.agent, "agent"),
        "V": [content(fact.verb, "verb", tense)],
        "O": [] if asked == "obj" or not fact.obj else noun_phrase(fact.obj, "obj", fact.adj, fact.number, accusative),
    }
    adposition, place = [function("in", "ADP")], []
    if fact.place and asked != "place":
        place = entity(fact.place, "place")
        place = adposition + place if language.preposition else place + adposition
    time = [content(fact.time, "time")] if fact.time and asked != "time" else []
    clause = [token for role in language.order for token in parts[role]]
    if language.order == "SOV":
        clause = parts["S"] + time + place + parts["O"] + parts["V"]
    else:
        clause = clause + place + time
    if asked:
        question_word = {"agent": "who", "obj": "what", "place": "where", "time": "when"}[asked]
        return [function(question_word, "PRON"), *clause, Token("?", "PUNCT")]
    return [*clause, Token(".", "PUNCT")]


def text(tokens: list[Token]) -> str:
    return " ".join(token.word for token in tokens)


def document(rng: random.Random, code: str) -> tuple[str, str]:
    """One pretraining document as a pair of texts: a story, then its facts again in another order, said with fewer details or asked.

    Restating and asking is what makes text teach meaning: a word that is masked in one place can be found by understanding the other.
    """
    story = sample_story(rng, rng.choice([1, 2, 3]))
    again = [restate(rng, fact, code) if rng.random() < 0.5 else ask(rng, fact, code) for fact in rng.sample(story, len(story))]
    return " ".join(text(render(fact, code, rng)) for fact in story), " ".join(again)


def restate(rng: random.Random, fact: Fact, code: str) -> str:
    return text(render(drop_details(rng, fact), code, rng))


def ask(rng: random.Random, fact: Fact, code: str) -> str:
    """A question about a slot of the fact, and its answer."""
    asked = rng.choice([slot for slot in ("agent", "obj", "place", "time") if getattr(fact, slot)])
    kept = replace(drop_details(rng, fact, 0.3), **{asked: getattr(fact, asked)})
    answer = " ".join(token.word for token in render(fact, code, rng) if token.slot == asked)
    return text(render(kept, code, rng, asked)) + " " + answer


def corpus(seed: int, n_documents: int) -> list[tuple[str, str]]:
    """Pretraining documents over all languages in proportion to their shares, in random order."""
    rng = random.Random(f"corpus-{VERSION}-{seed}")
    codes, shares = zip(*((code, language.share) for code, language in LANGUAGES.items()), strict=True)
    return [document(rng, code) for code in rng.choices(codes, shares, k=n_documents)]


@cache
def fingerprint() -> str:
    """A hash of what the world says: every lexicon, and documents of every language. Changes exactly when the text could."""
    digest = hashlib.sha256(repr(sorted(habits().items())).encode())
    for code in LANGUAGES:
        rng = random.Random(f"fingerprint-{code}")
        digest.update(repr((LANGUAGES[code], lexicon(code), [document(rng, code) for _ in range(50)])).encode())
    return digest.hexdigest()[:16]
