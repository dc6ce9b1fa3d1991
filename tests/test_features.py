"""Encoded examples from disk are what encoding gives, are made once, and are made anew whenever anything that matters has changed."""

import multiprocessing
import os

import pytest

from xtools import features, finetuning, sources, study, tasks
from xtools.tasks import format_of

WORLD = sources.Source("microworld")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "FOLDER", tmp_path)
    return tmp_path


def plain(value):
    """Numpy views and tuples as lists."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def no_rows():
    raise AssertionError("the rows are not needed again")


@pytest.mark.parametrize("name", ["xnli", "xcopa", "udpos", "xquad", "lareqa", "tatoeba"])
def test_what_is_read_is_what_was_encoded(name, tokenizer, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 7)
    task = sources.complete(WORLD, tasks.get(name))
    rows = sources.rows(WORLD, task, "train" if task.is_trained else "test", "qaa" if task.is_trained else "qab", 20)
    made = format_of(task).encode(rows, tokenizer, task, 40)
    found = features.load("rows", lambda: rows, tokenizer, task, 40)
    assert len(found) == len(made) and found.rows == 20
    assert [{k: plain(v) for k, v in f.items()} for f in found] == [{k: plain(v) for k, v in f.items()} for f in made]
    assert plain(found[3]["ids"]) == plain(made[3]["ids"])
    with pytest.raises(IndexError):
        found[len(made)]


def test_rows_are_encoded_once(tokenizer):
    task = tasks.get("xnli")
    rows = sources.rows(WORLD, task, "train", "qaa", 5)
    first = features.load("rows", lambda: rows, tokenizer, task, 40)
    tokenizer("a long text that is cut", truncation=True, max_length=4)  # leaves its mark on the tokenizer
    assert [f["label"] for f in features.load("rows", no_rows, tokenizer, task, 40)] == [f["label"] for f in first]


def test_whatever_matters_has_a_file_of_its_own(tokenizer, folder, monkeypatch):
    task, other = tasks.get("xnli"), tasks.get("pawsx")
    rows = sources.rows(WORLD, task, "train", "qaa", 5)
    more = tokenizer.__class__(tokenizer_object=tokenizer.backend_tokenizer, pad_token="<pad>")
    more.add_tokens(["zzz"])
    for asked in (("rows", task, 40), ("others", task, 40), ("rows", other, 40), ("rows", task, 41)):
        features.load(asked[0], lambda: rows, tokenizer, *asked[1:])
    features.load("rows", lambda: rows, more, task, 40)
    monkeypatch.setattr(features, "code", lambda name: "another state of the code")
    features.load("rows", lambda: rows, tokenizer, task, 40)
    assert len(list(folder.iterdir())) == 6


def test_a_file_cut_short_is_made_again(tokenizer, folder):
    task = tasks.get("xnli")
    rows = sources.rows(WORLD, task, "train", "qaa", 5)
    features.load("rows", lambda: rows, tokenizer, task, 40)
    path = next(folder.iterdir())
    os.truncate(path, path.stat().st_size // 2)
    assert len(features.load("rows", lambda: rows, tokenizer, task, 40)) == 5


def test_cells_side_by_side_may_write_the_same_file(tokenizer, folder):
    task = tasks.get("xnli")
    rows = sources.rows(WORLD, task, "train", "qaa", 400)
    with multiprocessing.get_context("spawn").Pool(
        3
    ) as pool:  # not forked: this process has threads, whose locks a fork would keep for ever
        runs = [pool.apply_async(_labels, (folder, rows, tokenizer, task)) for _ in range(6)]
        assert [run.get(120) for run in runs] == [[row["label"] for row in rows]] * 6
    assert [path.suffix for path in folder.iterdir()] == [".arrow"]


def _labels(folder, rows, tokenizer, task):
    features.FOLDER = folder
    return [feature["label"] for feature in features.load("rows", lambda: rows, tokenizer, task, 40)]


def test_a_failure_leaves_nothing(tokenizer, folder):
    with pytest.raises(KeyError):
        features.load("rows", lambda: [{"id": "0"}], tokenizer, tasks.get("xnli"), 40)
    assert not list(folder.iterdir())


def test_a_second_cell_makes_no_training_rows(tiny, monkeypatch):
    smoke, task = study.load("smoke"), tasks.get("xnli")
    first = finetuning.training_features(tiny, smoke, task, 12, 40, 0)
    monkeypatch.setattr(sources, "rows", lambda *wanted: no_rows())
    again = finetuning.training_features(tiny, smoke, task, 12, 40, 0)
    assert again.rows == 12 and [f["label"] for f in again] == [f["label"] for f in first]


def test_changed_files_are_other_rows(parquet_root):
    rows = [{"premise": f"a{i}", "hypothesis": "b", "label": i % 3, "idx": i} for i in range(4)]
    task = tasks.get("mnli")

    def identity(rows):
        source = sources.Source(str(parquet_root("nyu-mll/glue", "mnli", {"train": rows})), subset=True)
        return sources.identity(source, task, "train", "en", None)

    first = identity(rows)
    assert identity(rows[:3]) != first
    source = sources.Source("microworld")
    assert sources.identity(source, task, "train", "qaa", 5) != sources.identity(source, task, "train", "qaa", 6)


@pytest.mark.parametrize("block", [1, 3, 100])
def test_rows_that_come_one_by_one_are_encoded_as_a_list_is(tokenizer, folder, monkeypatch, block):
    task = tasks.get("xnli")
    rows = sources.rows(sources.Source("microworld"), task, "train", "qaa", 7)
    whole = features.load("list", lambda: rows, tokenizer, task, 64)
    monkeypatch.setattr(features, "BLOCK", block)
    one_by_one = features.load(f"iterator {block}", lambda: iter(rows), tokenizer, task, 64)
    assert one_by_one.rows == 7 and [str(f) for f in one_by_one] == [str(f) for f in whole]
    assert features.content(iter(rows)) == features.content(rows) != features.content(rows[:6])


def test_no_more_blocks_are_made_than_keep_all_cores_busy(tokenizer, folder, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 5)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})
    task, made, taken = tasks.get("xnli"), 0, []

    def rows():
        nonlocal made
        for row in sources.rows(WORLD, task, "train", "qaa", 200):
            made += 1
            yield row

    schema = features.pa.schema([(name, features.STORED[kind]) for name, kind in format_of(task).COLUMNS.items()])
    coming = rows()
    blocks = enumerate(iter(lambda: list(features.itertools.islice(coming, 5)), []))
    for block in features._on_all_cores(blocks, (tokenizer, task, 40, schema)):
        taken.append(block)
        assert made <= 5 * (len(taken) + 2 * 2 + 1)
    assert len(taken) == 40 and made == 200


def test_what_is_wrong_with_a_row_is_told_by_whoever_encodes_it(tokenizer, folder, monkeypatch):
    monkeypatch.setattr(features, "BLOCK", 5)
    rows = sources.rows(WORLD, tasks.get("xnli"), "train", "qaa", 20)
    del rows[12]["text_b"]
    with pytest.raises(KeyError, match="text_b"):
        features.load("rows", lambda: rows, tokenizer, tasks.get("xnli"), 40)
    assert not list(folder.iterdir())


def test_the_whole_of_a_published_set_is_read_row_by_row(tiny, parquet_root, monkeypatch):
    rows = [{"premise": f"a {i}", "hypothesis": "b", "label": i % 4 - 1, "idx": i} for i in range(40)]
    told = study.load("smoke").model_copy(update={"source": str(parquet_root("nyu-mll/glue", "mnli", {"train": rows})), "subset": True})
    task = tasks.get("mnli")
    as_list = features.load("list", lambda: sources.rows(told.data, task, "train", "en", None), tiny.tokenizer, task, 40)
    monkeypatch.setattr(sources, "rows", lambda *wanted: no_rows())
    told = told.model_copy(update={"source_language": "en"})
    found = finetuning.training_features(tiny, told, task, None, 40, 0)
    assert found.rows == 30 and [str(f) for f in found] == [str(f) for f in as_list]
