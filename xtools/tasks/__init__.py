"""Tasks by format. A format file holds encode, head, loss, decode and score, and below them the tasks that have the format.

Canonical rows, whatever the source (all have `id`):

- classification: text_a, text_b, label (int)
- choice: context, choices (list of text), label (int)
- tagging: words, tags (names)
- span: question, context, answers {text, answer_start} (lists)
- retrieval: text, source_text (its translation in the source language)

A format's functions:

- encode(rows, tokenizer, task, max_length): features, dicts with `ids` (token ids of one or more sequences), `row` (index) and targets
- Head(config, task): module; hidden states and a batch to logits
- loss(logits, batch): mean loss over the batch's features
- decode(logits, batch): one prediction part per feature
- assemble(features, parts, rows): one prediction per row
- score(predictions, rows, task): metrics in percent
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from xtools.problems import Problem, nearest


@dataclass(frozen=True)
class Hub:
    """Where a split lies on the Hugging Face Hub, and how one of its rows becomes a canonical row (None drops it).

    `config` and `split` may hold `{lang}`, filled from `names` (language code to what this data set calls it) or the code itself.
    """

    repo: str
    config: str
    split: str
    row: Callable[[dict], dict | None]
    names: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """A task: its format, main metric, label names, counterpart in the microworld, and its splits on the Hub.

    Splits are train and dev (source language) and, for targets, test (every language). `world` names the maker of its microworld
    rows; tasks with the same maker and `train_like` share training examples as XNLI does with MNLI.
    """

    name: str
    format: str
    metric: str
    world: str
    hub: dict[str, Hub]
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    chance: float = 0.0

    @property
    def is_target(self) -> bool:
        return "test" in self.hub


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
