"""What an entry of a TASKS table says: the task, and where its splits lie on the Hub; and what a search for one of them gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from xtools.problems import Problem


@dataclass(frozen=True)
class Hub:
    """Where (a part of) a split lies on the Hugging Face Hub, and how one of its rows becomes canonical.

    `config` and `split` may hold `{lang}`, filled from `names` (language code to what this data set calls it) or the code itself;
    a split that is called differently in different versions gives its names with `|` between. `row` returns a canonical row, several,
    or None to drop it. `rows` is the number of rows that the published split has, per language where it is a dict; None where no
    source states it. `only` are the languages that the part serves (empty: all). `keep` says whether a row is of the language, for
    sets that hold several languages in one split. `reader` is how the files are read (xtools/sources/hub.py). `examples` is the number
    of canonical rows, in the form of `rows`, where one row of the published split makes many, or `keep` takes a share of them.
    `without` is a set whose rows, told by their ids, are left out. `copy` is where a folder may hold the same rows instead. `spans` says
    that `row` looks for answers in a row's text and drops those that are not there; they are counted.
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
    examples: int | dict[str, int] | None = field(default=None, hash=False)
    without: "Hub | None" = None
    copy: "Hub | None" = None
    spans: bool = False

    @property
    def per_language(self) -> bool:
        """Whether each language has files of its own."""
        return "{lang}" in self.config or len(self.only) == 1

    @property
    def kind(self) -> str:
        """Which repositories it lies among: the Hub's data sets, or GitHub's, whose files are read one by one."""
        return "github" if self.reader in ("json", "conllu") else "datasets"

    @property
    def licensed(self) -> bool:
        """Whether no hub serves it: it is read from the folder that the study's `ccg` names, and its files say the labels."""
        return self.reader == "ccg"

    def name(self, language: str) -> str:
        """What the data set calls a language."""
        return self.names.get(language, language)

    def expected(self, language: str) -> int | None:
        """The number of rows of the published split, where it is known."""
        return _in(self.rows, language)

    def size(self, language: str) -> int | None:
        """The number of canonical rows that the published split gives (those that `row` drops included), where it is known."""
        return self.expected(language) if self.examples is None else _in(self.examples, language)


def number(value) -> int:
    """A whole number, which some copies hold as text. Raises ValueError for a boolean, a fraction or nothing."""
    if value is None or isinstance(value, bool | float):
        raise ValueError(f"{value} is no whole number")
    return int(value)


def named(names: tuple[str, ...], numbers: list[int]) -> list[str]:
    """The names of labels by their numbers. Raises ValueError for one outside the range, where Python counts from the end."""
    for label in numbers:
        if type(label) is not int or not 0 <= label < len(names):
            raise ValueError(f"{label} is outside 0..{len(names) - 1}")
    return [names[label] for label in numbers]


def _in(count: int | dict[str, int] | None, language: str) -> int | None:
    return count.get(language) if isinstance(count, dict) else count


@dataclass(frozen=True)
class Task:
    """A task: its format, main metric, label names, counterpart in the microworld, and its splits on the Hub.

    Splits are train and dev (source language), for targets test (every language), and where a target is searched for candidates; each is
    one Hub entry, or a tuple of several whose rows are joined. `world` names the maker of its microworld rows; tasks with the same maker
    share training examples as XNLI does with MNLI. `labels` of a task of tags may be empty: then the source says them. `first` is a task
    that is trained before this one, with the same head; before a target without a training set it may be of any format, and its head is
    thrown away. `shares` is the target whose fine-tuned model serves this one too. `translated` is a machine-translated training set.
    `pooled` targets have the candidates of all languages in one pool, and queries of at most `query_length` tokens, where that is given.
    `folder` is the task's name in XTREME's files and `file_labels` are its labels' names there, where those differ. `unanswerable` says
    that a context may hold no answer, and `normal_form` makes an answer in a language comparable, where SQuAD's way is not the task's.
    Tasks of one `head`, format and labels have one head where they are trained together.
    """

    name: str
    format: str
    metric: str
    world: str
    hub: Mapping[str, Hub | tuple[Hub, ...]]
    labels: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    chance: float = 0.0
    first: str = ""
    shares: str = ""
    translated: Hub | None = None
    pooled: bool = False
    query_length: int | None = None
    folder: str = ""
    file_labels: tuple[str, ...] = ()
    unanswerable: bool = False
    normal_form: Callable[[str, str], str] | None = None
    head: str = ""

    @property
    def splits(self) -> dict[str, tuple[Hub, ...]]:
        """The Hub entries of each split, also where there is but one."""
        return {split: parts if isinstance(parts, tuple) else (parts,) for split, parts in self.hub.items()}

    def beside(self, others: list["Task"]) -> "Task":
        """The task as it is trained beside others: without the parts of its training set that are the whole of another's, so that no row
        counts twice; a task of one part keeps it."""
        whole = [other.splits["train"][0] for other in others if len(other.splits["train"]) == 1]
        kept = tuple(part for part in self.splits["train"] if part not in whole)
        return replace(self, hub={**self.hub, "train": kept}) if 0 < len(kept) < len(self.splits["train"]) else self

    @property
    def is_target(self) -> bool:
        return "test" in self.hub

    @property
    def is_trained(self) -> bool:
        """Whether there is a training set; targets that are searched for may have none."""
        return "train" in self.hub

    @property
    def is_searched(self) -> bool:
        """Whether a test row asks for one of the candidates of a split of their own."""
        return "candidates" in self.hub

    @property
    def is_bitext(self) -> bool:
        """Whether queries and candidates are translations of each other: the source language is then the other side of every pair."""
        return self.is_searched and not self.pooled

    def length_of(self, split: str, max_length: int) -> int:
        """The most tokens of a text of a split, of `max_length` for a task: fewer for the queries of one that says so."""
        return min(self.query_length or max_length, max_length) if split == "test" else max_length

    @property
    def test_splits(self) -> list[str]:
        """The splits that every language of the target has, and that scoring reads."""
        return [split for split in ("test", "candidates") if split in self.hub]

    def parts(self, split: str, language: str = "en") -> list[Hub]:
        """The Hub entries that make up a split in a language.

        Raises Problem when the task has no such split.
        """
        if split not in self.hub:
            raise Problem(f"{self.name}: has no {split} split")
        return [part for part in self.splits[split] if not part.only or language in part.only]

    def all_parts(self) -> list[Hub]:
        """Every Hub entry of the task's splits."""
        return [part for parts in self.splits.values() for part in parts]

    def candidate_languages(self, languages: list[str]) -> list[str]:
        """The languages in which candidates are read: the first alone where one file holds the pool of all."""
        shared = self.pooled and not self.splits["candidates"][0].per_language
        return languages[:1] if shared else languages


@dataclass(frozen=True)
class Searched:
    """What a search gave in one language: scores, predictions (candidate ids, best first), and the queries that were scored."""

    scores: dict
    predictions: list[list[str]]
    rows: list[dict]
