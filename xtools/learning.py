"""What learns a task: a new head on an encoder, and the stream of its training batches. Needs torch and transformers alone."""

from collections.abc import Sequence

import torch

from xtools import memory
from xtools.batching import collate, length
from xtools.encoder import Encoder
from xtools.tasks import Task, format_of
from xtools.training import Stream


def new_head(encoder: Encoder, task: Task) -> torch.nn.Module:
    """The task's head with weights from N(0, 0.02) and zero biases, BERT's initialisation."""
    head = format_of(task).Head(encoder.config, task)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.02) if parameter.ndim > 1 else torch.nn.init.zeros_(parameter)
    return head.to(encoder.device)


def task_stream(encoder: Encoder, head: torch.nn.Module, task: Task, features: Sequence[dict]) -> Stream:
    """A training stream over a task's features; a row that needs several windows or pieces has given several."""
    form = format_of(task)

    def loss(indices: list[int]) -> torch.Tensor:
        batch = collate([features[i] for i in indices], encoder.tokenizer.pad_token_id)
        return form.loss(head(encoder.hidden(batch["ids"]), batch), batch)

    sizes = [(length(f), len(f["ids"])) for f in features]
    lengths = [longest * sequences for longest, sequences in sizes]
    budget = memory.budget(encoder, max(sizes)[0], max(lengths)) if form.LOSS_IS_MEAN else None
    weights = [form.weight(f) for f in features] if hasattr(form, "weight") else None
    return Stream(task.name, lengths, loss, budget, weights)
