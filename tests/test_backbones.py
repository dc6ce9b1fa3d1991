import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from xtools import backbones, study
from xtools.problems import Problem
from xtools.sources import world


@pytest.fixture
def plant(tmp_path, monkeypatch):
    """A function that writes cards into a project of their own, as `make backbones` of a study would, with changes to the first."""
    monkeypatch.setattr(backbones, "ROOT", tmp_path)

    def write(made_by, without=(), **changes):
        for place, (backbone, seed) in enumerate((b, s) for s in made_by.seeds for b in made_by.backbones):
            settings = made_by.pretraining.model_dump(exclude_none=True, exclude=set(without))
            if not made_by.backbones[backbone].pictures:
                settings.pop("captions", None)
            shape = made_by.backbones[backbone].model_dump(include={"layers", "hidden", "heads"})
            card = {"world": world.fingerprint(), "shape": shape, "pretraining": settings}
            folder = tmp_path / made_by.backbones[backbone].load.format(seed=seed)
            folder.mkdir(parents=True, exist_ok=True)
            for key, value in changes.items() if place == 0 else ():
                card[key] = card[key] | value if isinstance(value, dict) else value
            (folder / "card.json").write_text(json.dumps(card))

    return write


@pytest.fixture
def published(monkeypatch):
    """What `publish_all` makes, which is not really made."""
    made = []
    monkeypatch.setattr(backbones, "ProcessPoolExecutor", ThreadPoolExecutor)
    monkeypatch.setattr(backbones, "publish", lambda _, backbone, seed: made.append((backbone, seed)) or "made")
    return made


@pytest.mark.parametrize("profile", ["pocket_full", "amounts"])
def test_published_backbones_are_as_their_studies_say(profile, published, capsys):
    loaded = study.load(profile)
    assert all((backbones.ROOT / b.load.format(seed=s) / backbones.CARD).exists() for b in loaded.backbones.values() for s in loaded.seeds)
    assert backbones.differences(loaded) == []
    backbones.publish_all(loaded, jobs=1)
    assert not published and "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pretraining": {"epochs": 2}}, "pretraining.epochs is 2 in its card, 3 in the study"),
        ({"pretraining": {"captions": 500}}, "pretraining.captions is 500 in its card, None in the study"),
        ({"pretraining": {"momentum": 0.9}}, "pretraining.momentum is 0.9 in its card, None in the study"),
        ({"pretraining": {"decay_embeddings": True}}, "pretraining.decay_embeddings is True in its card, False in the study"),
        ({"shape": {"hidden": 64}}, "shape.hidden is 64 in its card, 48 in the study"),
        ({"world": "another"}, f"world is another in its card, {world.fingerprint()} in the study"),
    ],
)
def test_a_card_that_differs_is_told_and_made_anew(plant, published, changes, told):
    loaded = study.load("pocket_full")
    plant(loaded, **changes)
    assert backbones.differences(loaded) == [f"backbones/small-s0: {told}"]
    backbones.publish_all(loaded, jobs=1)
    assert published == [("small", 0)]


def test_every_difference_stands_in_the_line(plant):
    loaded = study.load("pocket_full")
    plant(loaded, world="another", pretraining={"epochs": 2, "clip": 5.0})
    (line,) = backbones.differences(loaded)
    assert [part.split()[0] for part in line.partition(": ")[2].split("; ")] == ["world", "pretraining.epochs", "pretraining.clip"]


def test_a_setting_younger_than_the_card_has_its_default_there(plant):
    loaded = study.load("pocket_full")
    plant(loaded, without=["decay_embeddings", "weight_decay"])
    assert backbones.differences(loaded) == []
    changed = loaded.model_copy(update={"pretraining": loaded.pretraining.model_copy(update={"decay_embeddings": True})})
    assert len(backbones.differences(changed)) == 6, "each of two backbones and three seeds"


def test_captions_are_no_setting_of_an_encoder_without_pictures(plant):
    plant(study.load("pocket_full"))
    loaded = study.load("amounts")
    plant(loaded, pretraining={"epochs": 9})
    assert [line.partition(":")[0] for line in backbones.differences(loaded)] == ["backbones/small-s0"]
    fewer = loaded.model_copy(update={"pretraining": loaded.pretraining.model_copy(update={"captions": 10})})
    assert [line.partition(":")[0] for line in backbones.differences(fewer)] == [
        "backbones/small-s0", "backbones/pictures-s0", "backbones/pictures-s1", "backbones/pictures-s2"
    ]  # fmt: skip


def test_a_study_that_only_loads_a_backbone_is_held_to_its_world_alone(plant):
    loaded = study.load("pocket_full")
    plant(loaded, pretraining={"epochs": 2})
    alone = {name: study.Backbone(load=backbone.load) for name, backbone in loaded.backbones.items()}
    assert backbones.differences(loaded.model_copy(update={"backbones": alone})) == []
    assert backbones.differences(loaded.model_copy(update={"pretraining": None})) == []
    plant(loaded, world="another")
    assert len(backbones.differences(loaded.model_copy(update={"backbones": alone}))) == 1


def test_missing_backbones_are_made_where_the_study_says_how(plant, published):
    loaded = study.load("pocket_full")
    assert backbones.differences(loaded) == [], "there is no card that could differ"
    with pytest.raises(Problem, match=r"params/pocket_full.yaml: pretraining: missing"):
        backbones.publish_all(loaded.model_copy(update={"pretraining": None}), jobs=1)
    backbones.publish_all(loaded, jobs=1)
    assert sorted(published) == [(name, seed) for name in ("large", "small") for seed in (0, 1, 2)]
