import numpy as np
import pandas as pd

from xtools.report import choosing


def table(scores):
    """Development rows of backbone b from {(recipe, target, seed): score}."""
    rows = [{"backbone": "b", "split": "dev", "recipe": r, "target": t, "seed": s, "score": v} for (r, t, s), v in scores.items()]
    return pd.DataFrame(rows, columns=["backbone", "split", "recipe", "target", "seed", "score"])


DEV = table(
    {
        (r, t, s): v
        for t, of in {"x": {"none": 9, "p": 3, "q": 1}, "y": {"none": 9, "p": 1, "q": 2}}.items()
        for r, v in of.items()
        for s in range(2)
    }
)


def test_the_recipe_is_the_best_besides_none_on_average_and_per_target():
    dev = choosing.development(DEV, "b")
    assert choosing.overall(dev) == "p"
    chosen = choosing.per_target(dev.mean().to_frame().T, ["x", "y", "retrieval"])
    assert chosen.iloc[0].to_dict() == {"x": "p", "y": "q", "retrieval": "p"} and choosing.unscored(dev, ["x", "retrieval"]) == [
        "retrieval"
    ]


def test_a_seed_has_no_voice_in_its_own_choice():
    scores = {("none", "x", s): 0 for s in range(3)} | {("p", "x", s): 50 for s in range(3)} | {("q", "x", s): 40 for s in range(3)}
    dev = choosing.development(table(scores | {("q", "x", 0): 90}), "b")
    assert choosing.overall(dev) == "q"
    assert choosing.per_target(choosing.by_other_seeds(dev), ["x"]).x.tolist() == ["p", "q", "q"]


def test_what_has_no_score_is_not_chosen():
    assert choosing.overall(choosing.development(DEV[:0], "b")) is None
    assert choosing.per_target(choosing.development(DEV[:0], "b"), ["x"]).empty
    holed = choosing.development(DEV[~((DEV.recipe == "p") & (DEV.target == "y"))], "b")
    assert choosing.overall(holed) == "q", "p lacks y"
    alone = choosing.development(DEV[DEV.seed == 0], "b")
    assert choosing.per_target(choosing.by_other_seeds(alone), ["x"]).x.tolist() == [None]
    assert np.isnan(choosing.by_other_seeds(alone).to_numpy()).all()
