"""The one training loop, used by every phase: masked-LM pretraining, intermediate tasks (one or many), targets."""

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from xtools import dropout
from xtools.batching import scoring_order, training_order
from xtools.disk import whole
from xtools.selection import Selection

CURVE_POINTS = 40  # points kept of a learning curve
FINITE_EVERY = 100  # steps from one look at whether losses are finite to the next: it waits for the device


@dataclass(frozen=True)
class Stream:
    """One source of training examples: their lengths in tokens, and the mean loss of a batch given as example indices.

    A batch may be computed in parts of at most `budget` tokens, whose gradients add up to the whole batch's: a core's cache holds a part,
    and short examples are not padded to the longest of the batch. Only for losses that are means over examples, which weigh alike or as
    `weights` says.
    """

    name: str
    lengths: list[int]
    loss: Callable[[list[int]], torch.Tensor]
    budget: int | None = None
    weights: list[int] | None = None

    def parts(self, batch: list[int]) -> list[list[int]]:
        """The batch's indices, in one part or several of like lengths."""
        if self.budget is None:
            return [batch]
        return [[batch[i] for i in part] for part in scoring_order([self.lengths[i] for i in batch], self.budget)]

    def share(self, part: list[int], batch: list[int]) -> float:
        """What a part counts for in the mean over its batch."""
        if self.weights is None:
            return len(part) / len(batch)
        return sum(self.weights[i] for i in part) / max(1, sum(self.weights[i] for i in batch))


def plan_steps(streams: list[Stream], batch_size: int, epochs: int, seed: int, cap: int | None = None) -> list[tuple[int, list[int]]]:
    """All steps of a run as (stream, example indices).

    In each epoch every stream gives min(its size, `cap`) examples, so that sampling is proportional to capped size, without
    replacement; batches of different streams are mixed at random.
    """
    steps = []
    for epoch in range(epochs):
        batches = []
        for i, stream in enumerate(streams):
            order = training_order(stream.lengths, batch_size, f"{seed}-{epoch}-{stream.name}")
            batches += [(i, batch) for batch in (order if cap is None else order[: math.ceil(cap / batch_size)])]
        random.Random(f"{seed}-{epoch}").shuffle(batches)
        steps += batches
    return steps


def optimizer_for(modules: torch.nn.Module, settings) -> torch.optim.AdamW:
    """Fused AdamW. Biases and layer norms do not decay, nor do embeddings unless the settings ask for it: decay would shrink the
    embeddings of every language that the training set does not contain, which are the ones that zero-shot transfer is about."""
    embeddings = {id(module.weight) for module in modules.modules() if isinstance(module, torch.nn.Embedding)}

    def decays(parameter: torch.nn.Parameter) -> bool:
        return parameter.ndim > 1 and (settings.decay_embeddings or id(parameter) not in embeddings)

    groups = [
        {"params": [p for p in modules.parameters() if decays(p)], "weight_decay": settings.weight_decay},
        {"params": [p for p in modules.parameters() if not decays(p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, settings.beta2), fused=True)


def rate_at(step: int, steps: int, settings) -> float:
    """Learning rate at a step: linear warm-up over `warmup`, then constant, then linear decay to zero over the last `decay` share.

    With `warmup_steps`, the linear schedule of transformers, which the benchmark's scripts use: from zero at step 0 up over so many steps,
    then down to zero at the end; a run that is not longer never reaches its peak.
    """
    if settings.warmup_steps is not None:
        rising = step < settings.warmup_steps
        share = step / settings.warmup_steps if rising else (steps - step) / max(1, steps - settings.warmup_steps)
        return settings.learning_rate * share
    warm = min(1.0, (step + 1) / max(1, settings.warmup * steps))
    cool = min(1.0, (steps - step) / max(1, settings.decay * steps))
    return settings.learning_rate * min(warm, cool)


class NotFinite(ArithmeticError):
    """A run whose loss is no number any more."""

    def __init__(self, step: int):
        super().__init__(f"the loss is not finite at step {step}")
        self.step = step


def train(
    modules: torch.nn.Module,
    streams: list[Stream],
    settings,
    seed: int,
    checkpoint: Path | None = None,
    save_every=600.0,
    selection: Selection | None = None,
) -> dict:
    """Train in place; returns the learning curve (`curve`), with what `selection` saw of development rows, whose best state is kept.

    Each step draws its random numbers from (seed, step), and the order of examples follows from the seed alone: a run resumed from
    `checkpoint` equals an uninterrupted one to the bit on a CPU. It is written every `save_every` seconds, and at the end of a run that
    took longer, so that what comes after training can fail without losing it; who keeps the result removes it.

    Raises NotFinite.
    """
    steps = plan_steps(streams, settings.batch_size, settings.epochs, seed, settings.cap)
    optimizer = optimizer_for(modules, settings)
    losses = torch.zeros(len(steps), device=next(modules.parameters()).device)
    start = resume(checkpoint, modules, optimizer, losses, selection) if checkpoint else 0
    saved, done, written = time.monotonic(), start, start
    modules.train()
    for step in range(start, len(steps)):
        if selection and selection.is_over:
            break
        losses[step] = train_step(modules, streams, steps[step], optimizer, rate_at(step, len(steps), settings), settings.clip, seed, step)
        done = step + 1
        if done % FINITE_EVERY == 0 or done == len(steps) or (selection and selection.is_due(done, len(steps))):
            check_finite(losses, done)
        if selection and selection.is_due(done, len(steps)):
            selection.look(done, len(steps), modules)
        if checkpoint and time.monotonic() - saved > save_every:
            write_checkpoint(checkpoint, modules, optimizer, losses, done, selection)
            saved, written = time.monotonic(), done
    modules.eval()
    if checkpoint and 0 < written < done:
        write_checkpoint(checkpoint, modules, optimizer, losses, done, selection)
    if selection:
        selection.restore(modules)
    return curve(losses[:done].tolist(), len(steps)) | (selection.told() if selection else {})


def train_step(modules, streams: list[Stream], step: tuple[int, list[int]], optimizer, rate: float, clip: float, seed: int, number: int):
    """One step of the optimizer on one batch, in the parts that its stream makes of it; returns the batch's loss."""
    device = next(modules.parameters()).device
    # torch.manual_seed would besides keep a stack trace, at every step, for each kind of accelerator that is not there
    (torch.default_generator if device.type == "cpu" else torch).manual_seed(seed * 1_000_003 + number)
    stream, batch = streams[step[0]], step[1]
    total = torch.zeros((), device=device)
    for part in stream.parts(batch):
        if not (share := stream.share(part, batch)):
            continue  # of nothing to learn, the mean is no number
        with dropout.on(device):  # backward too: what is computed again there must be dropped again
            loss = stream.loss(part) * share
            loss.backward()
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], clip)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return total


def check_finite(losses: torch.Tensor, done: int) -> None:
    """Raises NotFinite where the loss of a step that was done is not finite."""
    bad = (~torch.isfinite(losses[:done])).nonzero()
    if len(bad):
        raise NotFinite(int(bad[0]) + 1)


def curve(losses: list[float], planned: int | None = None) -> dict:
    """The loss averaged over at most `CURVE_POINTS` equal spans of the steps that were done, of which there were to be `planned`."""
    width = max(1, math.ceil(len(losses) / CURVE_POINTS))
    spans = [losses[i : i + width] for i in range(0, len(losses), width)]
    ends = [min(i + width, len(losses)) for i in range(0, len(losses), width)]
    return {"planned": planned or len(losses), "steps": len(losses), "step": ends, "loss": [sum(span) / len(span) for span in spans]}


def write_checkpoint(path: Path, modules, optimizer, losses, step: int, selection: Selection | None = None) -> None:
    """Weights, optimizer moments, losses, the next step, and what was selected so far."""
    tensors = {f"model.{name}": tensor for name, tensor in modules.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": tensor for name, tensor in state.items()}
    chosen, text = selection.stored() if selection else ({}, "")
    tensors |= chosen | {"losses": losses}
    with whole(path) as partial:
        save_file({k: tensor.detach().cpu().clone() for k, tensor in tensors.items()}, partial, {"step": str(step), "selection": text})


def resume(path: Path, modules, optimizer, losses, selection: Selection | None = None) -> int:
    """Restore what `write_checkpoint` wrote, in place; the next step, or 0 when there is no checkpoint of this run."""
    if not path.exists():
        return 0
    with safe_open(path, "pt") as file:
        tensors, told = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()
    modules.load_state_dict({name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")})
    state: dict[int, dict] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    losses.copy_(tensors["losses"])
    if selection and told["selection"]:
        selection.resume(tensors, told["selection"])
    return int(told["step"])
