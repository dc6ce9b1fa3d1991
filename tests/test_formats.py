"""What makes a format one file and a task one entry: the whole protocol in each, their names nowhere else."""

import ast
import inspect

import pytest
from test_features import plain

from xtools import ROOT, sources, tasks
from xtools.sources import Source

WORLD = Source("microworld")
CONSTANTS = {"COLUMNS": dict, "LOSS_IS_MEAN": bool, "SEQUENCES": int, "TASKS": list}
FUNCTIONS = {
    "encode": ["rows", "tokenizer", "task", "max_length"],
    "Head": ["config", "task"],
    "loss": ["logits", "batch"],
    "score": ["predictions", "rows", "task", "language"],
    "gold_text": ["row", "task"],
    "prediction_text": ["prediction", "row", "task"],
    "extension": ["task"],
    "file_text": ["pairs", "task", "language", "rows"],
    "score_files": ["predicted", "gold", "task", "language"],
}
ANSWERED = {"decode": ["logits", "batch", "task"], "assemble": ["features", "parts", "rows"]}
SEARCHED = {"retrieve": ["task", "queries", "candidates", "q", "c", "language", "device"]}


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", tasks.formats())
def test_a_format_has_the_whole_protocol(name):
    form = tasks.formats()[name]
    searched = {task.is_searched for task in form.TASKS}
    assert len(searched) == 1, "its tasks are all searched or none is"
    for constant, kind in (CONSTANTS | ({"CAPS_QUERIES": bool} if True in searched else {})).items():
        assert isinstance(getattr(form, constant), kind), constant
    wanted = FUNCTIONS | (SEARCHED if True in searched else ANSWERED)
    assert {function: parameters(getattr(form, function)) for function in wanted} == wanted
    measured = {*CONSTANTS, *wanted, "CAPS_QUERIES"} - {"SEQUENCES", "TASKS"}
    people = {"gold_text", "prediction_text", "extension", "file_text", "score_files"}
    assert measured - people <= {*tasks.MEASURED}, "what a number comes from is counted in fingerprints"
    assert not people & {*tasks.MEASURED}
    assert all(task.format == name for task in form.TASKS)


@pytest.mark.parametrize("name", tasks.registry())
def test_features_have_their_formats_columns_and_readable_answers(name, tokenizer):
    task = sources.complete(WORLD, tasks.get(name))
    form = tasks.format_of(task)
    rows = sources.rows(WORLD, task, "train" if task.is_trained else "test", "qaa", 5)
    features = form.encode(rows, tokenizer, task, 48)
    assert all(list(feature) == list(form.COLUMNS) for feature in features)
    assert {type(plain(value)) for value in features[0].values()} <= {int, bool, list}
    if not task.is_searched:
        assert all(form.gold_text(row, task) for row in rows)


def test_formats_and_tasks_are_found_in_alphabetical_order_of_their_files():
    files = sorted(path.stem for path in (ROOT / "xtools" / "tasks").glob("*.py") if "\nTASKS = " in path.read_text())
    assert list(tasks.formats()) == files
    assert [task.format for task in tasks.registry().values()] == sorted(task.format for task in tasks.registry().values())


def test_a_split_is_a_tuple_however_its_entry_is_written():
    part = tasks.Hub("o/n", "{lang}", "test", dict)
    one, many = (tasks.Task("x", "span", "f1", "qa", {"test": split}) for split in (part, (part,)))
    assert one.splits == many.splits == {"test": (part,)} and one.all_parts() == [part]


# ---------------------------------------------------------------- names of formats and tasks elsewhere


def named(source: str) -> list[int]:
    """Lines that compare something other than a reader with a format's or task's name, or look something up by a task's format."""
    names = {*tasks.formats(), *tasks.registry()}
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            literals = {item.value for side in sides for item in ast.walk(side) if isinstance(item, ast.Constant)}
            readers = [side for side in sides if getattr(side, "attr", "") == "reader"]
            found += [node.lineno] if not readers and names & {value for value in literals if isinstance(value, str)} else []
        keys = [node.slice] if isinstance(node, ast.Subscript) else node.args if _is_get(node) else []
        found += [node.lineno for key in keys if getattr(key, "attr", "") == "format"]
    return found


def _is_get(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get"


@pytest.mark.parametrize(
    "line",
    [
        'task.format == "retrieval"',
        'task.format in ("span", "choice")',
        'task.name != "mlqa"',
        '{"choice": 4}.get(task.format, 1)',
        "SCORERS[task.format]",
    ],
)
def test_a_name_is_found(line):
    assert named(line) == [1]


def test_what_is_no_name_is_left_alone():
    assert named('part.reader == "ccg"\nrecipe.task == "all"\n"{}".format(task)\nx = {"xnli": 1}["xnli"]\n') == []


OUTSIDE = [path for path in sorted((ROOT / "xtools").rglob("*.py")) if path.parent.name != "tasks"]


@pytest.mark.parametrize("path", OUTSIDE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_asks_for_a_format_or_task_by_name(path):
    assert named(path.read_text()) == []
