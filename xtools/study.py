"""A study: its parameters (one YAML file directly under params/), and the grid of cells that follows from them."""

import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, get_origin

import yaml
from pydantic import AfterValidator, Field, PrivateAttr, ValidationError, model_validator

from xtools import ROOT, rules, tasks
from xtools.benchmark import LANGUAGES
from xtools.parameters import NAME, NAMED, Dumper, Loader, read, shown
from xtools.problems import Problem, nearest
from xtools.settings import (
    Backbone,
    Evaluation,
    Folder,
    Phase,
    Pretraining,
    Recipe,
    Retrieval,
    Share,
    Strict,
    Threads,
    Timing,
    a_name,
    brief,
    over,
    wrong,
)
from xtools.sources import Source

PROTOCOLS = ROOT / "params" / "ledgers" / "protocols.yaml"
TAKEN = ("cells", "compare", "encoded", "kept")  # folders of runs/ that are no study's
Languages = Annotated[list[str], Field(min_length=1)]


def a_device(text: str) -> str:
    """The text itself, where torch may have such a device; raises ValueError."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", text):
        raise ValueError(f"{text} is unknown{nearest(text, ('auto', 'cpu', 'cuda', 'mps'))}")
    return text


class Study(Strict):
    """All parameters of a study; `source` is microworld, hub, or a folder in the Hub's layout ($VARIABLES are filled in).

    `subset` allows data with other row counts than the published ones, which the report then names. `ccg` and `translations` are folders
    of data that no hub serves (see xtools/sources); `translation_noise` is the word-error rate of translations in the microworld. Recipes
    that need a licensed set which `ccg` does not name are no part of the study (`left_out`), and `all` is over the other tasks. `note` is what
    a reader must know of its encoders or data; it stands at the head of its report, and by its retrieval scores.
    """

    _left_out: dict[str, int] = PrivateAttr(default_factory=dict)  # recipes of the file, and where among its recipes they stand

    name: str
    title: str
    note: str = ""
    source: Folder
    source_language: str
    languages: Literal["xtreme", "xtreme_r", "both"] | Languages | dict[str, Languages]  # of benchmarks, for all targets, or per target
    backbones: dict[Annotated[str, AfterValidator(a_name)], Backbone] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0, le=1_000_000_000)]] = Field(min_length=1)
    recipes: list[str] = Field(min_length=1)
    targets: list[str] = Field(min_length=1)
    subset: bool = False
    ccg: Folder | None = None
    translations: Folder | None = None
    translation_noise: Share = 0.1
    protocol: str | None = None  # whose training settings hold where the study sets none (params/ledgers/protocols.yaml)
    shares: dict[str, str] = {}  # a target: the one whose fine-tuned model it is scored with, as where both have the same training rows
    first_tasks: bool = True  # a trained target's first task before it: Social IQa before COPA, as XTREME-R trains for xcopa
    pretraining: Pretraining | None = None
    intermediate: Phase | None = None
    target: Phase
    evaluation: Evaluation = Evaluation()
    retrieval: Retrieval = Retrieval()
    timing: Timing = Timing()
    device: Annotated[str, AfterValidator(a_device)] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    batches: Literal["auto", "padded", "packed", "compiled"] = "auto"
    vocabulary: Literal["seen", "whole"] = "seen"  # of the word embeddings, what training holds and cells keep: to the bit the same results
    threads: Threads = 1  # of a cell on a CPU: numbers hang on them, so they are the study's and not what the machine has to spare
    gradient_checkpointing: bool = False  # while it trains, an encoder keeps its layers' inputs alone: less memory, a third more time

    @model_validator(mode="after")
    def follows_the_rules(self):
        for rule in rules.RULES:
            rule(self)
        return self

    @property
    def left_out(self) -> list[str]:
        """The recipes of the study's file that its data is not there for."""
        return list(self._left_out)

    def left_out_told(self) -> str:
        """In one line, which recipes are left out and why, and what `all` is over; empty where none is."""
        if not self._left_out:
            return ""
        why = f"{self.ccg} is not set" if self.ccg else "names no folder"
        every = f"; all is over the other {len(self.tasks_of('all'))}: {', '.join(self.tasks_of('all'))}" if "all" in self.recipes else ""
        return f"ccg: {why}, so left out: {', '.join(self._left_out)}{every}"

    @property
    def folder(self) -> Path:
        return ROOT / "runs" / self.name

    @property
    def first(self) -> str:
        """The name of the first backbone, the smallest where they are listed by size."""
        return next(iter(self.backbones))

    @property
    def last(self) -> str:
        """The name of the last backbone, the largest where they are listed by size."""
        return list(self.backbones)[-1]

    def place(self, backbone: str, seed: int) -> str:
        """What a published backbone is loaded from: a folder of the project, a Hub id, or, where the study reads a folder in the Hub's layout
        that has the encoder beside its data sets, the path there."""
        load = self.backbones[backbone].load.format(seed=seed)
        beside = Path(os.path.expandvars(self.source), load)
        return str(beside) if (beside / "config.json").exists() else load

    def languages_of(self, target: str) -> list[str]:
        """The languages in which a target is scored; the source language is among them only where the target has it."""
        if isinstance(self.languages, str):
            return LANGUAGES[self.languages].get(target, [])
        return self.languages.get(target, []) if isinstance(self.languages, dict) else self.languages

    @cached_property
    def data(self) -> Source:
        """Where rows come from, checked."""
        return Source(expand(self.source), self.subset, _filled(self.ccg), _filled(self.translations), self.translation_noise)

    @cached_property
    def intermediate_tasks(self) -> list[str]:
        """Every intermediate task of the study's recipes, once."""
        return [task for task in dict.fromkeys(Recipe.parse(r).task for r in self.recipes) if task not in ("none", "all")]

    def tasks_of(self, recipe: str) -> list[str]:
        """The intermediate tasks that a recipe trains on."""
        task = Recipe.parse(recipe).task
        return self.intermediate_tasks if task == "all" else [task]

    def all_languages(self) -> list[str]:
        """The source language, then every other that a target is scored in."""
        return list(dict.fromkeys([self.source_language, *(lang for target in self.targets for lang in self.languages_of(target))]))

    def stages(self, target: str) -> list[str]:
        """The tasks that a target's model is trained on, in order; none where the encoder is scored as it is."""
        task = tasks.get(target)
        if not task.is_trained:
            return [task.first] if task.first else []  # without it, it would be another target
        return [task.first, target] if task.first and self.first_tasks else [target]

    def serves(self, target: str) -> str | None:
        """The target whose fine-tuned model a target uses, where the study has both and trains them alike; else None."""
        other = self.shares.get(target) or tasks.get(target).shares
        return other if other in self.targets and self._trains_alike(other, target) else None

    def _trains_alike(self, one: str, other: str) -> bool:
        exceptions = self.target.backbones.values()
        return self.target.for_task(one) == self.target.for_task(other) and all(of.get(one) == of.get(other) for of in exceptions)

    def is_served(self, target: str) -> bool:
        """Whether another target of the study uses this one's model."""
        return any(self.serves(other) == target for other in self.targets)

    def upstream(self, cell: "Cell") -> "Cell | None":
        """The cell whose encoder a cell starts from."""
        if cell.phase == "backbone":
            return None
        if cell.phase == "target" and self.serves(cell.target):
            return replace(cell, target=self.serves(cell.target))
        if cell.phase == "target" and cell.recipe != "none":
            return Cell(cell.study, "intermediate", cell.backbone, cell.recipe, seed=cell.seed)
        if cell.phase == "timing" and self.timing.weights == "random":
            return None
        return Cell(cell.study, "backbone", cell.backbone, seed=self.seeds[0] if cell.phase == "timing" else cell.seed)

    def of(self, backbone: str) -> "Study":
        """The study with the settings that hold for one backbone: its exceptions are those of the tasks."""
        if not any(phase and phase.backbones for phase in (self.intermediate, self.target)):
            return self
        names = self.backbones[backbone].load, backbone
        phases = {key: getattr(self, key).of(*names) for key in ("intermediate", "target") if getattr(self, key)}
        return self.model_copy(update=phases)

    def retrieval_of(self, backbone: str) -> Retrieval:
        """The layer and pooling of a backbone's sentence vectors."""
        return self.backbones[backbone].retrieval or self.retrieval

    def cells(self) -> list["Cell"]:
        """The grid, upstream cells first."""
        grid = []
        for backbone in self.backbones:
            for seed in self.seeds:
                grid.append(Cell(self.name, "backbone", backbone, seed=seed))
                for recipe in self.recipes:
                    if recipe != "none":
                        grid.append(Cell(self.name, "intermediate", backbone, recipe, seed=seed))
                    ordered = sorted(self.targets, key=lambda target: self.serves(target) is not None)
                    grid += [Cell(self.name, "target", backbone, recipe, target, seed) for target in ordered]
        # Repetitions interleave the backbones, so that what the machine does meanwhile hits all alike.
        grid += [Cell(self.name, "timing", backbone, seed=r) for r in range(self.timing.repetitions) for backbone in self.backbones]
        return grid


@dataclass(frozen=True)
class Cell:
    """One grid point: one executed notebook, one folder, one record. Of a timing cell, `seed` is the number of the repetition."""

    study: str
    phase: str
    backbone: str = ""
    recipe: str = ""
    target: str = ""
    seed: int = 0

    @property
    def name(self) -> str:
        parts = [
            self.phase,
            self.backbone,
            self.recipe,
            self.target,
            f"{'r' if self.phase == 'timing' else 's'}{self.seed}" if self.backbone else "",
        ]
        return "-".join(part for part in parts if part)

    @property
    def folder(self) -> Path:
        return ROOT / "runs" / self.study / self.phase / self.name

    @property
    def record(self) -> Path:
        return self.folder / "record.json"


def expand(source: str) -> str:
    """The source with $VARIABLES filled in.

    Raises Problem when a variable is not set or the folder does not exist.
    """
    if source in ("microworld", "hub"):
        return source
    folder = os.path.expandvars(source)
    if "$" in folder or not folder:
        raise Problem(f"source: {source} is not set; set it to a folder in the Hub's layout (owner/name/config/*.parquet)")
    if not os.path.isdir(folder):
        raise Problem(f"source: {folder}: no such folder; it must hold data sets in the Hub's layout (owner/name/config/*.parquet)")
    return folder


def _filled(folder: str | None) -> str | None:
    """A folder's path with $VARIABLES filled in; whether it is there is told by what reads it."""
    return os.path.expandvars(folder) if folder else None


def load(profile: str, folder: Path = ROOT / "params", needs_data: bool = True) -> Study:
    """The study of params/<profile>.yaml, checked. With `like: <study>` it has that study's value of every top-level key that it does not
    hold itself; null takes such a key away. With `protocol: <name>` it has that protocol's settings, of which its own stand in the place, key
    by key. What reads records alone needs no data (`needs_data`).

    Raises Problem, one line that names file and key, for anything wrong with it.
    """
    if not NAME.fullmatch(profile) or profile in TAKEN:
        raise Problem(f"params/: {brief(profile)}: {'a folder of runs/ already; name the file otherwise' if profile in TAKEN else NAMED}")
    path = folder / f"{profile}.yaml"
    own = _read(path)
    other = _liked(own, path)
    base = _read(other) if other else {}
    values = {key: value for key, value in (base | own).items() if not (other and value is None and key in Study.model_fields)}
    values.pop("like", None)
    values = over(_protocol(values.get("protocol"), path), values)

    def home(key) -> Path:
        return shown(other if key in base and key not in own else path)

    try:
        study = Study.model_validate({"name": profile} | values)
    except ValidationError as error:
        raise Problem(f"{home(next(iter(error.errors()[0]['loc']), None))}: {_first(error)}") from error
    try:
        if needs_data:
            expand(study.source)
    except Problem as error:
        raise Problem(f"{home('source')}: {error}") from error
    return _with_its_data(study)


def _with_its_data(study: Study) -> Study:
    """The study without the recipes whose licensed set `ccg` does not name: no folder, or an unset variable. One that it names is needed,
    be it there or not, and the microworld has every task."""
    if study.source == "microworld" or is_named(study.ccg):
        return study
    used = {recipe: Recipe.parse(recipe).task for recipe in study.recipes}
    there = {task for task in used.values() if task in ("none", "all") or not any(part.licensed for part in tasks.get(task).all_parts())}
    there -= {"all"} if there <= {"none", "all"} else set()  # nothing is left for it to be over
    left_out = {recipe: place for place, (recipe, task) in enumerate(used.items()) if task not in there}
    without = study.model_copy(update={"recipes": [recipe for recipe in used if recipe not in left_out]})
    without._left_out = left_out
    return without


def is_named(folder: str | None) -> bool:
    """Whether a folder's name says anything, $VARIABLES filled in."""
    filled = _filled(folder)
    return bool(filled) and "$" not in str(filled)


def resolved(study: Study) -> str:
    """The study with all defaults filled in, as YAML that loads again to an equal study; its name is not in it, being its file's."""
    values = study.model_dump(exclude={"name"})
    for recipe, place in study._left_out.items():
        values["recipes"].insert(place, recipe)
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=140)


def _studies(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml") if NAME.fullmatch(path.stem))


def _read(path: Path) -> dict:
    """The keys and values of a study's file as they stand there.

    Raises Problem where there is no such file, or it is not YAML with keys.
    """
    if not path.exists():
        raise Problem(f"{shown(path)}: no such study{nearest(path.stem, _studies(path.parent))}")
    values = read(path)
    if "name" in values:
        raise Problem(f"{shown(path)}: name: unknown key; a study is called as its file is")
    return values


def _liked(own: dict, path: Path) -> Path | None:
    """The file of the study that a study is like; None for one that stands alone.

    Raises Problem for a name that is no other study's, or that of a study which is itself like another.
    """
    if "like" not in own:
        return None
    name, told = own["like"], f"{shown(path)}: like: {own['like']}"
    if name == path.stem:
        raise Problem(f"{told} is this study itself; name another, or take the key out")
    if name not in _studies(path.parent):
        raise Problem(f"{told}: no such study{nearest(name, [study for study in _studies(path.parent) if study != path.stem])}")
    other = path.with_name(f"{name}.yaml")
    if "like" in (further := _read(other)):
        raise Problem(f"{told} is itself like {further['like']}; name a study that stands alone")
    return other


def _protocol(name: object, path: Path) -> dict:
    """The settings of a protocol; none where a study names none.

    Raises Problem for a name that is not a protocol's.
    """
    if name is None:
        return {}
    known = yaml.load(PROTOCOLS.read_text(), Loader)
    if not isinstance(name, str) or name not in known:
        raise Problem(f"{shown(path)}: protocol: {name} is unknown{nearest(str(name), known)}")
    return known[name]


def _first(error: ValidationError) -> str:
    """The first of pydantic's errors as `key: what is wrong`, with the nearest valid name for an unknown key; of a key that may hold several
    types, what is wrong for that which comes nearest."""
    top = error.errors()[0]["loc"][:1]
    first = max((e for e in error.errors() if e["loc"][:1] == top), key=lambda e: (len(e["loc"]), e["type"] == "too_short"))
    if first["type"] != "extra_forbidden":
        return wrong(first)
    keys = [str(key) for key in first["loc"]]
    model = _model_at(keys[:-1])
    known = list(model.model_fields) if model is not Study else [key for key in (*Study.model_fields, "like") if key != "name"]
    return f"{'.'.join(keys)}: unknown key{nearest(keys[-1], known)}"


def _model_at(keys: list[str]):
    """The model that keys lead to, from a study on; of a dict of models, the key after its own names an entry."""
    model, entries = Study, False
    for key in keys:
        annotation = model.model_fields[key].annotation if not entries else None
        model, entries = (_model_in(annotation), get_origin(annotation) is dict) if annotation else (model, False)
    return model


def _model_in(annotation):
    """The Strict model inside an annotation such as `Phase | None` or `dict[str, Backbone]`."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return annotation
    inner = [_model_in(a) for a in getattr(annotation, "__args__", ())]
    return next((m for m in inner if m), None)
