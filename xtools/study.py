"""A study: its parameters (one YAML file under params/), and the grid of cells that follows from them."""

import os
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from xtools import ROOT, tasks
from xtools.benchmark import BENCHMARKS
from xtools.problems import Problem, nearest
from xtools.settings import Backbone, Evaluation, Loader, Phase, Pretraining, Retrieval, Share, Strict, Timing, Training
from xtools.sources import Source, world

RECIPE = re.compile(r"(?P<task>[a-z][a-z0-9_]*)(?P<translated>-mt)?(?P<mlm>\+mlm)?(?:@(?P<examples>[1-9][0-9]*))?")


@dataclass(frozen=True)
class Recipe:
    """What happens between pretraining and the target: `<task>[-mt][+mlm][@N]`, where the task may be `all`, or `none`.

    `-mt` trains on rows machine-translated into all languages, in equal shares; `+mlm` goes on with multilingual masked-LM on the side;
    `@N` takes the first N examples of each task.
    """

    task: str
    translated: bool = False
    mlm: bool = False
    examples: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Recipe":
        """Raises ValueError for text that is not of the form."""
        found = RECIPE.fullmatch(text)
        if not found:
            raise ValueError(f"recipes: {text} is not of the form <task>[-mt][+mlm][@N]")
        return cls(found["task"], bool(found["translated"]), bool(found["mlm"]), int(found["examples"]) if found["examples"] else None)


class Study(Strict):
    """All parameters of a study; `source` is microworld, hub, or a folder in the Hub's layout ($VARIABLES are filled in).

    `subset` allows data with other row counts than the published ones, which the report then names. `ccg` and `translations` are folders
    of data that no hub serves (see xtools/sources); `translation_noise` is the word-error rate of translations in the microworld.
    """

    name: str
    title: str
    source: str
    source_language: str
    languages: Literal["xtreme", "xtreme_r"] | list[str] | dict[str, list[str]]  # of a benchmark, for all targets, or per target
    backbones: dict[str, Backbone] = Field(min_length=1)
    seeds: list[Annotated[int, Field(ge=0)]] = Field(min_length=1)
    recipes: list[str] = Field(min_length=1)
    targets: list[str] = Field(min_length=1)
    subset: bool = False
    ccg: str | None = None
    translations: str | None = None
    translation_noise: Share = 0.1
    first_tasks: bool = True  # a target's first task before it: Social IQa before COPA, as XTREME-R trains for xcopa
    pretraining: Pretraining | None = None
    intermediate: Phase | None = None
    target: Phase
    evaluation: Evaluation = Evaluation()
    retrieval: Retrieval = Retrieval()
    timing: Timing = Timing()
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    batches: Literal["auto", "padded", "packed", "compiled"] = "auto"

    @model_validator(mode="after")
    def known_names(self):
        known = tasks.registry()
        intermediate = [name for name, task in known.items() if not task.is_target]
        targets = [name for name, task in known.items() if task.is_target]
        bases = [Recipe.parse(recipe).task for recipe in self.recipes]
        if [recipe for recipe in self.recipes if Recipe.parse(recipe).task == "none" and recipe != "none"]:
            raise ValueError("recipes: none takes no -mt, +mlm or @N")
        for key, names, choices in (
            ("recipes", bases, ["none", "all", *intermediate]),
            ("targets", self.targets, targets),
            ("intermediate.tasks", self.intermediate.tasks if self.intermediate else (), ["all", *intermediate]),
            ("target.tasks", self.target.tasks, [*targets, *(task.first for task in known.values() if task.first)]),
        ):
            for name in names:
                if name not in choices:
                    raise ValueError(f"{key}: {name} is unknown{nearest(name, choices)}")
        for key, names in (("recipes", self.recipes), ("targets", self.targets), ("seeds", self.seeds)):
            if len(set(names)) < len(names):
                raise ValueError(f"{key}: an entry stands twice")
        for phase in filter(None, (self.intermediate, self.target)):
            for name, override in phase.tasks.items():
                for key in override:
                    if key not in Training.model_fields:
                        raise ValueError(f"tasks.{name}.{key}: unknown key{nearest(key, Training.model_fields)}")
                phase.for_task(name)
        if set(self.recipes) - {"none"} and not self.intermediate:
            raise ValueError("intermediate: missing, and recipes name intermediate tasks")
        if any(Recipe.parse(recipe).mlm for recipe in self.recipes) and not self.intermediate.mlm_examples:
            raise ValueError("intermediate.mlm_examples: missing, and a recipe has +mlm")
        if any(not b.load for b in self.backbones.values()) and not self.pretraining:
            raise ValueError("pretraining: missing, and a backbone is to be made from nothing")
        self._fits_what_is_made_here()
        if any(b.pictures for b in self.backbones.values()):
            if self.source != "microworld":
                raise ValueError("backbones: pictures are the microworld's alone; take a published multimodal encoder instead")
            if not (self.pretraining and self.pretraining.captions):
                raise ValueError("pretraining.captions: missing, and a backbone learns from pictures")
        if self.source == "microworld":
            for language in {lang for target in self.targets for lang in self.languages_of(target)}:
                if language not in world.LANGUAGES:
                    raise ValueError(f"languages: {language} is unknown{nearest(language, world.LANGUAGES)}")
        else:
            for target in self.targets:
                for language in self.languages_of(target):
                    if language not in known[target].languages:
                        raise ValueError(
                            f"languages.{target}: {language} is not among its languages{nearest(language, known[target].languages)}"
                        )
        return self

    def _fits_what_is_made_here(self):
        """An encoder that is made here has as many positions as its pretraining text may have tokens."""
        if all(backbone.load for backbone in self.backbones.values()):
            return
        for key, phase in (("intermediate", self.intermediate), ("target", self.target)):
            for name in [None, *phase.tasks] if phase else ():
                asked = (phase.for_task(name) if name else phase).max_length
                if asked > self.pretraining.max_length:
                    where = f"{key}.tasks.{name}.max_length" if name else f"{key}.max_length"
                    raise ValueError(f"{where}: {asked} is more than the {self.pretraining.max_length} tokens of pretraining.max_length")

    @property
    def folder(self) -> Path:
        return ROOT / "runs" / self.name

    def languages_of(self, target: str) -> list[str]:
        """The languages in which a target is scored; the source language is among them only where the target has it."""
        if isinstance(self.languages, str):
            return BENCHMARKS[self.languages].get(target, [])
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
        """The tasks that a target's model is trained on, in order."""
        first = tasks.get(target).first
        return [first, target] if first and self.first_tasks else [target]

    def serves(self, target: str) -> str | None:
        """The target whose fine-tuned model a target uses, where the study has both and trains them alike; else None."""
        other = tasks.get(target).shares
        return other if other in self.targets and self.target.for_task(other) == self.target.for_task(target) else None

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

    def retrieval_of(self, backbone: str) -> Retrieval:
        """The layer and pooling of a backbone's sentence vectors."""
        return self.backbones[backbone].retrieval or self.retrieval

    def cells(self) -> list["Cell"]:
        """The grid, upstream cells first."""
        found = []
        for backbone in self.backbones:
            for seed in self.seeds:
                found.append(Cell(self.name, "backbone", backbone, seed=seed))
                for recipe in self.recipes:
                    if recipe != "none":
                        found.append(Cell(self.name, "intermediate", backbone, recipe, seed=seed))
                    ordered = sorted(self.targets, key=lambda target: self.serves(target) is not None)
                    found += [Cell(self.name, "target", backbone, recipe, target, seed) for target in ordered]
        # Repetitions interleave the backbones, so that what the machine does meanwhile hits all alike.
        found += [Cell(self.name, "timing", backbone, seed=r) for r in range(self.timing.repetitions) for backbone in self.backbones]
        return found


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
    if not Path(folder).is_dir():
        raise Problem(f"source: {folder}: no such folder; it must hold data sets in the Hub's layout (owner/name/config/*.parquet)")
    return folder


def _filled(folder: str | None) -> str | None:
    """A folder's path with $VARIABLES filled in; whether it is there is told by what reads it."""
    return os.path.expandvars(folder) if folder else None


def load(profile: str, folder: Path = ROOT / "params") -> Study:
    """The study of params/<profile>.yaml, checked.

    Raises Problem, one line that names file and key, for anything wrong with it.
    """
    path = folder / f"{profile}.yaml"
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    if not path.exists():
        studies = [p.stem for p in folder.glob("*.yaml") if "targets" in (yaml.safe_load(p.read_text()) or {})]
        raise Problem(f"{shown}: no such study{nearest(profile, sorted(studies))}")
    try:
        values = yaml.load(path.read_text(), Loader)
    except yaml.YAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if getattr(error, "problem_mark", None) else ""
        raise Problem(f"{shown}{where}: not valid YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(values, dict):
        raise Problem(f"{shown}: must hold keys and values")
    try:
        study = Study(name=profile, **values)
    except ValidationError as error:
        raise Problem(f"{shown}: {_first(error, Study)}") from error
    try:
        expand(study.source)
    except Problem as error:
        raise Problem(f"{shown}: {error}") from error
    return study


def _first(error: ValidationError, model) -> str:
    """The first of pydantic's errors as `key: what is wrong`, with the nearest valid name for an unknown key."""
    first = error.errors()[0]
    keys = [str(k) for k in first["loc"]]
    where = ".".join(keys)
    if first["type"] == "extra_forbidden":
        for key in keys[:-1]:
            known = model.model_fields.get(key) if hasattr(model, "model_fields") else None
            model = _model_in(known.annotation) if known else model
        return f"{where}: unknown key{nearest(keys[-1], model.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{where}: missing"
    if first["type"] == "value_error":
        return f"{where}: {message}" if where else message
    return f"{where}: {first['input']!r} is not valid: {message[0].lower()}{message[1:]}"


def _model_in(annotation):
    """The Strict model inside an annotation such as `Phase | None` or `dict[str, Backbone]`."""
    if isinstance(annotation, type) and issubclass(annotation, Strict):
        return annotation
    inner = [_model_in(a) for a in getattr(annotation, "__args__", ())]
    return next((m for m in inner if m), None)
