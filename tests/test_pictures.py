import numpy as np

from xtools.sources import pictures, world
from xtools.sources.world import Fact

FACT = Fact(("per", 3), "verb1", "thing2", "adj4", "5", ("noun", "place6"), "time1")


def test_every_slot_of_a_fact_shows_and_shows_in_a_place_of_its_own():
    changed = {"agent": ("loc", 3), "verb": "verb2", "obj": "thing3", "adj": None, "number": "6", "place": None, "time": "time2"}
    seen = np.zeros((pictures.SIZE, pictures.SIZE), bool)
    for slot, value in changed.items():
        other = pictures.draw(Fact(**{**FACT.__dict__, slot: value}))
        differs = (other != pictures.draw(FACT)).any(axis=2)
        assert differs.any(), f"{slot} cannot be seen"
        if slot not in ("adj", "number"):  # drawn on the object and in the sky
            assert not (differs & seen).any(), f"{slot} is drawn over another"
            seen |= differs


def test_captions_say_what_the_picture_shows_in_the_languages_of_the_text():
    found = pictures.captions(0, 400)
    assert {c["language"] for c in found} == {code for code, lang in world.LANGUAGES.items() if lang.share}
    assert all(c["picture"].shape == (24, 24, 3) and c["picture"].dtype == np.uint8 for c in found)
    told = pictures.parallel(0, 5)
    assert list(told) == list(world.LANGUAGES)
    for one, other in zip(told["qaa"], told["qae"], strict=True):
        assert (one["picture"] == other["picture"]).all() and one["text"] != other["text"]
