"""Small pictures of the microworld's facts, and captions in every language that the pretraining text has: what a multimodal encoder
learns from besides text. A picture shows what happens, and no word of any language."""

import random
from functools import cache

import numpy as np

from xtools.sources import world
from xtools.sources.world import Fact

ICON = 8  # pixels
SIZE = 3 * ICON
GREY = np.full(3, 128, np.uint8)


@cache
def _colours(name: str, n: int) -> np.ndarray:
    """`n` colours [n, 3] that belong to a name."""
    rng = random.Random(f"colours-{world.VERSION}-{name}")
    return np.array([[rng.randrange(256) for _ in range(3)] for _ in range(n)], np.uint8)


@cache
def _icon(name: str) -> np.ndarray:
    """The icon of a concept or name [8, 8, 3]: two colours in a pattern that is the same left and right, as things often are."""
    rng = random.Random(f"icon-{world.VERSION}-{name}")
    half = np.array([[rng.random() < 0.5 for _ in range(ICON // 2)] for _ in range(ICON)])
    return _colours(name, 2)[np.hstack([half, half[:, ::-1]]).astype(int)]


def _shown(value: tuple) -> np.ndarray:
    """The icon of an agent or place: a thing's own; a name's, half of it an organisation's, with a border that says what bears it."""
    kind, key = value
    if kind == "noun":
        return _icon(key)
    icon = _icon(f"name{key[1] if kind == 'org' else key}").copy()
    if kind == "org":
        icon[:, ICON // 2 :] = _icon(key[0])[:, ICON // 2 :]
    icon[[0, -1], :] = icon[:, [0, -1]] = _colours(kind, 1)[0]
    return icon


def draw(fact: Fact) -> np.ndarray:
    """The picture of a fact, [24, 24, 3] bytes.

    Agent, event and object stand in a row; the sky has the colour of the time, the ground the pattern of the place. The object wears the
    colour of its adjective, and as many dots in the sky as there are of it. What is not said is grey.
    """
    picture = np.tile(GREY, (SIZE, SIZE, 1))
    if fact.time:
        picture[:ICON] = _colours(fact.time, 1)[0]
    if fact.number:
        for dot in range(int(fact.number)):
            picture[1 + 2 * (dot // 4), 2 * ICON + 2 * (dot % 4)] = 255
    row = slice(ICON, 2 * ICON)
    picture[row, :ICON] = _shown(fact.agent)
    picture[row, ICON : 2 * ICON] = _icon(fact.verb)
    if fact.obj:
        picture[row, 2 * ICON :] = _icon(fact.obj)
    if fact.adj:
        picture[2 * ICON - 2 : 2 * ICON, 2 * ICON :] = _colours(fact.adj, 1)[0]
    if fact.place:
        picture[2 * ICON :] = np.tile(_shown(fact.place), (1, 3, 1))
    return picture


def captions(seed: int | str, n: int) -> list[dict]:
    """`n` facts as {text, picture, language}, languages in proportion to their shares of the pretraining text."""
    rng = random.Random(f"captions-{world.VERSION}-{seed}")
    codes, shares = zip(*((code, language.share) for code, language in world.LANGUAGES.items()), strict=True)
    found = []
    for code in rng.choices(codes, shares, k=n):
        fact = world.sample_fact(rng)
        found.append({"text": world.text(world.render(fact, code, rng)), "picture": draw(fact), "language": code})
    return found


def parallel(seed: int | str, n: int) -> dict[str, list[dict]]:
    """The captions of the same `n` facts in every language, for evaluation."""
    facts = [world.sample_fact(random.Random(f"parallel-{world.VERSION}-{seed}-{i}")) for i in range(n)]
    say = random.Random(f"parallel-{seed}")
    return {
        code: [{"text": world.text(world.render(fact, code, say)), "picture": draw(fact), "language": code} for fact in facts]
        for code in world.LANGUAGES
    }
