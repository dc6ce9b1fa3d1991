"""What is told while a study runs: which cells are done or failed, the last score, and how long the rest will take."""

import json
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xtools import tasks
from xtools.run.plan import Entry, Plan


class Told:
    """A bar on a terminal, a line a finished cell elsewhere; a block, within which `ended` is told of cells as they end."""

    def __init__(self, grid: Plan, todo: list[str]):
        self.grid, self.total, self.started = grid, len(todo), time.monotonic()
        self.waiting, self.failed = set(todo), 0
        self.seconds: dict[tuple, list[float]] = {}  # of finished cells, by what they have in common
        self.console = Console()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
        )
        self.bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("starting", total=self.total, left="")

    def __enter__(self) -> "Told":
        self.bar.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self.bar.__exit__(*error)

    def ended(self, name: str) -> None:
        """Tell of a cell that has a record now, or has failed."""
        self.waiting.discard(name)
        outcome = "FAILED"
        if self.grid.is_there(name):
            record = json.loads(self.grid.record(name).read_text())
            outcome = score(record)
            for kind in kinds(self.grid.cells[name]):
                self.seconds.setdefault(kind, []).append(record["times"]["seconds"])
        self.failed += outcome == "FAILED"
        line = " ".join(filter(None, (f"[{self.done}/{self.total}]", clock(time.monotonic() - self.started), name, outcome)))
        self.console.print(line if self.console.is_terminal else f"{line}, {self.left()}", highlight=False, soft_wrap=True)

    def running(self, names: list[str]) -> None:
        """Tell which cells run now."""
        failed = f"{self.failed} failed; " if self.failed else ""
        self.bar.update(self.task, completed=self.done, description=failed + (", ".join(sorted(names)) or "waiting"), left=self.left())

    @property
    def done(self) -> int:
        """How many cells have ended."""
        return self.total - len(self.waiting)

    def left(self) -> str:
        """How long the rest takes if each cell takes as long as the finished ones that are most like it, as many side by side as until now."""
        spent = sum(self.seconds.get((), []))
        if not spent:
            return ""
        expected = sum(self._expected(self.grid.cells[name]) for name in self.waiting)
        return f"about {clock((time.monotonic() - self.started) * expected / spent)} left"

    def _expected(self, entry: Entry) -> float:
        own = next(self.seconds[kind] for kind in kinds(entry) if kind in self.seconds)
        return sum(own) / len(own)


def kinds(entry: Entry) -> list[tuple]:
    """What a cell has in common with others that should take as long, the most alike first."""
    _, phase, backbone, recipe, target, _ = entry.cell
    what = target or recipe
    return [(phase, backbone, what), (phase, what), (phase,), ()]


def score(record: dict) -> str:
    """A record's score in percent: of a target the mean over languages, of an intermediate task what it has learnt; else nothing."""
    result = record["result"]
    if record["phase"] == "target":
        return f"{result['score']:.1f}"
    if record["phase"] == "intermediate":
        return " ".join(f"{task} {dev['metrics'][tasks.get(task).metric]:.1f}" for task, dev in result["dev"].items())
    return ""


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
