"""Canonical rows of raw ones; and what of a row cannot be trained on or scored, told with its data set, row and column."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from xtools.problems import Problem
from xtools.sources import microworld, world
from xtools.tasks import Hub, Task

MISFIT = (AttributeError, KeyError, IndexError, TypeError, ValueError)  # what an entry raises of a row that it was not written for
UNTAGGED = "_"  # Universal Dependencies' sign for no tag


# ---------------------------------------------------------------- what a value must be


def _text(value, row: dict, task: Task) -> str:
    return "" if isinstance(value, str) else f"{_shown(value)} is no text"


def _texts(value, row: dict, task: Task) -> str:
    wrong = "" if isinstance(value, list) and {*map(type, value)} == {str} else f"{_shown(value)} is no list of texts"
    return f"place {value.index(None)} is null" if wrong and isinstance(value, list) and None in value else wrong


def _label(value, row: dict, task: Task) -> str:
    known = row["choices"] if "choices" in row else task.labels
    if type(value) is not int:  # in Python True is one
        return f"{_shown(value)} is no whole number"
    return "" if 0 <= value < len(known) else f"{value} is outside 0..{len(known) - 1}"


def _tags(value, row: dict, task: Task) -> str:
    if wrong := _texts(value, row, task):
        return wrong
    if len(value) != len(row["words"]):
        return f"{len(row['words'])} words but {len(value)} tags"
    if not task.labels or next(iter(task.splits.values()))[0].licensed:  # of supertags some stand in development rows alone
        return ""
    unknown = {*value}.difference(task.labels, UNTAGGED)
    return f"{min(unknown)} is no label" if unknown else ""


def _answers(value, row: dict, task: Task) -> str:
    if isinstance(value, list) and "context" not in row:  # a candidate's: the queries that it answers
        return ""
    found, starts = value["text"], value["answer_start"]
    if not found:
        return "" if task.unanswerable else "is empty, and every question of this task has an answer"
    if wrong := _texts(found, row, task) or ("" if all(found) else "an answer is empty"):
        return wrong
    stand = len(found) == len(starts) and all(row["context"].startswith(text, at) for text, at in zip(found, starts, strict=True))
    return "" if stand else "an answer does not stand in the context where its start says"


def _gold(value, row: dict, task: Task) -> str:
    return "" if isinstance(value, list) and None not in value else f"{_shown(value)} does not say which candidates are right"


TEXTS: dict[str, Callable[[object, dict, Task], str]] = {
    **dict.fromkeys(("text_a", "text_b", "context", "question", "text", "positive"), _text),
    **dict.fromkeys(("choices", "words"), _texts),
}
CHECKS: dict[str, Callable[[object, dict, Task], str]] = TEXTS | {"label": _label, "tags": _tags, "answers": _answers, "gold": _gold}


def flaw(row: dict, task: Task, checks=CHECKS) -> tuple[str, str] | None:
    """The first key of a canonical row with a value that cannot be, and what is wrong with it."""
    for key, value in row.items():
        if value is None:
            return key, "is null"
        if key in checks and (wrong := checks[key](value, row, task)):
            return key, wrong
    return None


def _shown(value) -> str:
    return "null" if value is None else repr(value)[:40]


# ---------------------------------------------------------------- rows of a part of a split


def made(
    numbered: Iterable[tuple[int, dict]],
    part: Hub,
    task: Task,
    language: str,
    n: int | None,
    start: int = 0,
    barred=frozenset(),
    ids: set[str] | None = None,
) -> list[dict]:
    """At most `n` canonical rows of raw ones of a part, which come with their number in it, those with a `barred` id apart; those without
    an id of their own are numbered from `start` on.

    Rows that are trained on or scored come with the `ids` of those before them, and the first that cannot be, or that repeats one,
    raises Problem. Without, rows are read for their text alone, and one that gives none is left out: whoever needs its label is told.
    """
    rows: list[dict] = []
    if n == 0:
        return rows
    for i, raw in numbered:
        try:
            if (part.keep and not part.keep(raw, part.name(language))) or (barred and str(raw["id"]) in barred):
                continue
            number = raw["id"] if "id" in raw else start + i
            own = None if number is None else str(number)
            several = [{"id": own} | row for row in _several(part.row(raw))]
        except MISFIT as error:
            if ids is None:
                continue
            raise _told(where(part, language), i, *_cause(part, language, raw, error), task) from error
        for row in several:
            if ids is None:
                rows += [] if flaw(row, task, TEXTS) else [row]
                continue
            if found := flaw(row, task) or _repeated(row, ids, row["id"] is own and "id" not in raw):
                raise _told(where(part, language), i, _column(part, language, raw, found[0], row[found[0]]), found[1], task)
            rows.append(row)
        if n is not None and len(rows) >= n:
            break
    return rows if n is None else rows[:n]


def lost(raws: Iterable[dict], part: Hub, language: str) -> tuple[int, int]:
    """How many raw rows of a part with `spans` its entry drops for want of an answer in their context, and how many answers in all."""
    rows = answers = 0
    for raw in raws:
        try:
            if part.keep and not part.keep(raw, part.name(language)):
                continue
            canonical, asked = part.row(raw), len(raw["answers"]["text"])
            found = len(canonical.get("answers", raw["answers"])["text"]) if isinstance(canonical, dict) else 0
        except MISFIT:  # which is told where the row is read
            continue
        rows, answers = rows + (canonical is None), answers + asked - found
    return rows, answers


def _several(canonical: dict | list[dict] | None) -> list[dict]:
    """The canonical rows that an entry makes of a row: none, one or several."""
    if canonical is None:
        return []
    return canonical if isinstance(canonical, list) else [canonical]


def _repeated(row: dict, ids: set[str], is_number: bool = False) -> tuple[str, str] | None:
    """That a row has the id of one before it; those that are numbered have none."""
    if is_number:
        return None
    if row["id"] in ids:
        return "id", f"{_shown(row['id'])} is another row's too"
    ids.add(row["id"])
    return None


class _Watched(dict):
    """A raw row that keeps in mind which of its columns were read."""

    def __init__(self, row: dict):
        super().__init__(row)
        self.read: list[str] = []

    def __getitem__(self, column):
        self.read.append(column)
        return super().__getitem__(column)


def _read(part: Hub, language: str, raw: dict) -> list[str]:
    """The columns that an entry reads of a row, up to the one that it stumbles over."""
    watched = _Watched(raw)
    try:
        if not part.keep or part.keep(watched, part.name(language)):
            part.row(watched)
    except MISFIT:
        pass
    return watched.read or ["id"]


def _cause(part: Hub, language: str, raw: dict, error: BaseException) -> tuple[str, str]:
    """The column that an entry stumbled over, and why: the last that it read, or another that it read and that is null."""
    if not isinstance(raw, dict):  # of a file of JSON
        return "0", f"{_shown(raw)} is no row"
    read = _read(part, language, raw)
    column = next((column for column in read[-1:] + read if _has_null(raw.get(column, ""))), read[-1])
    if column not in raw:
        return column, f"is missing (columns: {', '.join(raw)})"
    if _has_null(raw[column]):
        return column, "is null" if raw[column] is None else "holds a null"
    if isinstance(error, LookupError):
        return column, f"has no {error}" if isinstance(error, KeyError) else "is empty or too short"
    return column, " ".join(str(error).split())[:200]


def _has_null(value) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_has_null, inner))


def _column(part: Hub, language: str, raw: dict, key: str, value) -> str:
    """The raw column that the value of a canonical row's key came from: the one of its name, or that holds some of it, or was read last."""
    if key in raw:
        return key
    parts = {*map(str, value)} if isinstance(value, list) else set()
    alike = [name for name, held in raw.items() if held is value is None or (isinstance(held, list) and parts & {*map(str, held)})]
    return (alike or _read(part, language, raw))[-1]


def where(part: Hub, language: str) -> str:
    """A part's data set, configuration and split."""
    return f"{part.repo} ({part.config.format(lang=part.name(language))}, {part.split.format(lang=part.name(language))})"


def _told(place: str, i: int, column: str, why: str, task: Task) -> Problem:
    return Problem(f"{place}, row {i}, column {column}: {why}; mend or remove the row, or is this not the data of {task.name}?")


# ---------------------------------------------------------------- files of canonical rows


def of_lines(path: Path, task: Task, n: int | None, start: int, step: int) -> Iterator[dict]:
    """Rows `start`, `start + step`, ... of the first `n` of a JSON-lines file of canonical rows.

    Raises Problem at the first that is none: of the keys that a row of the task has in the microworld, none may be missing.
    """
    keys, ids = microworld.rows(task.world, "train", next(iter(world.LANGUAGES)), 1)[0].keys(), set[str]()
    with path.open("rb") as lines:
        for i, line in itertools.islice(enumerate(lines), start, n, step):
            try:
                row = json.loads(line)
                missing = sorted(keys - row.keys())
                found = (missing[0], "is missing") if missing else flaw(row, task) or _repeated(row, ids)
            except MISFIT as error:
                raise Problem(f"{path}, row {i}: no row of {task.name} as JSON ({' '.join(str(error).split())[:100]}); mend it") from error
            if found:
                raise _told(str(path), i, found[0], found[1], task)
            yield row
