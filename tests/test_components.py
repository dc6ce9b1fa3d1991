"""The noise of pretraining is told from that of fine-tuning, as it was planted."""

import numpy as np
import pandas as pd
import pytest

from xtools import study
from xtools.problems import Problem
from xtools.report import components

POCKET = study.load("pocket")
ENCODER = POCKET.backbones["large"]


def crossed(encoders: int, runs: int):
    """A study of so many encoders of one shape with so many seeds each."""
    backbones = {f"large-{i}": ENCODER.model_copy(update={"load": f"backbones/large-s{i}"}) for i in range(encoders)}
    return POCKET.model_copy(update={"name": "planted", "backbones": backbones, "seeds": list(range(runs)), "targets": ["xnli", "udpos"]})


def scores(told, between: float, within: float, gain: float = 3.0) -> pd.DataFrame:
    """The study's scores, recipes' gains varying by encoder and by run."""
    rng, rows = np.random.default_rng(0), []
    for backbone in told.backbones:
        own = {recipe: gain + between * rng.standard_normal() if recipe != "none" else 0.0 for recipe in told.recipes}
        for seed in told.seeds:
            for recipe in told.recipes:
                score = 50 + own[recipe] + within * rng.standard_normal()
                rows += [(backbone, recipe, target, seed, "accuracy", "test", "qab", score, 200) for target in told.targets]
    return pd.DataFrame(rows, columns=["backbone", "recipe", "target", "seed", "metric", "split", "language", "score", "n"])


@pytest.mark.parametrize(("between", "within"), [(2.0, 1.0), (1.0, 2.0), (0.0, 1.0)])
def test_what_was_planted_is_found(between, within):
    told = crossed(60, 10)
    found = components.frame(told, scores(told, between, within))
    average = found[found.target == "average"].set_index("recipe").loc["mnli"]
    assert average["pretraining"] == pytest.approx(between, abs=0.35)
    assert average["fine-tuning"] == pytest.approx(within * np.sqrt(2), rel=0.1)  # that of a difference of two runs
    assert average.low < 3 < average.high


def test_means_of_runs_without_any_difference_between_encoders_give_none():
    runs = np.array([[[1.0, -1.0], [-1.0, 1.0]]])
    assert components.moments(runs) == (0.0, 2.0)


def test_a_study_that_crosses_nothing_and_one_with_holes_are_told():
    with pytest.raises(Problem, match=r"params/pocket.yaml: it takes two encoders of a shape"):
        components.frame(POCKET, pd.DataFrame())
    told = crossed(3, 2)
    table = scores(told, 1, 1)
    with pytest.raises(Problem, match=r"large on udpos are missing"):
        components.frame(told, table[(table.target != "udpos") | (table.seed != 1) | (table.backbone != "large-2")])


def test_a_report_shows_what_is_kept_for_its_own_settings_alone(tmp_path, monkeypatch):
    told = crossed(4, 2)
    monkeypatch.setattr(components, "TABLE", tmp_path / "components.csv")
    components.frame(told, scores(told, 2, 1)).to_csv(components.TABLE, index=False)
    one = told.model_copy(update={"backbones": {"large": ENCODER}, "seeds": [0, 1, 2]})
    table = scores(one, 0, 1).assign(backbone="large")
    shown = components.both(one, table)
    assert set(shown["gain for"]) == {"this encoder", "4 encoders pretrained like it"} and shown.average.str.contains(r"\[").all()
    assert [*components.shown(one).target] == ["xnli", "udpos", "average"]
    longer = one.model_copy(update={"target": one.target.model_copy(update={"epochs": 9})})
    assert components.both(longer, table).empty and components.shown(longer).empty


def test_the_study_that_comes_with_the_project_crosses_pockets_encoders_with_seeds():
    told = study.load("components")
    places = {told.place(backbone, seed) for backbone in told.backbones for seed in told.seeds}
    assert len(places) == len(told.backbones) and {components.shape_of(name) for name in told.backbones} == set(POCKET.backbones)
    assert all(components.settings(told, name) == components.settings(POCKET, components.shape_of(name)) for name in told.backbones)
