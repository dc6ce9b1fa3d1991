"""One cell as its notebook sees it: `start` says what to do and from which encoder, `Run.save` takes what came out.

The other side, which executes the notebook and writes the record, is xtools/run/cell.py.
"""

import contextlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model

from xtools import backbones, encoder, features, memory, records, results, study, vocabulary
from xtools.problems import Problem, nearest
from xtools.study import Cell, Study


@dataclass
class Run:
    """One cell as its notebook sees it; `folder` is None when the notebook runs by itself, outside the grid: it then writes nothing."""

    study: Study
    cell: Cell
    folder: Path | None
    tokenizer: str = "its own"  # or "made here", for random weights whose tokenizer is not at hand
    times: dict[str, float] = field(default_factory=dict)  # seconds of the parts that `clock` timed, for the record

    @property
    def checkpoint(self) -> Path | None:
        """Where training saves its state, to go on after an interruption."""
        return self.folder / "checkpoint.safetensors" if self.folder else None

    @contextlib.contextmanager
    def clock(self, part: str):
        """Time a part of the cell's work."""
        began = time.monotonic()
        yield
        self.times[part] = time.monotonic() - began

    def load_encoder(self) -> encoder.Encoder:
        """The encoder this cell starts from, ready on the study's device and in its precision.

        Raises Problem when the upstream cell has not been run.
        """
        loaded = self._at_random() if self.cell.phase == "timing" and self.study.timing.weights == "random" else self._upstream_encoder()
        device = encoder.choose_device(self.study.device)
        loaded.model.to(device)
        loaded.precision = encoder.choose_precision(self.study.precision, device, loaded.config.hidden_size)
        chosen = encoder.choose_batches(self.study.batches, loaded)
        return memory.recompute(chosen) if self.study.gradient_checkpointing else chosen

    def read_tokenizer(self) -> None:
        """Read the tokenizer of this cell's backbone, where it is at hand, for all processes that are forked from this."""
        entry = self.study.backbones[self.cell.backbone]
        own = self.study.place(self.cell.backbone, self._first.seed) if entry.load else str(self._first.folder / "encoder")
        place = (entry.tokenizer, None) if entry.tokenizer else (own, entry.revision)
        if found := encoder.tokenizer_at_hand(*place):
            features.of_tokenizer(found)

    @property
    def _first(self) -> Cell:
        """The cell of the backbone that this one's encoder goes back to."""
        return Cell(self.cell.study, "backbone", self.cell.backbone, seed=(self.study.upstream(self.cell) or self.cell).seed)

    def _upstream_encoder(self) -> encoder.Encoder:
        """The encoder of the cell before this one."""
        upstream = self.study.upstream(self.cell)
        if upstream is None or upstream.phase == "backbone":
            return self._backbone()
        if not (upstream.folder / "encoder").exists():
            raise _not_run(upstream)
        return vocabulary.load(upstream.folder / "encoder", self._backbone)

    def _backbone(self) -> encoder.Encoder:
        """The backbone's encoder, published or made by its cell, of which nothing is changed yet."""
        if self.study.backbones[self.cell.backbone].load:
            made = backbones.published(self.study, self.cell.backbone, self._first.seed)
        elif (self._first.folder / "encoder").exists():
            made = encoder.load(str(self._first.folder / "encoder"))
        else:
            raise _not_run(self._first)
        made.changed = torch.empty(0, dtype=torch.long)
        return made

    def _at_random(self) -> encoder.Encoder:
        random, self.tokenizer = backbones.at_random(self.study, self.cell.backbone)
        return random

    def load_head(self, head) -> bool:
        """Restore the head of the model that this cell shares with another target; False where it shares none."""
        shared = self.study.serves(self.cell.target)
        if shared:
            load_model(head, self.study.upstream(self.cell).folder / "head.safetensors")
        return bool(shared)

    def save(self, result: results.Stored, predictions: dict | None = None, rows: dict | None = None) -> None:
        """Hand over what the cell measured (equal for equal parameters) and, where there are any, its predictions.

        Predictions and rows are lists per language (or task); each prediction is written with its row's id.
        """
        if self.folder is None:
            print("run by itself, outside the grid: no result is kept")
            return
        if predictions is not None:
            records.write_predictions(self.folder, predictions, rows)
        records.write_result(self.folder / "result.json", result, self.times)

    def save_encoder(self, trained: encoder.Encoder) -> None:
        """Keep the encoder for the cells downstream; a published one they load themselves."""
        published = self.cell.phase == "backbone" and self.study.backbones[self.cell.backbone].load
        if self.folder is not None and not published:
            vocabulary.save(trained, self.folder / "encoder")

    def save_model(self, trained: encoder.Encoder, head) -> None:
        """Keep the encoder and head of a target whose model another target of the study uses."""
        if self.folder is not None and self.study.is_served(self.cell.target):
            vocabulary.save(trained, self.folder / "encoder")
            save_model(head, str(self.folder / "head.safetensors"))


def _not_run(cell: Cell) -> Problem:
    return Problem(f"{cell.name}: has not been run yet; run make study PROFILE={cell.study} first")


def start(profile: str, phase: str, backbone="", recipe="", target="", seed=0, folder="") -> Run:
    """The run of a notebook, from its parameters; one line of Problem for a name that the study does not have."""
    loaded = study.load(profile, needs_data=phase != "report")
    torch.set_num_threads(loaded.threads)
    for name, value, known in (
        ("backbone", backbone, loaded.backbones),
        ("recipe", recipe, loaded.recipes),
        ("target", target, loaded.targets),
    ):
        if value and value not in known:
            raise Problem(f"{name} {value}: not in params/{profile}.yaml{nearest(value, known)}")
    return Run(
        loaded.of(backbone) if backbone else loaded, Cell(profile, phase, backbone, recipe, target, seed), Path(folder) if folder else None
    )


def threads(timing: study.Timing) -> study.Timing:
    """Let this process use as many threads as the timing parameters say; returns them."""
    torch.set_num_threads(timing.threads or len(os.sched_getaffinity(0)))
    return timing
