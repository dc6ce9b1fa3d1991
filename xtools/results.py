"""Results: what each phase measured, one model a phase. Their form is what `records.SCHEMA` counts."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Stored(BaseModel):
    """No unknown keys, no number that is not finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# ---------------------------------------------------------------- what the phases measure


class Curve(Stored):
    """Training loss (nats), averaged over the steps up to each of `step`, of the `steps` that were done where there were to be `planned`.

    Of runs that were looked at on the way: the main metric of each task on development rows (percent) after each of `dev_step`, and the
    step whose state was kept; None where it is the last one because none was looked at.
    """

    planned: int
    steps: int
    step: list[int]
    loss: list[float]
    dev_step: list[int] = []
    dev: dict[str, list[float]] = {}
    kept: int | None = None


class Attempt(Stored):
    """One training run of some tasks: its seed, how many steps it took, the scores on development rows of the state that was kept (percent;
    none where nothing was looked at), and how it ended. One that did not end `kept` was started again, where the study allows it."""

    tasks: list[str]
    seed: int
    steps: int
    dev: dict[str, float]
    ended: Literal["kept", "at chance", "not finite"]


class Score(Stored):
    """Metrics in percent on `n` rows, `cut` of which were too long. Retrieval adds its vectors' layer, what chose it (training: a dual
    encoder's last) and, where all were tried, the main metric of each; mining its threshold and held-out queries."""

    metrics: dict[str, float]
    n: int
    cut: int | None = None
    layer: int | None = None
    layer_by: Literal["study", "depth", "training"] | None = None
    layers: dict[int, float] | None = None
    threshold: float | None = None
    held_out: int | None = None

    @classmethod
    def of(cls, scores: dict) -> "Score":
        """From what scoring gives: metrics and the rest in one dict."""
        rest = {key: value for key, value in scores.items() if key in cls.model_fields}
        return cls(metrics={key: value for key, value in scores.items() if key not in rest}, **rest)


class Subset(Stored):
    """A part of a data set that holds another number of rows than the published one."""

    task: str
    split: str
    part: str
    rows: int
    published: int | None


class Lost(Stored):
    """A part of a data set some of whose answers stand nowhere in their context: how many of its rows are left out for it, and how many
    answers are in all."""

    task: str
    split: str
    part: str
    rows: int
    answers: int


class Size(Stored):
    """The number of an encoder's weights in all, and of those that are word embeddings."""

    all: int
    embeddings: int


class Backbone(Stored):
    """Phase 1: the encoder's card (empty for one that comes without), size, and what its config calls its kind."""

    card: dict
    architecture: str = ""
    parameters: Size


def at_first(attempts: list[Attempt]) -> bool:
    """Whether every training run came to something the first time."""
    return all(attempt.ended == "kept" for attempt in attempts)


class Intermediate(Stored):
    """Phase 2: development scores, training examples and their languages per task, the learning curve, every attempt at
    it, and how the encoder ran."""

    dev: dict[str, Score]
    curve: Curve
    attempts: list[Attempt]
    examples: dict[str, int]
    languages: dict[str, list[str]]
    precision: str
    attention: str
    subset: list[Subset]
    lost: list[Lost] = []


class Target(Stored):
    """Phase 3: test scores per language, the mean of their main metric, the source's development score, the transfer gap (points), and
    every attempt at each training run, its first task's included."""

    metric: str
    scores: dict[str, Score]
    score: float
    dev: Score | None
    gap: float | None
    curve: Curve | None
    attempts: list[Attempt]
    examples: int
    precision: str
    attention: str
    subset: list[Subset]
    lost: list[Lost] = []


class Latency(Stored):
    """Milliseconds; a percentile that has too few queries is None."""

    queries: int
    median: float
    p90: float | None
    p99: float | None


class Point(Stored):
    """Milliseconds of a batch of one length (tokens) and the GPU's own peak of it (MiB allocated); or the reason why there is none."""

    length: int
    batch: int | None
    ms: float | None = None
    calls: int | None = None
    allocated: float | None = None
    hole: str | None = None


class Variant(Stored):
    """Median milliseconds and examples per second under another setting; or the reason why there are none."""

    variant: str
    median: float | None = None
    throughput: float | None = None
    hole: str | None = None


class Memory(Stored):
    """MiB: a GPU's peaks during the scored pass alone, and the process's peak until its end, loading included."""

    allocated: float | None
    reserved: float | None
    resident: float


class Measured(Stored):
    """What one repetition of timing measured: milliseconds, examples per second, FLOP/s of a matrix product, joules per example."""

    latency_ms: Latency
    by_language_ms: dict[str, float]
    throughput: float
    matrix_rate: float
    sweep: list[Point]
    variants: list[Variant]
    joules: float | None
    memory_mib: Memory
    repeated_over_distinct: float
    threads: int
    flags: list[str]
    tf32: bool | None = None  # whether a GPU's fp32 products were rounded to TF32; None on a CPU


class Timing(Stored):
    """Phase 4: what follows from lengths and architecture alone, how the encoder ran, and what was measured."""

    examples: int
    tokens_per_example: float
    gflops_per_example: float
    tokens_by_language: dict[str, float]
    gflops_by_language: dict[str, float]
    precision: str
    attention: str
    weights: str
    tokenizer: str
    measured: Measured


class Verdict(Stored):
    """A row of the ledger: a claim, its published figure, ours with its interval (points), and the names of the cells behind it."""

    id: str
    claim: str
    source: str
    published: str
    confidence: str
    backbone: str
    mean: float | None
    low: float | None
    high: float | None
    counted: str
    verdict: str
    cells: list[str]


class Report(Stored):
    """The report's headline and ledger."""

    headline: str
    ledger: list[Verdict]
