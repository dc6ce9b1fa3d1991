"""A training run that comes to nothing is started again with another seed.

Fine-tuning a large encoder on a small set now and then ends at chance; several random restarts, chosen among on development data, are the
old remedy (Devlin et al. 2019, section 4.1). What is no better than guessing is not a finding about transfer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from xtools import finetuning, scoring, vocabulary
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.results import Attempt
from xtools.settings import Finetuning
from xtools.study import Study
from xtools.tasks import Task
from xtools.training import NotFinite

NEXT = 1000  # from an attempt's seed to the next one's: studies number their seeds from 0, and no attempt repeats another seed's run


@dataclass
class Tuned:
    """What training gave: the heads, the learning curve, and every attempt, the last of which it is."""

    heads: dict[str, torch.nn.Module]
    curve: dict
    attempts: list[Attempt]


def tune(
    encoder: Encoder,
    study: Study,
    data: dict[str, tuple[Task, Sequence[dict]]],
    settings: Finetuning,
    widths: dict[str, int],
    seed: int,
    checkpoint=None,
    heads=None,
    beside=(),
) -> Tuned:
    """Train the encoder in place (`finetuning.fine_tune`), again while a run comes to nothing and the settings allow it.

    `widths` are the most tokens of each task's inputs.

    Raises Problem when the loss of the last attempt is not finite.
    """
    rows = finetuning.looked_at(study, data, settings)
    looked = finetuning.looks(encoder, study, data, rows, widths) if rows else None
    attempts: list[Attempt] = []
    with vocabulary.training(encoder, vocabulary.changeable(encoder, data, settings, beside) if study.vocabulary == "seen" else None):
        trained = encoder.model if beside else encoder.model.base_model
        restore = _restoring(trained, *(heads or {}).values()) if settings.restarts else None
        for number in range(settings.restarts + 1):
            if number and restore:
                restore()
            own = seed + NEXT * number
            path = checkpoint.with_stem(f"{checkpoint.stem}-{number}") if checkpoint and number else checkpoint
            try:
                tuned, curve = finetuning.fine_tune(encoder, data, settings, own, path, heads, beside, looked)
            except NotFinite as error:
                attempts.append(Attempt(tasks=[*data], seed=own, steps=error.step, dev={}, ended="not finite"))
                continue
            attempts.append(_attempt(data, rows, curve, own))
            if attempts[-1].ended == "kept":
                break
    if attempts[-1].ended == "not finite":
        raise Problem(_told(attempts))
    return Tuned(tuned, curve, attempts)


def _attempt(data: dict, rows: dict[str, list[dict]], curve: dict, seed: int) -> Attempt:
    """How a run ended: at chance where no task beats a guess on its development rows."""
    best = curve["dev_step"].index(curve["kept"]) if rows else None
    dev = {name: curve["dev"][name][best] for name in rows}
    beaten = [scoring.beats_chance(dev[name], data[name][0].chance, len(rows[name])) for name in rows]
    return Attempt(tasks=[*data], seed=seed, steps=curve["steps"], dev=dev, ended="kept" if any(beaten) or not rows else "at chance")


def _restoring(*modules: torch.nn.Module) -> Callable[[], None]:
    """A function that gives modules back the weights that they have now, of which it holds a copy in the host's memory."""
    held = [{name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()} for module in modules]

    def restore() -> None:
        for module, state in zip(modules, held, strict=True):
            module.load_state_dict(state)

    return restore


def _told(attempts: list[Attempt]) -> str:
    seeds = ", ".join(str(attempt.seed) for attempt in attempts)
    what, step = " ".join(attempts[-1].tasks), attempts[-1].steps
    return f"{what}: the loss is not finite at step {step} (seeds tried: {seeds}); a lower learning_rate or longer warm-up may help"
