"""Makers of the microworld's task examples, one a kind of task: a canonical row (see `xtools.tasks`) from random numbers for what is
said (`rng`), random numbers for how (`say`), and a language. Retrieval's are in `world_retrieval`.

Examples are numbered: example i of a split says the same thing in every language. Class cues other than meaning are removed where
the examples are made, and `tests/test_microworld.py` holds length-only and word-overlap baselines near chance.
"""

import itertools
import random
from dataclasses import replace
from functools import cache

from xtools.sources import world
from xtools.sources.world import Fact, Token, render, sample_fact, text

ANSWERS = ("agent", "obj", "place", "time")
NOISE = 0.08  # share of examples whose annotator guessed: as in real data, no model can be right everywhere


def rng_of(*key) -> random.Random:
    """Random numbers that follow from the world's version and a key."""
    return random.Random("-".join(map(str, (world.VERSION, *key))))


def _annotated(rng: random.Random, label: int, n: int) -> int:
    """The label as annotated: `NOISE` of the time a guess among `n`."""
    return rng.randrange(n) if rng.random() < NOISE else label


def _changed_concept(rng: random.Random, concept: str) -> str:
    """Another concept of the same kind that excludes this one: the antonym of an adjective, else any of its class."""
    if concept in world.ADJECTIVES:
        return world.ADJECTIVES[world.ADJECTIVES.index(concept) ^ 1]
    return rng.choice([c for c in world.CLASSES[concept] if c != concept])


def _changed(rng: random.Random, fact: Fact, slot: str) -> Fact:
    """The fact with another concept in one of its slots."""
    values: dict = {slot: _changed_concept(rng, getattr(fact, slot))}
    return replace(fact, **values)


def nli(rng: random.Random, say: random.Random, code: str) -> dict:
    """Premise and hypothesis about one fact: 0 entailment, 1 neutral, 2 contradiction.

    The premise says one of two details, an adjective or a time. The hypothesis says that detail, the verb or the object with its synonym
    (entailment) or with what excludes it (contradiction: an antonym, another time, verb or object), or the other detail instead (neutral).
    So in every class one content word of the premise goes and one comes; other details are dropped at random. Lengths and shared words
    are alike in all classes by construction. With words of several kinds a small encoder learns to compare in a few hundred steps, where
    with the two details alone many a run did not.
    """
    label = rng.randrange(3)
    slot, other = rng.sample(["adj", "time"], 2)
    extras = [detail for detail in ("place", "number") if rng.random() < 0.5]
    fact = sample_fact(rng, details=(slot, other, *extras))
    word = slot if label == 1 else rng.choice([slot, "verb", "obj"])
    concept = getattr(fact, word)
    premise = replace(fact, **{slot if label == 1 else other: None})
    hypothesis = replace(fact, **{detail: None for detail in (other, *extras) if detail == other or rng.random() < 0.5})
    if label == 2:
        hypothesis = _changed(rng, hypothesis, word)
    shared = {c: say.randrange(2) for c in world.UPOS}  # the words that both sentences share are the same words
    return {
        "text_a": text(render(premise, code, say, synonyms=shared)),
        "text_b": text(render(hypothesis, code, say, synonyms=shared | {concept: 1 - shared[concept]})),
        "label": _annotated(rng, label, 3),
    }


def nli_plus(rng: random.Random, say: random.Random, code: str) -> dict:
    """`nli`, and for half of the examples a second fact before the premise that the hypothesis does not speak of."""
    made = nli(rng, say, code)
    if rng.random() < 0.5:
        made["text_a"] = text(render(sample_fact(rng), code, say)) + " " + made["text_a"]
    return made


def duplicates(rng: random.Random, say: random.Random, code: str) -> dict:
    """Two questions about one slot: 1 when they ask the same, with synonyms; 0 when one content word means something else."""
    label = rng.randrange(2)
    fact = sample_fact(rng, details=tuple(d for d in ("adj", "place", "time") if rng.random() < 0.6) or ("time",))
    asked = rng.choice([slot for slot in ANSWERS if getattr(fact, slot)])
    changeable = [slot for slot in ("verb", "obj", "adj", "time") if slot != asked and getattr(fact, slot)]
    changed = [slot for slot in changeable if not (slot == "adj" and asked == "obj")]
    slot = rng.choice(changed)
    concept = getattr(fact, slot)
    other = fact if label else _changed(rng, fact, slot)
    shared = {c: say.randrange(2) for c in world.UPOS}
    return {
        "text_a": text(render(fact, code, say, asked, synonyms=shared)),
        "text_b": text(render(other, code, say, asked, synonyms=shared | {concept: 1 - shared[concept]})),
        "label": _annotated(rng, label, 2),
    }


def paraphrases(rng: random.Random, say: random.Random, code: str) -> dict:
    """Two sentences with nearly the same words, as in PAWS: 1 when one says the other with a synonym, 0 when two roles are exchanged."""
    label = rng.randrange(2)
    first, second = rng.sample(world.ANIMATE, 2)
    details = tuple(d for d in ("place", "time") if rng.random() < 0.5)
    fact = replace(sample_fact(rng, details=details), agent=("noun", first), obj=second, adj=rng.choice(world.ADJECTIVES))
    other = fact if label else replace(fact, agent=("noun", second), obj=first)
    shared = {c: say.randrange(2) for c in world.UPOS}
    return {
        "text_a": text(render(fact, code, say, synonyms=shared)),
        "text_b": text(render(other, code, say, synonyms=shared | {fact.adj: 1 - shared[fact.adj]})),
        "label": _annotated(rng, label, 2),
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


def question(rng: random.Random, n_facts: int, sparse: bool = False) -> tuple[list[Fact], Fact, str, Fact]:
    """Unrelated facts, one of them, one of its slots to ask for, and the fact as the question says it.

    The question says the fact's other slots, which single it out; a `sparse` one says as few as do so.
    """
    while True:
        story = [sample_fact(rng) for _ in range(n_facts)]
        fact = rng.choice(story)
        asked = rng.choice([slot for slot in ANSWERS if getattr(fact, slot)])
        kept = [slot for slot in ("agent", "obj", *world.DETAILS) if slot != asked and getattr(fact, slot)]
        if _matching(story, fact, kept) == 1:
            break
    for slot in rng.sample(kept, len(kept)) if sparse else ():
        fewer = [s for s in kept if s != slot]
        if slot != "agent" and _matching(story, fact, fewer) == 1:
            kept = fewer
    return story, fact, asked, replace(fact, **{slot: None for slot in ("obj", *world.DETAILS) if slot not in (*kept, asked)})


def _matching(story: list[Fact], fact: Fact, slots: list[str]) -> int:
    """How many facts of a story agree with a fact in its verb and some slots."""
    return sum(all(getattr(f, s) == getattr(fact, s) for s in ("verb", *slots)) for f in story)


def qa(rng: random.Random, say: random.Random, code: str, n_facts: int = 2, sparse: bool = False) -> dict:
    """`n_facts` unrelated facts and a question about one slot of one of them, with its answer."""
    story, fact, asked, said = question(rng, n_facts, sparse)
    sentences = [render(f, code, say) for f in story]
    answerable = [i for i, f in enumerate(story) if getattr(f, asked)]
    at = rng.choice(answerable) if rng.random() < NOISE else story.index(fact)
    answer, offset = _span(sentences[at], asked)
    offset += sum(len(text(s)) + 1 for s in sentences[:at])
    return {
        "question": text(render(said, code, say, asked)),
        "context": " ".join(map(text, sentences)),
        "answers": {"text": [answer], "answer_start": [offset]},
    }


def qa_long(rng: random.Random, say: random.Random, code: str) -> dict:
    """As `qa`, over four facts."""
    return qa(rng, say, code, 4)


def qa_sparse(rng: random.Random, say: random.Random, code: str) -> dict:
    """As `qa`, with a question that says little more than singles the fact out, as when it was asked before the text was seen."""
    return qa(rng, say, code, sparse=True)


def qa_unanswerable(rng: random.Random, say: random.Random, code: str) -> dict:
    """As `qa`; a third of the questions ask about a fact that the context does not tell: one of its facts with another verb."""
    made = qa(rng, say, code)
    if rng.random() > 1 / 3:
        return made
    story = [sample_fact(rng) for _ in range(2)]
    other = rng.choice([v for v in world.VERBS if v not in {fact.verb for fact in story}])
    asked = rng.choice([slot for slot in ANSWERS if getattr(story[0], slot)])
    question = text(render(replace(story[0], verb=other), code, say, asked))
    return {
        "question": question,
        "context": " ".join(text(render(f, code, say)) for f in story),
        "answers": {"text": [], "answer_start": []},
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


def causes(rng: random.Random, say: random.Random, code: str, n: int = 2) -> dict:
    """A fact, the connective `because` or `then`, and `n` alternatives; the right one usually came before, or comes next."""
    cause = sample_fact(rng, details=())
    effect = world.next_fact(rng, cause, ())
    ask_cause = rng.random() < 0.5
    premise, right = (effect, cause) if ask_cause else (cause, effect)
    wrong: list[Fact] = []
    while len(wrong) < n - 1:
        fact = sample_fact(rng, premise.agent, details=())
        first, second = (fact, effect) if ask_cause else (cause, fact)
        if fact.verb not in (cause.verb, effect.verb) and second.verb not in world.habits()[first.verb]["next"]:
            wrong.append(fact)
    label = rng.randrange(n)
    wrong.insert(label, right)
    context = f"{text(render(premise, code, say))} {_function(code, 'because' if ask_cause else 'then')}"
    return {"context": context, "choices": [text(render(f, code, say)) for f in wrong], "label": _annotated(rng, label, n)}


def _function(code: str, name: str) -> str:
    """A function word of a language."""
    return world.spell(world.lexicon(code)[name][0], world.LANGUAGES[code])


def social(rng: random.Random, say: random.Random, code: str) -> dict:
    """As `causes`, with three alternatives."""
    return causes(rng, say, code, 3)


def _phrase(code: str, say: random.Random, fact: Fact, slot: str) -> str:
    """How a language says one slot of a fact."""
    return _span(render(fact, code, say), slot)[0]


def usual_place(rng: random.Random, say: random.Random, code: str) -> dict:
    """A story of two facts and the question where the second took place, which it does not say: one place is usual for it, three are not."""
    story = world.sample_story(rng, 2)
    last = replace(story[1], place=None)
    usual = world.habits()[last.verb]["places"]
    places = rng.sample([p for p in world.PLACES if p not in usual], 3)
    label = rng.randrange(4)
    places.insert(label, rng.choice(usual))
    question = text(render(replace(last, adj=None, number=None, time=None), code, say, "place"))
    return {
        "context": f"{text(render(story[0], code, say))} {text(render(last, code, say))} {question}",
        "choices": [_phrase(code, say, replace(last, place=("noun", place)), "place") for place in places],
        "label": _annotated(rng, label, 4),
    }


def usual_object(rng: random.Random, say: random.Random, code: str) -> dict:
    """A question for the object of a verb, with no context, and five answers: one is usual for the verb, four are not."""
    fact = sample_fact(rng, details=tuple(d for d in ("place", "time") if rng.random() < 0.4))
    usual = world.habits()[fact.verb]["objects"]
    objects = rng.sample([o for o in world.THINGS + world.ANIMATE if o not in usual], 4)
    label = rng.randrange(5)
    objects.insert(label, rng.choice(usual))
    return {
        "context": text(render(fact, code, say, "obj")),
        "choices": [_phrase(code, say, replace(fact, obj=obj), "obj") for obj in objects],
        "label": _annotated(rng, label, 5),
    }


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


KINDS = ("agent", "verb", "obj", "adj", "number", "place", "time", "DET", "ADP", "PUNCT")


def _supertag(token: Token, fact: Fact) -> str:
    """What a word is and what its clause is made of, as CCG's categories say what a word combines with."""
    said = [detail for detail in world.DETAILS if getattr(fact, detail)]
    return f"{token.slot or token.upos}/{fact.agent[0]}({','.join(said)})"


@cache
def supertag_names() -> tuple[str, ...]:
    """Every possible supertag."""
    details = [",".join(some) for n in range(len(world.DETAILS) + 1) for some in itertools.combinations(world.DETAILS, n)]
    return tuple(f"{kind}/{agent}({some})" for kind in KINDS for agent in ("noun", "per", "org", "loc") for some in details)


def supertags(rng: random.Random, say: random.Random, code: str) -> dict:
    """A story of one or two facts, and the supertag of each word."""
    pairs = [(token, fact) for fact in world.sample_story(rng, rng.choice([1, 2])) for token in render(fact, code, say)]
    return {"words": [token.word for token, _ in pairs], "tags": [_supertag(*pair) for pair in pairs]}


MAKERS = {
    "nli": nli, "nli_plus": nli_plus, "duplicates": duplicates, "paraphrases": paraphrases, "qa": qa, "qa_long": qa_long,
    "qa_sparse": qa_sparse, "qa_unanswerable": qa_unanswerable, "continuation": continuation, "causes": causes, "social": social,
    "usual_place": usual_place, "usual_object": usual_object, "pos": pos, "ner": ner, "supertags": supertags,
}  # fmt: skip
LABELS = {"supertags": supertag_names}  # of the makers whose labels no task's entry says
