"""Tasks by format. A format file holds encode, head, loss, decode and score, and below them the tasks that have the format.

Canonical rows, whatever the source (all have `id`):

- classification: text_a, text_b, label (int)
- choice: context, choices (list of text), label (int)
- tagging: words, tags (names)
- span: question, context, answers {text, answer_start} (lists; empty where the context has no answer)
- retrieval: text, gold (ids of the candidates that are right); a candidate has text alone, a training pair also positive

A format's functions:

- encode(rows, tokenizer, task, max_length): features, dicts with `ids` (token ids of one or more sequences), `row` (index) and targets
- Head(config, task): module; hidden states and a batch to logits
- loss(logits, batch): mean loss over the batch's features
- decode(logits, batch, task): one prediction part per feature
- assemble(features, parts, rows): one prediction per row
- score(predictions, rows, task, language): metrics in percent

Retrieval has vectors instead of decode and assemble.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from xtools.problems import Problem, nearest


@dataclass(frozen=True)
class Hub:
    """Where (a part of) a split lies on the Hugging Face Hub, and how one of its rows becomes canonical.

    `config` and `split` may hold `{lang}`, filled from `names` (language code to what this data set calls it) or the code itself;
    a split that is called differently in different versions gives its names with `|` between. `row` returns a canonical row, several,
    or None to drop it. `rows` is the number of rows that the published split has, per language where it is a dict; None where no
    source states it. `only` are the languages that the part serves (empty: all). `keep` says whether a row is of the language, for
    sets that hold several languages in one split. `reader` is how the files are read (xtools/sources/hub.py).
    """

    repo: str
    config: str
    split: str
    row: Callable[[dict], dict | list[dict] | None]
    names: dict = field(default_factory=dict, hash=False)
    rows: int | dict[str, int] | None = field(default=None, hash=False)
    only: tuple[str, ...] = ()
    keep: Callable[[dict, str], bool] | None = None
    revision: str | None = None
    reader: str = "dataset"

    def name(self, language: str) -> str:
        """What the data set calls a language."""
        return self.names.get(language, language)

    def expected(self, language: str) -> int | None:
        """The number of rows of the published split, where it is known."""
        return self.rows.get(language) if isinstance(self.rows, dict) else self.rows


@dataclass(frozen=True)
class Task:
    """A task: its format, main metric, label names, counterpart in the microworld, and its splits on the Hub.

    Splits are train and dev (source language), for targets test (every language), and for retrieval candidates; each is one Hub entry
    or several whose rows are joined. `world` names the maker of its microworld rows; tasks with the same maker share training examples
    as XNLI does with MNLI. `labels` of a tagging task may be empty: then the source says them. `first` is a task that is trained before
    this one, with the same head. `shares` is the target whose fine-tuned model serves this one too. `translated` is a machine-translated
    training set. `pooled` retrieval has the candidates of all languages in one pool.
    """

    name: str
    format: str
    metric: str
    world: str
    hub: dict[str, Hub | tuple[Hub, ...]]
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    chance: float = 0.0
    first: str = ""
    shares: str = ""
    translated: Hub | None = None
    pooled: bool = False

    @property
    def is_target(self) -> bool:
        return "test" in self.hub

    @property
    def is_trained(self) -> bool:
        """Whether there is a training set; retrieval targets may have none."""
        return "train" in self.hub

    def parts(self, split: str, language: str = "en") -> list[Hub]:
        """The Hub entries that make up a split in a language."""
        if split not in self.hub:
            raise Problem(f"{self.name}: has no {split} split")
        entries = self.hub[split] if isinstance(self.hub[split], tuple) else (self.hub[split],)
        return [entry for entry in entries if not entry.only or language in entry.only]


def registry() -> dict[str, Task]:
    """All tasks by name."""
    from xtools.tasks import choice, classification, retrieval, span, tagging

    return {task.name: task for module in (classification, choice, tagging, span, retrieval) for task in module.TASKS}


def get(name: str) -> Task:
    tasks = registry()
    if name not in tasks:
        raise Problem(f"task {name}: unknown{nearest(name, tasks)}")
    return tasks[name]


def format_of(task: Task):
    """The module of the task's format."""
    from xtools.tasks import choice, classification, retrieval, span, tagging

    return {m.__name__.rpartition(".")[2]: m for m in (classification, choice, tagging, span, retrieval)}[task.format]
