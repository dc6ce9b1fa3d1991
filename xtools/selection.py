"""Which state of a training run is kept: the one that is best on development rows of the source language."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

BEST = "best."  # before the names of the best state's tensors in a checkpoint


@dataclass
class Selection:
    """What a run has scored on development rows, and the best state so far, in the host's memory.

    `score` gives the main metric of each task in percent, now. States are compared by the mean over tasks, as jiant does for several
    (EqualMetricAggregator); of equal ones the first is kept, as by jiant and by XTREME's scripts.
    """

    score: Callable[[], dict[str, float]]
    every: int | None = None  # steps from one look to the next; None: only the last state is looked at
    patience: int | None = None  # looks without a better state after which the run ends; None: it ends with its schedule
    steps: list[int] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)  # by task, at each of `steps`
    state: dict[str, torch.Tensor] = field(default_factory=dict)  # of the best look; empty where it was the last step's

    def is_due(self, step: int, steps: int) -> bool:
        """Whether the state after `step` of `steps` is looked at."""
        return step == steps or (self.every is not None and step % self.every == 0)

    def look(self, step: int, steps: int, modules: torch.nn.Module) -> None:
        """Score the state after a step, and keep it where it is the best and training goes on."""
        modules.eval()
        for task, value in self.score().items():
            self.scores.setdefault(task, []).append(value)
        self.steps.append(step)
        modules.train()
        if self.best == len(self.steps) - 1:
            self.state = {} if step == steps else {k: v.detach().to("cpu", copy=True) for k, v in modules.state_dict().items()}

    @property
    def best(self) -> int:
        """Which look was the best, the first of equal ones."""
        means = [sum(at) / len(at) for at in zip(*self.scores.values(), strict=True)]
        return means.index(max(means))

    @property
    def is_over(self) -> bool:
        """Whether patience is at its end."""
        return self.patience is not None and bool(self.steps) and len(self.steps) - 1 - self.best >= self.patience

    def restore(self, modules: torch.nn.Module) -> None:
        """Give the modules the best state."""
        if self.state:
            modules.load_state_dict(self.state)

    def told(self) -> dict:
        """For the learning curve: the steps that were looked at, each task's scores there, and the step whose state is kept."""
        return {"dev_step": self.steps, "dev": self.scores, "kept": self.steps[self.best] if self.steps else None}

    def stored(self) -> tuple[dict[str, torch.Tensor], str]:
        """What a checkpoint holds of it: tensors, and text."""
        return {BEST + name: tensor for name, tensor in self.state.items()}, json.dumps([self.steps, self.scores])

    def resume(self, tensors: dict[str, torch.Tensor], text: str) -> None:
        """Take up what `stored` gave."""
        self.steps, self.scores = json.loads(text)
        self.state = {name.removeprefix(BEST): tensor for name, tensor in tensors.items() if name.startswith(BEST)}
