"""Run one cell: execute its notebook in a fresh kernel, then write its record, last and atomically.

The notebook side is `start` (what to do, from which encoder) and `Run.save` (what came out); `execute` is the other side.
"""

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_model, save_model

from xtools import ROOT, encoder, study
from xtools.problems import Problem
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
        found = self._at_random() if self.cell.phase == "timing" and self.study.timing.weights == "random" else self._upstream_encoder()
        device = encoder.choose_device(self.study.device)
        found.model.to(device)
        found.precision = encoder.choose_precision(self.study.precision, device, found.config.hidden_size)
        return encoder.choose_batches(self.study.batches, found)

    def _upstream_encoder(self) -> encoder.Encoder:
        from xtools import backbones

        upstream = self.study.upstream(self.cell)
        if (upstream is None or upstream.phase == "backbone") and self.study.backbones[self.cell.backbone].load:
            return backbones.published(self.study, self.cell.backbone, upstream.seed if upstream else self.cell.seed)
        folder = upstream.folder / "encoder"
        if not folder.exists():
            raise Problem(f"{upstream.name}: has not been run yet; run make study PROFILE={self.study.name} first")
        return encoder.load(str(folder))

    def _at_random(self) -> encoder.Encoder:
        from xtools import backbones

        found, self.tokenizer = backbones.at_random(self.study, self.cell.backbone)
        return found

    def load_head(self, head) -> bool:
        """Restore the head of the model that this cell shares with another target; False where it shares none."""
        shared = self.study.serves(self.cell.target)
        if shared:
            load_model(head, self.study.upstream(self.cell).folder / "head.safetensors")
        return bool(shared)

    def save(self, result: dict, predictions: dict | None = None, rows: dict | None = None) -> None:
        """Hand over what the cell measured (JSON values; equal for equal parameters) and, where there are any, its predictions.

        Predictions and rows are lists per language (or task); each prediction is written with its row's id.
        """
        if self.folder is None:
            print("run by itself, outside the grid: no result is kept")
            return
        if predictions is not None:
            named = {k: [[row["id"], p] for row, p in zip(rows[k], found, strict=True)] for k, found in predictions.items()}
            (self.folder / "predictions.json").write_text(json.dumps(named, ensure_ascii=False))
        (self.folder / "result.json").write_text(json.dumps(result | {"times": self.times | result.get("times", {})}))

    def save_encoder(self, made: encoder.Encoder, head=None) -> None:
        """Keep the encoder for the cells downstream, and the head where they use that too."""
        if self.folder is not None:
            encoder.save(made, self.folder / "encoder")
            if head is not None:
                save_model(head, str(self.folder / "head.safetensors"))


def start(profile: str, phase: str, backbone="", recipe="", target="", seed=0, folder="") -> Run:
    """The run of a notebook, from its parameters; one line of Problem for a name that the study does not have."""
    import torch

    from xtools.problems import nearest

    torch.set_num_threads(1)  # cells run side by side, one thread each; and one thread gives the same sums every time
    loaded = study.load(profile)
    for name, value, known in (
        ("backbone", backbone, loaded.backbones),
        ("recipe", recipe, loaded.recipes),
        ("target", target, loaded.targets),
    ):
        if value and value not in known:
            raise Problem(f"{name} {value}: not in params/{profile}.yaml{nearest(value, known)}")
    return Run(loaded, Cell(profile, phase, backbone, recipe, target, seed), Path(folder) if folder else None)


def threads(timing: study.Timing) -> study.Timing:
    """Let this process use as many threads as the timing parameters say; returns them."""
    import torch

    torch.set_num_threads(timing.threads or len(os.sched_getaffinity(0)))
    return timing


def execute(cell: Cell, fingerprint: str) -> None:
    """Execute the cell's notebook and write its record; what a failed notebook leaves is itself, with its traceback, and `failed.txt`.

    Raises Problem with the reason when the notebook fails.
    """
    from xtools import records
    from xtools.report import pages
    from xtools.run import kernels

    began, clock = time.time(), time.monotonic()
    cell.folder.mkdir(parents=True, exist_ok=True)
    begun = cell.folder / "fingerprint"  # of the attempt that left a checkpoint: another one must not go on from it
    stale = [] if begun.exists() and begun.read_text() == fingerprint else list(cell.folder.glob("checkpoint*.safetensors"))
    for leftover in (*(cell.folder / name for name in ("record.json", "result.json", "failed.txt")), *stale):
        leftover.unlink(missing_ok=True)
    begun.write_text(fingerprint)
    running = cell.folder / "running"  # what `watch` in xtools/grid.py shows as running
    running.touch()
    parameters = {key: getattr(cell, key) for key in ("backbone", "recipe", "target") if getattr(cell, key)}
    parameters |= {"study": cell.study, "folder": str(cell.folder)} | ({} if cell.phase == "report" else {"seed": cell.seed})
    try:
        kernels.execute(ROOT / "notebooks" / f"{records.NOTEBOOKS[cell.phase]}.py", parameters, cell.folder / "notebook.ipynb")
        result = json.loads((cell.folder / "result.json").read_text())
    except (Problem, FileNotFoundError) as error:
        reason = str(error) if isinstance(error, Problem) else "its notebook ended without a result"
        (cell.folder / "failed.txt").write_text(f"{reason}\n")
        if (cell.folder / "notebook.ipynb").exists():
            pages.page(cell.folder / "notebook.ipynb", cell.folder / "notebook.html", f"{cell.name} (failed)")
        raise Problem(f"{cell.name}: {reason} (see {(cell.folder / 'notebook.ipynb').relative_to(ROOT)})") from error
    finally:
        running.unlink()
    times = {"began": began, "seconds": time.monotonic() - clock}
    record = {
        "study": cell.study,
        "phase": cell.phase,
        "backbone": cell.backbone,
        "recipe": cell.recipe,
        "target": cell.target,
        "seed": cell.seed,
        "fingerprint": fingerprint,
        "result": result,
        "times": times | result.pop("times", {}),
        "machine": records.machine(),
        "commit": records.commit(),
    }
    pages.page(cell.folder / "notebook.ipynb", cell.folder / "notebook.html", cell.name)
    records.write_json(cell.record, record)
    (cell.folder / "result.json").unlink()
