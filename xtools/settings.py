"""What can be set in a study's file, key by key, with the source of each default: one model per part of it (see xtools/study.py)."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import ErrorDetails

from xtools.parameters import NAME, NAMED

# Upper bounds are far from what anyone means: they catch a slip of the pen before it costs a day or all memory.
Positive = Annotated[int, Field(ge=1, le=10_000_000)]
Tokens = Annotated[int, Field(ge=16, le=1_000_000)]
Threads = Annotated[int, Field(ge=1, le=1_024)]
Share = Annotated[float, Field(ge=0, le=1)]
Text = Annotated[str, Field(min_length=1, max_length=200)]  # a Hub id, a commit, a folder's name
Folder = Annotated[str, Field(max_length=255)]  # so that no part of its path is longer than file systems take
RECIPE = re.compile(r"(?P<task>[a-z][a-z0-9_]*)(?P<translated>-mt)?(?P<mlm>\+mlm)?(?:@(?P<examples>[1-9][0-9]{0,7}))?")
VARIANT = re.compile(r"(?P<precision>fp32|bf16|int8)/(?P<attention>eager|sdpa|packed)(?P<compiled>/compiled)?")


def over(below: dict, above: dict) -> dict:
    """Both, with the value of `above` where both have one; of two dicts, key by key."""
    both = {
        key: over(below[key], above[key])
        for key in below.keys() & above.keys()
        if isinstance(below[key], dict) and isinstance(above[key], dict)
    }
    return below | above | both


def brief(value) -> str:
    """A value as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def wrong(error: ErrorDetails, *above: str) -> str:
    """One of pydantic's errors as `key: what is wrong`; `above` are the keys that lead to its own."""
    where = ".".join(key for key in (*above, *map(str, error["loc"])) if not key.endswith("]"))  # `[key]`, or one of several types
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{where}: missing"
    if error["type"] == "value_error":
        return f"{where}: {message}" if where else message
    digits = ", in decimal digits and without quotes" if error["type"] in ("int_type", "float_type") else ""
    return f"{where}: {brief(error['input'])} is not valid: {message[0].lower()}{message[1:]}{digits}"


class Strict(BaseModel):
    """No unknown keys, no silent conversion between types, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Recipe:
    """What happens between pretraining and the target: `<task>[-mt][+mlm][@N]`, where the task may be `all`, or `none`.

    `-mt` trains on rows machine-translated into the study's languages, as far as there are translations, in equal shares; `+mlm` goes on with
    multilingual masked-LM on the side; `@N` takes N examples of each task, drawn by the seed, the fewer among the more (with `-mt` the first
    N). `all` draws rows that two of its tasks share once, and trains each task at its own length.
    """

    task: str
    translated: bool = False
    mlm: bool = False
    examples: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Recipe":
        """Raises ValueError for text that is not of the form."""
        match = RECIPE.fullmatch(text)
        if not match:
            raise ValueError(f"recipes: {text} is not of the form <task>[-mt][+mlm][@N]")
        return cls(match["task"], bool(match["translated"]), bool(match["mlm"]), int(match["examples"]) if match["examples"] else None)


@dataclass(frozen=True)
class Variant:
    """How an encoder is run when it is timed: `<fp32, bf16 or int8>/<eager, sdpa or packed>[/compiled]`."""

    precision: str
    attention: str
    compiled: bool = False

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Raises ValueError for text that is not of the form."""
        match = VARIANT.fullmatch(text)
        if not match:
            raise ValueError(f"variant {text}: not <fp32, bf16 or int8>/<eager, sdpa or packed>[/compiled]")
        return cls(match["precision"], match["attention"], bool(match["compiled"]))


def a_name(text: str) -> str:
    """The text itself, where it may name a backbone; raises ValueError."""
    if not NAME.fullmatch(text):
        raise ValueError(NAMED)
    return text


def a_place(text: str) -> str:
    """The text itself, where a seed fills it in; raises ValueError."""
    if {"{", "}"} & {*text.replace("{seed}", "")}:
        raise ValueError(f"{text}: of what stands in braces, {{seed}} alone is filled in")
    return text


def variant_name(text: str) -> str:
    """The text itself, where a variant is of that name; raises ValueError."""
    Variant.parse(text)
    return text


class Training(Strict):
    """How one training run goes. Batch size counts examples; warm-up and decay are shares of all steps.

    `warmup_steps` takes the place of both: so many steps of warm-up, however long the run, then decay to its end (`training.rate_at`).
    """

    learning_rate: Annotated[float, Field(gt=0, le=1)]
    epochs: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)]
    max_length: Tokens
    examples: Positive | None = None  # so many training examples, drawn by the seed; None: all
    cap: Positive | None = None  # most examples per task and epoch in multi-task training
    warmup: Share = 0.1  # Phang et al. 2020 as recalled; jiant's default
    warmup_steps: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    decay: Share = 0.9
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.01
    decay_embeddings: bool = False  # true: as the papers' code does; words of languages that are not trained on then shrink
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999
    clip: Annotated[float, Field(gt=0)] = 1.0  # gradient norm


class Finetuning(Training):
    """Training on labelled rows, some of which, in the source language, tell how far a run has come (xtools/selection.py).

    Every `eval_steps` steps and at the end the development set is scored, its first `eval_rows` rows where they are given; the state with
    the best score is kept, and after `patience` scores without a better one the run ends. A run that ends at chance, or whose loss is not
    finite, is started again with another seed, at most `restarts` times.
    """

    eval_steps: Positive | None = None  # None: no state but the last is looked at
    eval_rows: Positive | None = None  # None: as many as score a run
    patience: Positive | None = None  # None: a run ends with its schedule
    restarts: Annotated[int, Field(ge=0, le=9)] = 0

    @property
    def is_looked_at(self) -> bool:
        """Whether anything hangs on the scores on development rows."""
        return bool(self.eval_steps or self.restarts)

    def looks(self, steps: int) -> int:
        """How often a run of so many steps is looked at, at most."""
        on_the_way = (steps - 1) // self.eval_steps if self.eval_steps else 0
        return on_the_way + 1 if self.is_looked_at else 0

    @model_validator(mode="after")
    def looks_before_it_stops(self):
        if self.eval_steps is None and (self.patience or self.eval_rows):
            raise ValueError(f"{'patience' if self.patience else 'eval_rows'}: says how states are chosen; give eval_steps too")
        return self


class Phase(Finetuning):
    """Training parameters of a phase, with exceptions per task, and further ones per backbone and task, under a backbone's name in the
    study or under what it loads.

    `mlm_examples` documents an epoch go with a `+mlm` recipe's tasks, a `mlm_share` of their tokens masked; `mlm_learning_rate` is then
    the learning rate, whatever the task's (None: the task's).
    """

    tasks: dict[str, dict] = {}
    backbones: dict[str, dict[str, dict]] = {}
    mlm_examples: Positive | None = None
    mlm_learning_rate: Annotated[float, Field(gt=0, le=1)] | None = None
    mlm_share: Annotated[float, Field(gt=0, lt=1)] = 0.15  # Devlin et al. 2019; jiant's setting

    def for_task(self, task: str) -> Finetuning:
        """The parameters that hold for one task."""
        return Finetuning(**(self.model_dump(include=set(Finetuning.model_fields)) | self.tasks.get(task, {})))

    def of(self, *names: str | None) -> "Phase":
        """The phase for the backbone of these names, the last of which has the last word: its exceptions are those of the tasks."""
        tasks = self.tasks
        for name in names:
            tasks = over(tasks, self.backbones.get(str(name), {}))
        return self.model_copy(update={"tasks": tasks, "backbones": {}})


class Pretraining(Training):
    """Masked-LM pretraining of encoders that the study makes itself."""

    documents: Positive
    vocabulary: Annotated[int, Field(ge=300, le=1_000_000)]
    mask_share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    captions: Positive | None = None  # captioned pictures an epoch, for backbones with `pictures`


class Retrieval(Strict):
    """Sentence vectors of an encoder not trained for retrieval: the layer (1 is the first; None: 7/12 of the depth, rounded) and the
    pooling of its hidden states. With `sweep`, the score of every layer is recorded beside where the vectors of all are few (scoring.py):
    to look at, as no score chooses the layer."""

    layer: Positive | None = None
    pooling: Literal["mean", "first"] = "mean"
    sweep: bool = False


class Backbone(Strict):
    """Where an encoder comes from: a published folder or Hub id (`load`; `{seed}` is filled in), or a new one of a given shape.

    With both, the shape is what `make backbones` makes and publishes in the folder. With `load` and `layers` alone it is the published
    one's lowest `layers`: another size of it, which differs in nothing else. With `pictures` a new one also learns from captioned
    pictures, which the microworld alone has.
    """

    load: Annotated[Text, AfterValidator(a_place)] | None = None
    revision: Text | None = None
    tokenizer: Text | None = None  # Hub id of the tokenizer, where the encoder's own folder holds none that loads
    layers: Annotated[int, Field(ge=1, le=1_000)] | None = None
    hidden: Annotated[int, Field(ge=1, le=100_000)] | None = None
    heads: Annotated[int, Field(ge=1, le=10_000)] | None = None
    pictures: bool = False
    retrieval: Retrieval | None = None  # this backbone's own layer and pooling, instead of the study's

    @model_validator(mode="after")
    def one_origin(self):
        shape = (self.layers, self.hidden, self.heads)
        if None in shape and (self.load is None or shape[1:] != (None, None)):
            raise ValueError("give load, with layers where its lowest are to be kept; or layers, hidden and heads; or all of them")
        if self.hidden and self.hidden % self.heads:
            raise ValueError("hidden must be a multiple of heads")
        if self.pictures and not self.hidden:
            raise ValueError("pictures: only an encoder that is made here learns from them; give layers, hidden and heads")
        return self

    @property
    def lowest(self) -> int | None:
        """How many of a published encoder's layers are kept; None: all."""
        return self.layers if self.load and not self.hidden else None


class Evaluated(Strict):
    """How many examples of a language score a run, at most; None: all."""

    dev: Positive | None = None
    test: Positive | None = None


class Evaluation(Evaluated):
    """As `Evaluated`, with exceptions per task."""

    tasks: dict[str, Evaluated] = {}

    def of(self, task: str) -> Evaluated:
        """The numbers that hold for one task."""
        own = self.tasks.get(task, Evaluated())
        return Evaluated(**{key: getattr(own if key in own.model_fields_set else self, key) for key in ("dev", "test")})


class Timing(Strict):
    """Latency and throughput measurements of each backbone.

    Each repetition is a cell, a process of its own. Each point takes at least `seconds` and `iterations` calls. `variants` are further
    settings (see Variant). Random weights are timed without downloading any.
    """

    examples: Positive = 64
    repetitions: Annotated[int, Field(ge=1, le=1_000)] = 5
    seconds: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    iterations: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    lengths: list[Annotated[int, Field(ge=1, le=1_000_000)]] = []
    batches: list[Annotated[int, Field(ge=1, le=1_000_000)]] = [1, 8, 32]
    variants: list[Annotated[str, AfterValidator(variant_name)]] = []
    threads: Threads | None = 1  # on a CPU; None: one a core
    weights: Literal["trained", "random"] = "trained"
