import random

import numpy as np
import pytest

from xtools.sources import world

CODES = list(world.LANGUAGES)


def test_corpus_is_the_same_for_a_seed_and_differs_between_seeds():
    assert world.corpus(3, 50) == world.corpus(3, 50)
    assert world.corpus(3, 50) != world.corpus(4, 50)


def test_shares_of_the_corpus_follow_the_languages():
    words = {code: {w for ws in world.lexicon(code).values() for w in ws} for code in CODES}
    text = [" ".join(pair) for pair in world.corpus(0, 3000)]
    georgian = sum(any("ა" <= c <= "ჰ" for c in t) for t in text)
    total = sum(language.share for language in world.LANGUAGES.values())
    assert abs(georgian / len(text) - 1 / total) < 0.03
    own = words["qag"].difference(*(words[code] for code in CODES if code != "qag"))
    assert not any(own & set(t.split()) for t in text), "the unseen language is in the pretraining text"


@pytest.mark.parametrize("code", CODES)
def test_a_fact_says_the_same_slots_in_every_language(code):
    rng = random.Random(1)
    for _ in range(50):
        fact = world.sample_fact(rng)
        own, source = (world.render(fact, c, random.Random(0)) for c in (code, world.SOURCE))
        assert sorted({t.slot for t in own}) == sorted({t.slot for t in source})
        assert sorted(t.ner for t in own if t.ner != "O") == sorted(t.ner for t in source if t.ner != "O")


def test_word_orders():
    fact = world.Fact(("per", 0), "verb0", "thing0", adj="adj0")
    for code, language in world.LANGUAGES.items():
        slots = [t.slot for t in world.render(fact, code, random.Random(0))]
        roles = sorted("SVO", key=lambda role: slots.index({"S": "agent", "V": "verb", "O": "obj"}[role]))
        assert "".join(roles) == language.order
        assert (slots.index("adj") < slots.index("obj")) == language.adjective_first


def test_share_of_cognates_is_as_stated():
    source = world.lexicon(world.SOURCE)
    for code, language in world.LANGUAGES.items():
        same = np.mean([world.lexicon(code)[c] == source[c] for c in world.UPOS if c not in world.VERBS])
        assert abs(same - language.cognates) < 0.15, code


def test_distance_orders_languages_by_what_differs():
    assert world.LANGUAGES["qaa"].distance == 0
    order = sorted(CODES, key=lambda code: world.LANGUAGES[code].distance)
    assert order[:2] == ["qaa", "qab"]
    assert set(order[-2:]) == {"qac", "qad"}
    assert all(0 <= language.distance <= 1 for language in world.LANGUAGES.values())


def test_what_usually_follows_follows_usually():
    rng = random.Random(0)
    stories = [world.sample_story(rng, 2) for _ in range(2000)]
    follows = np.mean([b.verb in world.habits()[a.verb]["next"] for a, b in stories])
    assert 0.68 < follows < 0.8


def test_fingerprint_tells_worlds_apart(monkeypatch):
    before = world.fingerprint()
    world.fingerprint.cache_clear()
    monkeypatch.setattr(world, "RARER", 0.5)
    assert world.fingerprint() != before
    world.fingerprint.cache_clear()
