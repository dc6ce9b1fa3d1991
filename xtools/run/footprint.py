"""What a cell will hold of memory, in bytes, before it runs; and what this machine has free. The engine runs as many cells side by side as fit.

What is estimated is a cell's own. The process that has torch loaded is the server's, of which cells are forks: it counts once (`warm.SHARED`).
So do the weights that a cell does not change, since they stay in their file's pages, which the system shares and takes back as it needs.
What a cell held in the end is measured by `xtools.processes.own_peak`, and both stand in its record.
"""

import contextlib
from dataclasses import replace
from pathlib import Path

import psutil
import torch

from xtools import encoder, finetuning, memory, scoring, tasks
from xtools.disk import size
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.run import estimate
from xtools.run.warm import DRIVER, SHARED
from xtools.settings import Finetuning, Phase
from xtools.study import Cell, Recipe, Study
from xtools.tasks import Task, format_of

PROCESS = 0.25e9  # a cell's notebook and kernel: what they do not share with the server
SCATTERED = 1.3  # over what is in use: the allocator's holes between blocks of many sizes, products that are kept compiled
PAGE = 4096  # bytes; a row of embeddings that is written back makes the pages that it lies in the cell's own
USABLE = 0.9  # of what is free when a study starts


def of_all(study: Study) -> dict[Cell, int]:
    """What each cell of a study will hold (`of`), worked out once for cells that differ in their seed alone; 0 where its encoder is not
    here, which what would run it tells."""
    alike: dict[Cell, int] = {}
    for cell in study.cells():
        if (one := replace(cell, seed=0)) not in alike:
            try:
                alike[one] = of(study, cell)
            except Problem:
                alike[one] = 0
    return {cell: alike[replace(cell, seed=0)] for cell in study.cells()}


def room() -> float:
    """Bytes that cells may hold together on this machine now."""
    return USABLE * free() - SHARED


def told(study: Study) -> str:
    """What the largest cell will hold, and how many like it fit here."""
    sizes = of_all(study)
    most = max(sizes, key=lambda cell: sizes[cell])
    fit = f"{int(room() / sizes[most])} like it fit into what is free here" if sizes[most] else "its encoder is not here"
    return f"memory: {size(sizes[most])} in a cell at most ({most.name}), beside {size(SHARED)} that cells share; {fit}"


def of(study: Study, cell: Cell) -> int:
    """Bytes that a cell will hold at its peak, beside what it shares; those of cells that differ in their seed alone are equal."""
    study = study.of(cell.backbone)
    model = _model(study, cell.backbone)
    own = PROCESS + (DRIVER if encoder.choose_device(study.device).type == "cuda" else 0)
    if cell.phase == "backbone":
        return int(own + (0 if study.backbones[cell.backbone].load else _pretraining(study, model)))
    if cell.phase == "timing":
        return int(own + (2 if study.timing.weights == "random" else 1) * _weights(model))  # a variant has a copy of its encoder
    return int(own + (_intermediate if cell.phase == "intermediate" else _target)(study, cell, model))


_models: dict[tuple, Encoder] = {}


def _model(study: Study, backbone: str) -> Encoder:
    """An encoder without weights, in the precision and with the attention that its cells compute in."""
    device, config = encoder.choose_device(study.device), estimate.config_of(study, backbone)
    precision = encoder.choose_precision(study.precision, device, config.hidden_size)
    key = config.to_json_string(use_diff=False), precision, study.gradient_checkpointing
    if key not in _models:
        config._attn_implementation = encoder.choose_attention(device) or "sdpa"
        with torch.device("meta"):
            model = encoder.of_config(config)
        made = Encoder(model, None, precision)  # type: ignore[arg-type]  # no tokenizer: it reads nothing
        _models[key] = memory.recompute(made) if study.gradient_checkpointing else made
    return _models[key]


def _weights(model: Encoder) -> int:
    return 4 * sum(weight.numel() for weight in model.model.parameters())


def _embeddings(model: Encoder) -> int:
    return 4 * model.model.get_input_embeddings().weight.numel()


def _intermediate(study: Study, cell: Cell, model: Encoder) -> float:
    phase = study.intermediate
    joint = finetuning.settings(study, cell.recipe)
    parts = [(task, phase.for_task(task.name).max_length) for task in finetuning.trained_tasks(study, cell.recipe)]
    return _training(study, model, parts, joint, mlm=phase if Recipe.parse(cell.recipe).mlm else None)


def _target(study: Study, cell: Cell, model: Encoder) -> float:
    task = tasks.get(cell.target)
    stages = [] if study.serves(cell.target) else study.stages(cell.target)
    each = [(tasks.get(stage), study.target.for_task(stage)) for stage in stages]
    trained = [_training(study, model, [(part, settings.max_length)], settings) for part, settings in each]
    kept = _weights(model) - _embeddings(model) if cell.recipe != "none" or stages else 0  # the cell's own, no file's
    return max([*trained, kept + _scoring(study, task, model)])


def _training(study: Study, model: Encoder, parts: list[tuple[Task, int]], settings: Finetuning, mlm: Phase | None = None) -> float:
    """Bytes of training at its peak: weights, gradients and moments in fp32, bf16 copies, the states that are kept, and activations."""
    states = bool(settings.eval_steps) + bool(settings.restarts)
    if encoder.choose_device(study.device).type == "cuda":
        return (1 + states) * _weights(model)  # the rest is in the card's memory, which `memory.budget` sees to
    seen = study.vocabulary == "seen" and not mlm and not settings.decay_embeddings
    words = min(estimate.SEEN, model.config.vocab_size) if seen else model.config.vocab_size
    row = _embeddings(model) // model.config.vocab_size
    body, table = _weights(model) - _embeddings(model), words * row
    copies = body // 2 if model.precision == "bf16" else 0
    back = words * (row + PAGE) if seen else 0  # into the whole matrix
    active = max(_activations(model, task, width, settings) for task, width in parts)
    if mlm:
        active = max(active, _masked(model, settings.batch_size * mlm.max_length, mlm.max_length, mlm.mlm_share))
    return SCATTERED * ((4 + states) * (body + table) + copies + back + active)


def _activations(model: Encoder, task: Task, width: int, settings: Finetuning) -> float:
    """Bytes that a part of a training batch keeps for the backward pass, its sequences as long as the parameters allow."""
    example = sum(estimate.longest(task, "train", width))
    batch = example * settings.batch_size
    tokens = min(batch, max(example, memory.budget(model, width, example))) if format_of(task).LOSS_IS_MEAN else batch
    return tokens * memory.per_token(model, width)


def _masked(model: Encoder, tokens: int, width: int, share: float) -> float:
    """Bytes of a masked-LM batch: its activations, and logits of the masked tokens with their softmax and its gradient, in fp32."""
    return tokens * memory.per_token(model, width) + 3 * 4 * share * tokens * model.config.vocab_size


def _pretraining(study: Study, model: Encoder) -> float:
    """Bytes of making an encoder: the documents as tokens too, of 8 bytes each with their list's."""
    settings = study.pretraining
    batch = _masked(model, settings.batch_size * settings.max_length, settings.max_length, settings.mask_share)
    return 4 * _weights(model) + SCATTERED * batch + 8 * settings.documents * settings.max_length


def _scoring(study: Study, task: Task, model: Encoder) -> float:
    """Bytes of scoring in fp32: one layer's states of a batch with its scores of attention, rows as text, and vectors that are searched."""
    width, config = study.target.for_task(task.name).max_length, model.config
    inner = getattr(config, "intermediate_size", None) or config.hidden_dim
    batch = scoring.TOKENS["cpu"] * 4 * (2 * inner + 8 * config.hidden_size + 2 * config.num_attention_heads * width)
    return SCATTERED * batch + estimate.held_rows(study, task, config, set())


def free() -> int:
    """Bytes of memory that processes can still take here, by the system and by each control group that this one is in."""
    return int(min([psutil.virtual_memory().available, *_of_groups()]))


def _of_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """What is left in each control group that has a limit, reclaimable pages of files counted as free (cgroups(7), version 2 and 1)."""
    left = []
    for line in own.read_text().splitlines() if own.exists() else ():
        number, kinds, path = line.split(":", 2)
        base, names = (root, GROUPS[0]) if number == "0" else (root / "memory", GROUPS[1])
        inside = base / path.lstrip("/")
        for folder in (inside, *inside.parents) if number == "0" or "memory" in kinds.split(",") else ():
            with contextlib.suppress(OSError, ValueError, KeyError):  # no limit is the word `max`, the root has no file
                limit, used = (int((folder / name).read_text()) for name in names)
                told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                left.append(limit - used + int(told["inactive_file"]))
    return left


GROUPS = ("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")  # limit and use, by cgroups' version
