"""Encoded examples on disk, shared by all cells of all studies: the same rows are tokenized once, and a cell holds in memory what a batch
needs."""

import collections
import fcntl
import hashlib
import itertools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, lru_cache
from pathlib import Path

import pyarrow as pa
import tokenizers
import transformers

from xtools import ROOT, tasks, versions
from xtools.disk import whole
from xtools.processes import die_with_parent
from xtools.tasks import Task

FOLDER = ROOT / "runs" / "encoded"
BLOCK = 10_000  # rows encoded at a time: tokens as Python objects take a hundred times the room that they take here
MAKING = [("xtools.sources", "rows"), ("xtools.sources", "every"), ("xtools.features", "write")]  # code that all features are made by
STORED = {  # as what a column of a format's features (see xtools.tasks) is kept
    int: pa.int32(),
    bool: pa.bool_(),
    list[int]: pa.list_(pa.int32()),
    list[list[int]]: pa.list_(pa.list_(pa.int32())),
    list[tuple[int, int]]: pa.list_(pa.list_(pa.int32(), 2)),
}


class Features(Sequence):
    """What a format's `encode` returns, in a memory-mapped Arrow file; sequences are numpy views, `rows` is how many rows they encode."""

    def __init__(self, path: Path):
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        self.rows = int(table.schema.metadata[b"rows"])
        self._length = table.num_rows
        self._fields = {name: _reader(table[name].chunk(0)) for name in table.column_names}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, i: int) -> dict:  # type: ignore[override]  # nobody asks for a slice
        return {name: read(i) for name, read in self._fields.items()}

    def __iter__(self) -> Iterator[dict]:
        return map(self.__getitem__, range(self._length))


def _reader(column: pa.Array) -> Callable:
    """A function that gives a column's value at a place; lists are views into the file."""
    if not pa.types.is_list(column.type):
        return memoryview(column.to_numpy(zero_copy_only=False)).__getitem__
    ends, inner = memoryview(column.offsets.to_numpy()), column.values  # one number of a memoryview comes faster than one of an array
    if pa.types.is_fixed_size_list(inner.type):
        pairs = inner.values.to_numpy().reshape(-1, inner.type.list_size)
        return lambda i: pairs[ends[i] : ends[i + 1]]
    if pa.types.is_list(inner.type):
        read = _reader(inner)
        return lambda i: [read(j) for j in range(ends[i], ends[i + 1])]
    numbers = inner.to_numpy()
    return lambda i: numbers[ends[i] : ends[i + 1]]


def load(identity: str, rows: Callable[[], Iterable[dict]], tokenizer, task: Task, max_length: int) -> Features:
    """The features of some rows, from disk, or, the first time, encoded and written there.

    `identity` tells the rows from any others (`sources.identity`, or `content` of rows that are at hand), and `rows` makes them.
    What else encoding depends on is part of the file's name: the tokenizer, the length, the task, the code and the libraries.
    """
    libraries = tokenizers.__version__, transformers.__version__, pa.__version__
    key = versions.digest(identity, of_tokenizer(tokenizer), task.labels, max_length, code(task.name), libraries)
    path = FOLDER / f"{task.name}-{key}.arrow"
    if not _is_whole(path):  # not there yet, or cut short by a crash
        write(path, rows(), tokenizer, task, max_length)
    return Features(path)


@cache
def code(name: str) -> str:
    """Hash of the code that makes a task's rows and encodes them."""
    task = tasks.get(name)
    entries, form = [("TASKS", name), ("MAKERS", task.world)], tasks.format_of(task).__name__
    return versions.code("", entries, [(form, "COLUMNS"), (form, "encode"), *MAKING])


def content(rows: Iterable[dict]) -> str:
    """The identity of rows that are at hand, or come one by one."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()


@lru_cache(maxsize=32)
def of_tokenizer(tokenizer) -> str:
    """Hash of a tokenizer, whatever truncation it was last asked for."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = {key: value for key, value in state.items() if key not in ("truncation", "padding")}
    return versions.digest(type(tokenizer).__name__, tokenizer.truncation_side, json.dumps(kept))


def write(path: Path, rows: Iterable[dict], tokenizer, task: Task, max_length: int) -> None:
    """Encode rows, of which no more than a few blocks are held at once, into a file; of cells that write the same one, the last one's stays.

    Of more than a block all cores encode, and one cell at a time: another that waited for the same file finds it there.
    """
    schema = pa.schema([(name, STORED[kind]) for name, kind in tasks.format_of(task).COLUMNS.items()])
    coming, how = iter(rows), (tokenizer, task, max_length, schema)
    blocks = enumerate(iter(lambda: list(itertools.islice(coming, BLOCK)), []))
    first = list(itertools.islice(blocks, 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    if len(first) < 2:
        return _save(path, [_table(some, number, *how) for number, some in first])
    with open(path.parent.with_name(f"{path.parent.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _is_whole(path):
            _save(path, [*_on_all_cores(itertools.chain(first, blocks), how)])


def _save(path: Path, blocks: list[pa.Table]) -> None:
    """Blocks of features, and how many rows they encode, as one file."""
    start = sum(int(block.schema.metadata[b"rows"]) for block in blocks)
    table = pa.concat_tables(blocks).combine_chunks().replace_schema_metadata({"rows": str(start)})
    with whole(path) as partial, pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, len(table)))


def _table(rows: list[dict], number: int, tokenizer, task: Task, max_length: int, schema: pa.Schema) -> pa.Table:
    """The features of the block of that number."""
    made = tasks.format_of(task).encode(rows, tokenizer, task, max_length)
    table = pa.Table.from_pylist([feature | {"row": feature["row"] + number * BLOCK} for feature in made], schema)
    return table.replace_schema_metadata({"rows": str(len(rows))})


GIVEN: list = []  # in a process that encodes: what `_table` takes beside rows


def _on_all_cores(blocks: Iterable[tuple[int, list[dict]]], how: tuple) -> Iterator[pa.Table]:
    """The features of numbered blocks in order, a process a core; no more blocks are made than keep them busy.

    Processes are forks, which share the tokenizer: a copy each of a large one would take seconds and memory.
    """
    cores = len(os.sched_getaffinity(0))
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(cores, context, initializer=_prepare, initargs=how) as pool:
        under_way: collections.deque = collections.deque()
        for number, some in blocks:
            under_way.append(pool.submit(_encode, some, number))
            if len(under_way) > 2 * cores:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _prepare(*how) -> None:
    die_with_parent()
    GIVEN[:] = how


def _encode(rows: list[dict], number: int) -> pa.Table:
    return _table(rows, number, *GIVEN)


def _is_whole(path: Path) -> bool:
    try:
        return len(Features(path)) >= 0
    except (FileNotFoundError, pa.ArrowInvalid):
        return False
