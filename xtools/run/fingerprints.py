"""Fingerprints: for each cell a hash of all that its numbers hang on, and of nothing else.

That is the code that its notebook, formats and tasks reach, its parameters, the identity of its data, and the encoder that it starts from.
Names of studies and backbones, titles, claims, comments and what shows a result are not among them, so that studies share their cells.
"""

from functools import cache

from xtools import ROOT, backbones, encoder, features, finetuning, records, snapshots, targets, tasks, versions
from xtools.sources import revisions
from xtools.study import Cell, Recipe, Study


def fingerprints(study: Study) -> dict[Cell, str]:
    """For every cell of a study a hash of what its numbers hang on; equal cells have equal ones, in whatever study."""
    known: dict[Cell, str] = {}
    for cell in study.cells():
        fingerprint(study, cell, known)
    return known


def fingerprint(study: Study, cell: Cell, known: dict[Cell, str]) -> str:
    """A cell's fingerprint; `known` holds those of cells that it starts from, and is added to."""
    if cell not in known:
        study = study.of(cell.backbone)
        data = [*revisions.of(study.data, reads_of(study, cell)), *unlabelled(study, cell)]
        hangs_on = sorted(parameters(study, cell).items()), data, _origin(study, cell, known)
        known[cell] = versions.digest(records.SCHEMA, code(study, cell), *hangs_on)
    return known[cell]


def read(study: Study, cell: Cell) -> dict[str, str]:
    """What a cell and those that it starts from read, encoder and data, each with its commit or the hash of its files."""
    states = revisions.of(study.data, [*reads_of(study, cell), *text_reads(study, cell)])
    states += unlabelled(study, cell)[:1] if study.source == "hub" else []
    upstream = study.upstream(cell)
    own = {(place.partition(" ")[0] if study.source == "hub" else place): state for place, _, state in (s.rpartition(" ") for s in states)}
    return (read(study, upstream) if upstream else _encoders(study, cell)) | own


def _encoders(study: Study, cell: Cell) -> dict[str, str]:
    """The published encoder that a cell starts from, and the tokenizer where it is another's."""
    entry = study.backbones[cell.backbone]
    if not entry.load or (cell.phase == "timing" and study.timing.weights == "random"):
        return {}
    name, where = entry.load.format(seed=cell.seed), study.place(cell.backbone, cell.seed)
    found = {name: _published(where, entry.revision)} | ({entry.tokenizer: _published(entry.tokenizer, None)} if entry.tokenizer else {})
    return {place: state.rpartition(" ")[2] for place, state in found.items()}


USED = {"backbone": (), "timing": ("encode",)}  # of a format, by the phases that do not use all that numbers come from


def code(study: Study, cell: Cell) -> str:
    """Hash of the code that a cell reaches: from its notebook, and from the formats, entries and makers of its tasks."""
    reads = [*reads_of(study, cell), *text_reads(study, cell)]
    return _code(cell.phase, tuple(sorted({name for name, _, _ in reads})), study.source == "microworld")


@cache
def _code(phase: str, names: tuple[str, ...], made: bool) -> str:
    notebook = (ROOT / "notebooks" / f"{records.NOTEBOOKS[phase]}.py").read_text()
    involved = [tasks.get(name) for name in names]
    entries = [("TASKS", task.name) for task in involved] + [("MAKERS", task.world) for task in involved if made]
    formats = {tasks.format_of(task) for task in involved}
    measured = [(form.__name__, name) for form in formats for name in USED.get(phase, tasks.MEASURED) if hasattr(form, name)]
    apart = ("hub", "ccg") if made else ("microworld", "world", "world_examples", "world_retrieval", "pictures")
    return versions.code(notebook, entries, measured, [f"xtools.sources.{place}" for place in apart])


def reads_of(study: Study, cell: Cell) -> list[tuple[str, str, str]]:
    """The (task, split, language) triples that a cell reads; split `translated` is a machine-translated training set."""
    study, source = study.of(cell.backbone), study.source_language
    if cell.phase == "intermediate":
        names = study.tasks_of(cell.recipe)
        reads = [(name, split, source) for name in names for split in ("train", "dev")]
        return reads + [
            (name, "translated", lang) for name, langs in finetuning.languages(study, cell.recipe).items() for lang in langs[1:]
        ]
    if cell.phase == "target":
        task = tasks.get(cell.target)
        stages = study.stages(cell.target)
        looked = [stage for stage in stages if study.target.for_task(stage).is_looked_at]
        developed = [(name, "dev", source) for name in dict.fromkeys([*looked, task.name]) if "dev" in tasks.get(name).hub]
        return [(stage, "train", source) for stage in stages] + developed + _scored(study, task)
    names = study.targets if cell.phase == "timing" else _shown(study, cell)
    return [(name, "test", language) for name in names for language in targets.test_languages(study, tasks.get(name))]


def _shown(study: Study, cell: Cell) -> list[str]:
    """The target whose text a backbone's page shows. It is no number of a new backbone, and no reason to pretrain one anew."""
    return study.targets[:1] if study.backbones[cell.backbone].load else []


def _scored(study, task) -> list[tuple[str, str, str]]:
    splits = [split for split in ("test", "candidates") if split in task.hub]
    return [(task.name, split, language) for split in splits for language in targets.test_languages(study, task)]


def unlabelled(study: Study, cell: Cell) -> list:
    """The identity of the unlabelled text that a cell reads: a new backbone's pretraining text, or that of a `+mlm` recipe."""
    if not _reads_text(study, cell):
        return []
    languages = {language for target in study.targets for language in study.languages_of(target)}
    return revisions.of_text(study.data, languages, text_reads(study, cell))


def _reads_text(study: Study, cell: Cell) -> bool:
    new = cell.phase == "backbone" and not study.backbones[cell.backbone].load
    return new or (cell.phase == "intermediate" and Recipe.parse(cell.recipe).mlm)


def text_reads(study: Study, cell: Cell) -> list[tuple[str, str, str]]:
    """The (task, split, language) triples whose text a cell reads as unlabelled text, where the source is a folder."""
    if study.source in ("microworld", "hub") or not _reads_text(study, cell):
        return []
    involved = [tasks.get(name) for name in [*study.intermediate_tasks, *study.targets]]
    reads = [(task.name, "train", study.source_language) for task in involved if task.is_trained]
    reads += [
        (task.name, "dev", lang) for task in involved if task.is_target and "dev" in task.hub for lang in study.languages_of(task.name)
    ]
    return reads


def parameters(study: Study, cell: Cell) -> dict:
    """The study's parameters that bear on one cell's numbers."""
    common = {
        "phase": cell.phase,
        "source": study.source if study.source in ("microworld", "hub") else "folder",
        "language": study.source_language,
        "device": study.device,
        "precision": study.precision,
        "subset": study.subset,
    }
    threads = {"threads": study.threads} if study.threads > 1 and cell.phase != "timing" else {}  # timing has its own
    return common | threads | BY_PHASE[cell.phase](study, cell)


def _backbone(study: Study, cell: Cell) -> dict:
    entry = study.backbones[cell.backbone]
    if entry.load:
        return {"shown": [(name, study.languages_of(name)) for name in _shown(study, cell)]}
    shape = entry.model_dump(include={"layers", "hidden", "heads", "pictures"})
    unused = {"examples", "cap"} | (set() if entry.pictures else {"captions"})
    return {"seed": cell.seed, "shape": shape, "pretraining": study.pretraining.model_dump(exclude=unused)}


def _intermediate(study: Study, cell: Cell) -> dict:
    recipe, phase = Recipe.parse(cell.recipe), study.intermediate
    own = {name: phase.for_task(name) for name in study.tasks_of(cell.recipe)}
    bearing: dict[str, object] = {
        "seed": cell.seed,
        "batches": study.batches,
        "gradient_checkpointing": study.gradient_checkpointing,
        "training": finetuning.settings(study, cell.recipe).model_dump(exclude={"examples"}),
        "tasks": [(name, recipe.examples or settings.examples, settings.max_length) for name, settings in own.items()],
        "dev": [(name, study.evaluation.of(name).dev) for name in own],
    }
    if recipe.translated:
        translations = [revisions.of_translations(study.data, name) for name in own]
        bearing |= {"languages": finetuning.languages(study, cell.recipe), "noise": study.translation_noise, "translations": translations}
    if recipe.mlm:
        bearing["mlm"] = [phase.mlm_examples, phase.mlm_share, phase.max_length]
    return bearing


def _target(study: Study, cell: Cell) -> dict:
    task = tasks.get(cell.target)
    capped = study.source == "microworld" or getattr(tasks.format_of(task), "CAPS_QUERIES", True)
    bearing: dict[str, object] = {
        "batches": study.batches,
        "gradient_checkpointing": study.gradient_checkpointing,
        "languages": targets.test_languages(study, task),
        "test": study.evaluation.of(task.name).test if capped else None,
        "dev": study.evaluation.of(task.name).dev if "dev" in task.hub else None,
        "serves": study.is_served(task.name),  # a model that another target uses is kept
    }
    if stages := study.stages(task.name):
        bearing |= {"seed": cell.seed, "training": {stage: study.target.for_task(stage).model_dump() for stage in stages}}
    if not task.is_trained:
        retrieval = study.retrieval_of(cell.backbone).model_dump()
        bearing |= {"retrieval": retrieval, "width": study.target.for_task(task.name).max_length}
    return bearing


def _timing(study: Study, cell: Cell) -> dict:
    widths = {name: (targets.test_languages(study, tasks.get(name)), study.target.for_task(name).max_length) for name in study.targets}
    timing = study.timing.model_dump(exclude={"repetitions"})
    return {"repetition": cell.seed, "batches": study.batches, "timing": timing, "targets": widths}


BY_PHASE = {"backbone": _backbone, "intermediate": _intermediate, "target": _target, "timing": _timing}


def _origin(study: Study, cell: Cell, known: dict[Cell, str]) -> str:
    """What identifies the encoder that a cell starts from: the cell that made it, else its commit or files, or its shape alone."""
    upstream, entry = study.upstream(cell), study.backbones[cell.backbone]
    if cell.phase == "timing" and study.timing.weights == "random":
        return _shape(study, cell.backbone)
    if (upstream is None or upstream.phase == "backbone") and entry.load:
        where = study.place(cell.backbone, upstream.seed if upstream else cell.seed)
        tokenizer = _published(entry.tokenizer, None) if entry.tokenizer else ""
        kept = f" {entry.lowest} layers" if entry.lowest else ""
        return f"{_published(where, entry.revision, with_card=cell.phase == 'backbone')} {tokenizer}{kept}"
    return fingerprint(study, upstream, known) if upstream else ""


def _published(where: str, revision: str | None, with_card: bool = False) -> str:
    """The content of an encoder's folder, of which its card is shown alone, or the commit of a Hub id."""
    if not snapshots.is_local(where):
        return f"{where} {snapshots.commit('models', where, revision)}"
    return versions.folder_digest(ROOT / where, apart=() if with_card else (backbones.CARD,))


def _shape(study: Study, backbone: str) -> str:
    """The identity of random weights: their architecture's config, and the tokenizer at hand or the rows that one is made from."""
    entry, where = study.backbones[backbone], study.place(backbone, study.seeds[0])
    words = encoder.tokenizer_at_hand(where, entry.revision)
    first = [(study.targets[0], "test", language) for language in study.languages_of(study.targets[0])]
    tokenizer = features.of_tokenizer(words) if words is not None else versions.digest(*revisions.of(study.data, first), first)
    return f"{encoder.config_of(where, entry.revision, entry.lowest).to_json_string(use_diff=True)} {tokenizer}"
