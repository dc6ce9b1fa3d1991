"""Encoded examples on disk, shared by all cells of all studies: the same rows are tokenized once, and a cell holds in memory what a batch
needs."""

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

import pyarrow as pa
import tokenizers
import transformers

from xtools import ROOT, tasks, versions
from xtools.disk import whole
from xtools.tasks import Task

FOLDER = ROOT / "runs" / "encoded"
BLOCK = 10_000  # rows encoded at a time: tokens as Python objects take a hundred times the room that they take here
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
    try:
        return Features(path)
    except (FileNotFoundError, pa.ArrowInvalid):  # not there yet, or cut short by a crash
        write(path, rows(), tokenizer, task, max_length)
        return Features(path)


@cache
def code(name: str) -> str:
    """Hash of the code that makes a task's rows and encodes them."""
    task = tasks.get(name)
    entries, form = [("TASKS", name), ("MAKERS", task.world)], tasks.format_of(task).__name__
    return versions.code("", entries, [(form, "COLUMNS"), (form, "encode"), ("xtools.sources", "rows"), ("xtools.features", "write")])


def content(rows: Iterable[dict]) -> str:
    """The identity of rows that are at hand, or come one by one."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()


@lru_cache(maxsize=4)
def of_tokenizer(tokenizer) -> str:
    """Hash of a tokenizer, whatever truncation it was last asked for."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = {key: value for key, value in state.items() if key not in ("truncation", "padding")}
    return versions.digest(type(tokenizer).__name__, tokenizer.truncation_side, json.dumps(kept))


def write(path: Path, rows: Iterable[dict], tokenizer, task: Task, max_length: int) -> None:
    """Encode rows, of which no more than a block are held at once, into a file; of cells that write the same one, the last one's stays."""
    form, blocks, coming, start = tasks.format_of(task), [], iter(rows), 0
    schema = pa.schema([(name, STORED[kind]) for name, kind in form.COLUMNS.items()])
    while some := list(itertools.islice(coming, BLOCK)):
        block = form.encode(some, tokenizer, task, max_length)
        blocks.append(pa.Table.from_pylist([feature | {"row": feature["row"] + start} for feature in block], schema))
        start += len(some)
    table = pa.concat_tables(blocks).combine_chunks().replace_schema_metadata({"rows": str(start)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial, pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=max(1, len(table)))
