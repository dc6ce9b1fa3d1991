"""What a study would cost and find, before anything runs: gains, cells, downloads, disk, FLOPs and hours. `make plan` prints it.

FLOPs come from the formula that timing uses (`timing.flops`), on sampled examples where the data is at hand, else at the longest length
that the parameters allow. Training costs three forward passes (one forward, two backward: Kaplan et al. 2020, section 2.1). A search of
n queries among m candidates, in one direction or, for mining, in both, costs one product of their vectors: 2 n m hidden.
"""

import collections
import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xtools import backbones, encoder, finetuning, heads, records, scoring, snapshots, sources, targets, tasks, timing
from xtools.disk import size
from xtools.problems import Problem, nearest
from xtools.report import power
from xtools.run import lacking, plan
from xtools.run.fingerprints import fingerprints, read
from xtools.settings import Backbone, Finetuning
from xtools.study import Cell, Recipe, Study
from xtools.tasks import Task, format_of

SAMPLE = 100  # rows of a task that are encoded to see how long they are
UNSTATED = 1_000  # rows of a split whose published size is not known
LENGTHS = "assumed: every input as long as the parameters allow where its data or tokenizer is not at hand; fetch first to know better"
UTILISATION = 0.35  # share of the peak that training is assumed to reach
# Peak dense FLOP/s in bf16 (V100, T4: fp16), from NVIDIA's data sheets of T4, V100 SXM2, A100, L4, L40S, H100 SXM, H200 SXM and HGX B200,
# read in copies of their tables; half of what a sheet states with sparsity alone.
GPUS = {"t4": 65e12, "v100": 125e12, "a100": 312e12, "l4": 121e12, "l40s": 362e12, "h100": 989e12, "h200": 989e12, "b200": 2250e12}
# The same sheets in fp32, without tensor cores, in which vectors are searched: twice the CUDA cores times the boost clock.
GPUS_FP32 = {"t4": 8.1e12, "v100": 15.7e12, "a100": 19.5e12, "l4": 30.3e12, "l40s": 91.6e12, "h100": 67e12, "h200": 67e12, "b200": 75e12}
SEARCHING = 0.7  # share of the fp32 product's rate that a search of large sets is assumed to reach, selection and all
PROCESS = 1e9  # bytes of a process that has torch loaded and encodes
# Word pieces of XLM-R's vocabulary in an English training set, rounded up: 9,000 pairs of MNLI have 14,778, 2,947 questions with their
# passages 20,726.
SEEN = 25_000
A_ROW = 1_000  # bytes of a sentence: its text, its ids, its neighbours


@dataclass(frozen=True)
class Machine:
    """What the hours are for: its name, and FLOP/s of its products in training's precision and in fp32."""

    name: str
    rate: float
    fp32: float

    def hours(self, work: float, search: float) -> float:
        """Of encoders' work and of searches [FLOPs]."""
        return (work / (self.rate * UTILISATION) + search / (self.fp32 * SEARCHING)) / 3600


def machine(gpu: str | None) -> Machine:
    """A named GPU, by its data sheet, or this machine, measured.

    Raises Problem for a GPU that is not known.
    """
    if gpu and gpu.lower() not in GPUS:
        raise Problem(f"GPU={gpu}: unknown{nearest(gpu.lower(), GPUS)}")
    if gpu:
        return Machine(f"one {gpu.upper()}", GPUS[gpu.lower()], GPUS_FP32[gpu.lower()])
    return Machine("this machine", measured_rate(), timing.matrix_rate(encoder.choose_device("auto"), "fp32"))


def show(study: Study, gpu: str | None) -> None:
    """Print the whole plan of a study, for a named GPU or for this machine.

    Raises Problem for a GPU that is not known, and for a recipe that an encoder cannot take (`heads.check`).
    """
    heads.check(study)
    on = machine(gpu)
    for line in (*power.plan_lines(study), *backbones.differences(study)):
        print(line)
    cells = fingerprints(study)
    total = collections.Counter(cell.phase for cell in cells)
    todo = [cell for cell, value in cells.items() if not (plan.store(cell.phase, value) / "record.json").exists()]
    current = total - collections.Counter(cell.phase for cell in todo)
    notes: set[str] = set()
    work, search = dict.fromkeys(total, 0.0), dict.fromkeys(total, 0.0)
    for cell in cells:
        work[cell.phase] += cell_flops(study, cell, notes)
        search[cell.phase] += search_flops(study, cell, notes)
    table = Table("phase", "cells", "to run", "PFLOPs", f"hours, {on.name}", title=Text(f"{study.name}: {study.title}", "table.title"))
    for phase in total:
        _row(table, phase, total[phase], current[phase], work[phase], search[phase], on)
    _row(table, "all", total.total(), current.total(), sum(work.values()), sum(search.values()), on)
    Console().print(table)
    print(f"hours: at {on.rate / 1e12:,.3g} TFLOP/s {'from the data sheet' if gpu else 'measured in a matrix product just now'}, of which")
    print(f"  {UTILISATION:.0%} is assumed to be reached; start-up, data work and cells that are done already are not counted")
    for line in searches(study, sum(search.values()), on, notes):
        print(line)
    kept = f"disk: about {size(disk(study))} for the encoders that the study keeps; encoded examples take 4 bytes a token, 12 in QA"
    records_there = [record for _, record in records.of_phase(study, *total)]
    for line in (*changed(study, todo), *downloads(study), kept, *told(notes), *records.of_other_versions(records_there)):
        print(line)


def _row(table: Table, name: str, cells: int, done: int, work: float, search: float, on: Machine) -> None:
    table.add_row(name, str(cells), str(cells - done), f"{(work + search) / 1e15:,.3g}", f"{on.hours(work, search):,.2g}")


def told(notes: set[str]) -> list[str]:
    """What the estimate had to assume, a line each."""
    splits = sorted(notes - {LENGTHS})
    lines = [f"assumed: {UNSTATED:,} rows in each split whose size no source states ({', '.join(splits)})"] if splits else []
    return lines + ([LENGTHS] if LENGTHS in notes else [])


def measured_rate() -> float:
    """FLOP/s of this machine's matrix product in the precision that training would choose."""
    device = encoder.choose_device("auto")
    return timing.matrix_rate(device, encoder.choose_precision("auto", device, encoder.NARROW))


def config_of(study: Study, backbone: str):
    """A backbone's transformers config: of its shape, or loaded.

    Raises Problem when it can be had neither from a folder nor the cache, the Hub or params/ledgers/encoders.yaml.
    """
    entry = study.backbones[backbone]
    if entry.load:
        where = study.place(backbone, study.seeds[0])
        if snapshots.is_local(where):
            return encoder.config_of(where, entry.revision, entry.lowest)
        return _published(where, entry.revision, entry.lowest, snapshots.commit("models", where, entry.revision))
    settings = study.pretraining
    return encoder.new_config(settings.vocabulary, entry.layers, entry.hidden, entry.heads, settings.max_length)


@functools.cache
def _published(where: str, revision: str | None, layers: int | None, commit: str):
    """A config at a commit, made once: transformers takes milliseconds to check one, and every cell asks."""
    return encoder.config_of(where, revision, layers)


def cell_flops(study: Study, cell, notes: set[str]) -> float:
    """Floating-point operations of one cell."""
    study = study.of(cell.backbone)
    config = config_of(study, cell.backbone)
    if cell.phase == "backbone":
        if study.backbones[cell.backbone].load:
            return 0
        settings = study.pretraining
        return 3 * settings.epochs * settings.documents * timing.flops(config, settings.max_length)
    if cell.phase == "intermediate":
        return _intermediate(study, cell, config, notes)
    if cell.phase == "target":
        task = tasks.get(cell.target)
        return _training(study, task, config, notes) + _scoring(study, task, config, notes)
    task = tasks.get(study.targets[0])
    each = _per_example(study, task, "test", study.target.for_task(task.name).max_length, config, notes)
    return 3 * study.timing.examples * each  # one after another, all at once, and for energy; further sweeps are not counted


def _intermediate(study: Study, cell, config, notes) -> float:
    recipe, total, steps, look = Recipe.parse(cell.recipe), 0.0, 0, 0.0
    joint = study.intermediate.for_task(recipe.task)
    for task in finetuning.trained_tasks(study, cell.recipe):
        settings = study.intermediate.for_task(task.name)
        n = _size(study, task, "train", study.source_language, recipe.examples or settings.examples, notes)
        n = min(n, joint.cap or n)
        total += 3 * joint.epochs * n * _per_example(study, task, "train", settings.max_length, config, notes)
        steps += joint.epochs * -(-n // joint.batch_size)
        look += _look(study, task, joint, settings.max_length, config, notes)
        total += _look(study, task, None, settings.max_length, config, notes)
    total += joint.looks(steps) * look
    if recipe.mlm:
        total += 3 * joint.epochs * study.intermediate.mlm_examples * timing.flops(config, joint.max_length)
    return total


def _look(study: Study, task: Task, settings: Finetuning | None, width: int, config, notes) -> float:
    """Forward FLOPs of one scoring of the development rows: all, or those by which training settings choose a state."""
    n = _size(study, task, "dev", study.source_language, study.evaluation.of(task.name).dev, notes)
    n = min(n, settings.eval_rows or n) if settings else n
    return n * _per_example(study, task, "dev", width, config, notes) if n else 0.0


def _training(study: Study, task: Task, config, notes) -> float:
    total = 0.0
    for stage in study.stages(task.name) if not study.serves(task.name) else ():
        settings, part = study.target.for_task(stage), tasks.get(stage)
        n = _size(study, part, "train", study.source_language, settings.examples, notes)
        total += 3 * settings.epochs * n * _per_example(study, part, "train", settings.max_length, config, notes)
        looks = settings.looks(settings.epochs * -(-n // settings.batch_size))
        total += looks * _look(study, part, settings, settings.max_length, config, notes) if looks else 0.0
    return total


def _scoring(study: Study, task: Task, config, notes) -> float:
    width, total = study.target.for_task(task.name).max_length, 0.0
    for split in task.test_splits:
        each = _per_example(study, task, split, task.length_of(split, width), config, notes)
        total += each * sum(_scored(study, task, split, notes).values())
    return total


def _scored(study: Study, task: Task, split: str, notes: set[str]) -> dict[str, int]:
    """How many rows of a split are scored, or searched, in each language in which it is read."""
    languages = targets.test_languages(study, task)
    languages = task.candidate_languages(languages) if split == "candidates" else languages
    capped = split == "test" and getattr(format_of(task), "CAPS_QUERIES", True)
    cap = study.evaluation.of(task.name).test if capped or study.source == "microworld" else None
    return {language: _size(study, task, split, language, cap, notes) for language in languages}


def searched(study: Study, task: Task, notes: set[str]) -> dict[str, tuple[int, int]]:
    """How many queries search how many candidates, in each language."""
    queries, candidates = (_scored(study, task, split, notes) for split in ("test", "candidates"))
    return {lang: (n, sum(candidates.values()) if task.pooled else candidates[lang]) for lang, n in queries.items()}


def search_flops(study: Study, cell, notes: set[str]) -> float:
    """Floating-point operations of one cell's searches, of the layer that is scored; sweeping the others is left out, being for small sets."""
    if cell.phase != "target" or not tasks.get(cell.target).is_searched:
        return 0.0
    hidden = config_of(study, cell.backbone).hidden_size
    return sum(products(n, m, hidden) for n, m in searched(study, tasks.get(cell.target), notes).values())


def products(n: int, m: int, hidden: int) -> float:
    """Floating-point operations of all cosines between n and m vectors."""
    return 2.0 * n * m * hidden


def search_memory(pair: int, rows: int, hidden: int) -> float:
    """Bytes at most of a process that searches, its encoder's weights aside: a `pair` of sets with so many vectors together, twice where
    they are many (once more without their repetitions), and the texts of `rows`, those of all languages."""
    each = 4 if scoring.are_few(pair, 1, hidden) else 2 * 2
    return PROCESS + each * pair * hidden + A_ROW * rows


def searches(study: Study, search: float, on: Machine, notes: set[str]) -> list[str]:
    """What searching costs, where the study has a target that is searched for: its share of the hours, and memory by target."""
    found = [tasks.get(name) for name in study.targets if tasks.get(name).is_searched]
    configs = [config_of(study, name) for name in study.backbones]
    most = {task.name: size(max(_memory(study, task, config, notes) for config in configs)) for task in found}
    hours = f"{search / 1e15:,.3g} PFLOPs and {on.hours(0, search):,.2g} hours of these, in fp32 at {on.fp32 / 1e12:,.3g} TFLOP/s"
    memory = ", ".join(f"{name} {bytes_}" for name, bytes_ in most.items())
    lines = [
        f"search: {hours}, of which {SEARCHING:.0%} is assumed to be reached",
        f"  memory of a cell at most: {memory}; no temporary disk",
    ]
    return lines if found else []


def _memory(study: Study, task: Task, config, notes: set[str]) -> float:
    return 4 * parameters(config) + PROCESS + held_rows(study, task, config, notes)


def held_rows(study: Study, task: Task, config, notes: set[str]) -> float:
    """Bytes of a target's test rows in all languages, and where they are searched, of the vectors of one language's."""
    if not task.is_searched:
        return A_ROW * sum(_scored(study, task, "test", notes).values())
    pairs = searched(study, task, notes)
    texts = sum(n for n, _ in pairs.values()) + (max if task.pooled else sum)(m for _, m in pairs.values())
    most, hidden, depth = max(map(sum, pairs.values())), config.hidden_size, config.num_hidden_layers
    swept = 4 * most * depth * hidden if study.retrieval.sweep and scoring.are_few(most, depth, hidden) else 0
    return max(search_memory(most, texts, hidden) - PROCESS, swept + A_ROW * texts)


def _size(study: Study, task: Task, split: str, language: str, cap: int | None, notes: set[str]) -> int:
    """How many examples a split gives: the cap of the parameters or its size, whichever is less: the published one, a folder's own."""
    if study.source == "microworld":
        return cap or 0
    known: list[int | None] = [0]
    if split in task.hub:
        published = study.source == "hub"
        known = [part.size(language) for part in task.parts(split, language)] if published else [_there(study.data, task, split, language)]
    if None in known:
        notes.add(f"{task.name} {split}")
    n = sum(UNSTATED if size is None else size for size in known)
    return min(n, cap or n)


def _per_example(study: Study, task: Task, split: str, width: int, config, notes: set[str]) -> float:
    """Forward FLOPs of one example: the mean over sampled rows, or, where there are none at hand, of the longest input."""
    lengths = _lengths(study, task.name, split, width)
    if lengths is None:
        notes.add(LENGTHS)
        return sum(timing.flops(config, n) for n in longest(task, split, width))
    return sum(timing.flops(config, n) for row in lengths for n in row) / len(lengths)


def longest(task: Task, split: str, width: int) -> list[int]:
    """The lengths of the longest example's sequences; one that a dual encoder is trained on is a query and a candidate."""
    if task.is_searched and split == "train":
        return [task.length_of("test", width), width]
    return [width] * format_of(task).SEQUENCES


_counted: dict[tuple, int] = {}


def _there(source: sources.Source, task: Task, split: str, language: str) -> int:
    """The rows of a split in a folder, counted once; a task beside others may be without some of its parts."""
    key = (source, task.name, language, *task.parts(split, language))
    if key not in _counted:
        _counted[key] = sources.count(source, task, split, language)
    return _counted[key]


_tokenizer = functools.cache(encoder.tokenizer_at_hand)  # those of the Hub take a second to read
_sampled: dict[tuple, list | None] = {}


def _lengths(study: Study, name: str, split: str, width: int) -> list[list[int]] | None:
    """Per sampled row, the lengths of its sequences in tokens of the first backbone's tokenizer; None without data or tokenizer."""
    key = (study.name, name, split, width)
    if key not in _sampled:
        _sampled[key] = None
        entry = study.backbones[study.first]
        revision = None if entry.tokenizer else entry.revision
        words = _tokenizer(entry.tokenizer or (study.place(study.first, study.seeds[0]) if entry.load else ""), revision)
        task = tasks.get(name)
        language = study.source_language if split in ("train", "dev") else targets.test_languages(study, task)[0]
        if words is not None and sources.at_hand(study.data, task, split, language):
            try:
                rows = sources.rows(study.data, sources.complete(study.data, task), split, language, SAMPLE)
            except Problem:
                return None
            if not rows:  # of a subset that has those rows alone which another set has too
                return None
            lengths: list[list[int]] = [[] for _ in rows]
            for feature in format_of(task).encode(rows, words, sources.complete(study.data, task), width):
                lengths[feature["row"]] += [len(ids) for ids in feature["ids"]]
            _sampled[key] = lengths
    return _sampled[key]


def downloads(study: Study) -> list[str]:
    """What is to be fetched yet: encoders with the size of their weights, and data sets."""
    models, data, absent = lacking.due(study)
    known = {entry.load.format(seed=study.seeds[0]): entry for entry in study.backbones.values() if entry.load}
    lines = [f"download: encoder {name}{_about(name, known.get(name))}" for name in models]
    if data:
        lines.append(f"download: {len(data)} data sets ({', '.join(_grouped(data))}); their sizes are told by make fetch")
    return (lines or ["download: nothing"]) + absent


def _about(name: str, entry: Backbone | None) -> str:
    """The size of an encoder's weights, all its layers', in words; nothing for a mere tokenizer."""
    return f", about {size(4 * parameters(encoder.config_of(name, entry.revision)))}" if entry else ""


def changed(study: Study, cells: list[Cell]) -> list[str]:
    """What cells that are to run anew would read otherwise than their last records: encoders and data by name, with both commits."""
    found: collections.Counter[tuple[str, str, str]] = collections.Counter()
    for cell in cells:
        try:
            before = json.loads(cell.record.read_text()).get("read", {})
        except (OSError, ValueError):
            continue
        now = read(study, cell)
        found.update((place, before[place], now[place]) for place in before if before[place] != now.get(place, before[place]))
    return [f"changed: {place}, read at {old[:7]}, now {new[:7]}: {n} cells run again" for (place, old, new), n in found.items()]


def _grouped(repos: Iterable[str]) -> list[str]:
    """The names of repositories; of an owner of more than ten only how many there are."""
    owners = collections.Counter(repo.split("/")[0] for repo in repos)
    many = {owner: f"{n} of {owner}" for owner, n in owners.items() if n > 10}
    return sorted({many.get(repo.split("/")[0], repo) for repo in repos})


def parameters(config, words: int | None = None) -> int:
    """Weights of an encoder: embeddings of `words` at most (None: of all) and layers (norms, biases and positions left out, under 1%)."""
    f = getattr(config, "intermediate_size", None) or config.hidden_dim
    gated = 3 if config.model_type == "modernbert" else 2
    width = getattr(config, "input_embedding_size", config.hidden_size)
    words = min(config.vocab_size, words or config.vocab_size)
    return words * width + config.num_hidden_layers * (4 * config.hidden_size**2 + gated * config.hidden_size * f)


def disk(study: Study) -> float:
    """Bytes of the encoders that cells keep for those downstream, of their word embeddings the rows that change (xtools/vocabulary.py)."""
    kept = 0.0
    for cell in study.cells():
        new = cell.phase == "backbone" and not study.backbones[cell.backbone].load
        if new or cell.phase == "intermediate" or (cell.phase == "target" and study.is_served(cell.target)):
            whole = new or study.vocabulary == "whole" or Recipe.parse(cell.recipe).mlm
            kept += 4 * parameters(config_of(study, cell.backbone), None if whole else SEEN)
    return kept
