"""Word embeddings as small as the text: training and cells on disk hold the rows that training can change, not the vocabulary's.

An English training set has a tenth of XLM-R's 250,002 word pieces. The other rows get no gradient, and without decay they stay as they are:
their gradients and Adam's moments are zeros that take memory and time. What is left out is nothing but zeros, and rows keep their order, so
on a CPU each loss, weight and score is the same to the bit. On a GPU, where a sum's order hangs on its length, training holds them all.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from xtools import encoder as encoders
from xtools.disk import whole
from xtools.encoder import Encoder
from xtools.problems import Problem
from xtools.tasks import Task

FILE = "changed.safetensors"
IDS, ROWS = "changed.ids", "changed.rows"  # the names of the embeddings' part in it


class Seen(torch.nn.Embedding):
    """Word embeddings whose `weight` holds the rows of some ids alone, to be trained. While they are not trained, on development rows, other
    ids are looked up in the whole matrix; in training such an id is an error."""

    def __init__(self, table: torch.nn.Embedding, ids: torch.Tensor):
        row, held = torch.full((table.num_embeddings,), -1), table.weight.detach()
        row[ids] = torch.arange(len(ids))
        padding = None if table.padding_idx is None else int(row[table.padding_idx])
        super().__init__(len(ids), table.embedding_dim, padding, _weight=held[ids])
        self.row, self.whole = row, held  # no buffers: a checkpoint holds what is trained

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Vectors [..., hidden] of ids of the whole vocabulary."""
        rows = self.row[ids]
        if self.training:
            return super().forward(rows)
        found = super().forward(rows.clamp(min=0))
        return torch.where((rows < 0).unsqueeze(-1), torch.nn.functional.embedding(ids, self.whole), found)


def changeable(encoder: Encoder, data: dict[str, tuple[Task, Sequence[dict]]], settings, beside: Sequence) -> torch.Tensor | None:
    """The ids, in order, whose embeddings training on {name: (task, features)} can change: those in its examples, and padding.

    None where it can change all: decay shrinks every row, and the softmax of masked-LM streams (`beside`) is over all words.
    """
    table = encoder.model.base_model.get_input_embeddings()
    if beside or settings.decay_embeddings or type(table) is not torch.nn.Embedding:
        return None
    seen = np.zeros(table.num_embeddings, dtype=bool)
    seen[[encoder.tokenizer.pad_token_id, *([] if table.padding_idx is None else [table.padding_idx])]] = True
    for _, features in data.values():
        for feature in features:
            for ids in feature["ids"]:
                seen[ids] = True
    return torch.from_numpy(seen.nonzero()[0])


@contextlib.contextmanager
def training(encoder: Encoder, ids: torch.Tensor | None) -> Iterator[None]:
    """While it lasts, the encoder's word embeddings are those of `ids` (None: all), which then go back into the whole matrix; the encoder
    remembers which they were."""
    known, body = encoder.changed, encoder.model.base_model
    encoder.changed = None if known is None or ids is None else torch.cat([known, ids]).unique()
    if ids is None or encoder.device.type != "cpu":
        yield
        return
    table = body.get_input_embeddings()
    part = Seen(table, ids)
    body.set_input_embeddings(part)
    try:
        yield
    finally:
        body.set_input_embeddings(table)
        with torch.no_grad():
            table.weight[ids] = part.weight


def save(encoder: Encoder, folder: Path) -> None:
    """Write what training has changed of an encoder since its cells began, where that is known; else the whole of it."""
    folder.mkdir(parents=True, exist_ok=True)
    if encoder.changed is None:
        (folder / FILE).unlink(missing_ok=True)
        return encoders.save(encoder, folder)
    body = encoder.model.base_model
    table = body.get_input_embeddings().weight
    weights = {name: weight for name, weight in body.state_dict(keep_vars=True).items() if weight is not table}
    tensors = weights | {IDS: encoder.changed, ROWS: table[encoder.changed]}
    with whole(folder / FILE) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial)


def load(folder: Path, origin: Callable[[], Encoder]) -> Encoder:
    """The encoder that `save` wrote to a folder, made of `origin`'s, with which its cells began, where only a part of it lies there.

    Raises Problem where that part is of another encoder.
    """
    if not (folder / FILE).exists():
        return encoders.load(str(folder))
    made, tensors = origin(), load_file(folder / FILE)
    body = made.model.base_model
    made.changed, rows = tensors.pop(IDS), tensors.pop(ROWS)
    with torch.no_grad():
        body.get_input_embeddings().weight[made.changed] = rows
    found = body.load_state_dict(tensors, strict=False)
    if found.unexpected_keys or len(found.missing_keys) > 1:
        raise Problem(f"{folder / FILE}: is of another encoder than {made.config.name_or_path}; remove the cell's folder and run again")
    return made
