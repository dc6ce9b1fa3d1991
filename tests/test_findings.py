"""A phase's last words say what its record holds."""

import pytest

from xtools.report import findings
from xtools.results import Attempt, Curve


def attempt(seed: int, ended: str) -> Attempt:
    return Attempt(tasks=["mnli"], seed=seed, steps=10, dev={}, ended=ended)


@pytest.mark.parametrize(
    ("curve", "attempts", "told"),
    [
        ({"planned": 50, "steps": 50}, [attempt(0, "kept")], "50 steps"),
        ({"planned": 50, "steps": 40, "kept": 20}, [attempt(0, "kept")], "40 steps of 50, of which the state after step 20 is kept"),
        (
            {"planned": 50, "steps": 50, "kept": 50},
            [attempt(0, "at chance"), attempt(1000, "kept")],
            "50 steps; came to nothing: seed 0 at chance",
        ),
    ],
)
def test_training_is_told_with_the_state_that_was_kept_and_what_came_to_nothing(curve, attempts, told):
    assert findings._training(Curve(step=[1], loss=[1.0], **curve), attempts) == told
