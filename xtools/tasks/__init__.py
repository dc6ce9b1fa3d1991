"""Tasks by format. Each file of this folder with a TASKS list is a format: how its rows are encoded, learned, predicted, scored and shown.

Canonical rows, whatever the source (all have `id`):

- classification: text_a, text_b, label (int)
- choice: context, choices (list of text), label (int)
- tagging: words, tags (names)
- span: question, context, answers {text, answer_start} (lists; empty where the context has no answer)
- retrieval, mining: text; a query also gold (ids of the candidates that are right; without it, the candidate with the query's id), a
  candidate of a pool whose languages share questions also answers (ids of the queries that it answers), a training pair also positive

What every format has, for numbers:

- COLUMNS: the columns of its features and their types, in order
- LOSS_IS_MEAN: whether a batch's loss is the mean of its features' losses, so that it may be computed in parts
- weight(feature), where features do not weigh alike in that mean: what one counts for
- encode(rows, tokenizer, task, max_length): features, dicts with `ids` (token ids of one or more sequences), `row` (index), `cut`
  (whether text was lost) and targets
- Head(config, task): module; hidden states and a batch to logits
- loss(logits, batch): mean loss over the batch's features
- score(predictions, rows, task, language): metrics in percent

and where an answer comes from a row's own logits:

- decode(logits, batch, task): one prediction part per feature
- assemble(features, parts, rows): one prediction per row

and where it is searched for among candidates, by sentence vectors:

- CAPS_QUERIES: whether a study's cap on test rows takes queries away
- retrieve(task, queries, candidates, q, c, language, device): search with the vectors [rows, hidden] of queries and candidates, large sets
  on `device` (`Searched`)

For people and files:

- SEQUENCES: how many sequences an example has, for an estimate before there is any
- gold_text(row, task), prediction_text(prediction, row, task): a row's answer and a prediction, readable
- extension(task), file_text(pairs, task, language, rows): the ending and the text of a prediction file of XTREME, from [id, prediction]
  pairs; `rows` is a function that returns the rows that were predicted
- score_files(predicted, gold, task, language): metrics in percent of a prediction file against a label file. Raises ValueError, KeyError
  or TypeError where they do not fit
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from xtools.problems import Problem, nearest
from xtools.tasks.entry import Hub, Searched, Task

# What numbers come from, of a format: a cell's fingerprint counts these of its own formats (xtools/versions.py).
MEASURED = ("COLUMNS", "LOSS_IS_MEAN", "encode", "Head", "loss", "weight", "score", "decode", "assemble", "CAPS_QUERIES", "retrieve")
__all__ = ["MEASURED", "Hub", "Searched", "Task", "format_of", "formats", "get", "registry"]


@cache
def formats() -> dict[str, ModuleType]:
    """The format modules by name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if hasattr(module, "TASKS")}


@cache
def registry() -> dict[str, Task]:
    """All tasks by name, format by format in alphabetical order, and as they stand in its list."""
    return {task.name: task for module in formats().values() for task in module.TASKS}


def get(name: str) -> Task:
    """A task by its name.

    Raises Problem, with the nearest name, when there is none.
    """
    tasks = registry()
    if name not in tasks:
        raise Problem(f"task {name}: unknown{nearest(name, tasks)}")
    return tasks[name]


def format_of(task: Task) -> ModuleType:
    """The module of the task's format; no other is imported, since some need packages that others do not."""
    return importlib.import_module(f"{__name__}.{task.format}")
