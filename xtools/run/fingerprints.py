"""Fingerprints: for each cell a hash of all that its numbers hang on, and of nothing else.

That is the code that its notebook, formats and tasks reach, its parameters, the identity of its data, and the encoder that it starts from.
Names of studies and backbones, titles, claims, comments and what shows a result are not among them, so that studies share their cells.
"""

from functools import cache

from xtools import ROOT, encoder, finetuning, records, targets, tasks, versions
from xtools.sources import revisions
from xtools.study import Cell, Recipe, Study


def fingerprints(study: Study) -> dict[Cell, str]:
    """For every cell of a study a hash of what its numbers hang on; equal cells have equal ones, in whatever study."""
    known: dict[Cell, str] = {}
    for cell in study.cells():
        reads = reads_of(study, cell)
        data = [*revisions.of(study.data, reads), *unlabelled(study, cell)]
        origin = _origin(study, cell, known)
        known[cell] = versions.digest(code(study, cell), sorted(parameters(study, cell).items()), data, origin)
    return known


USED = {"backbone": (), "timing": ("encode",)}  # of a format, by the phases that do not use all that numbers come from


def code(study: Study, cell: Cell) -> str:
    """Hash of the code that a cell reaches: from its notebook, and from the formats, entries and makers of its tasks."""
    return _code(cell.phase, tuple(sorted({name for name, _, _ in reads_of(study, cell)})), study.source == "microworld")


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
    source = study.source_language
    if cell.phase == "intermediate":
        names = study.tasks_of(cell.recipe)
        reads = [(name, split, source) for name in names for split in ("train", "dev")]
        return reads + [
            (name, "translated", lang) for name, langs in finetuning.languages(study, cell.recipe).items() for lang in langs[1:]
        ]
    if cell.phase == "target":
        task = tasks.get(cell.target)
        reads = [(stage, "train", source) for stage in study.stages(cell.target) if tasks.get(stage).is_trained]
        reads += [(task.name, "dev", source)] if "dev" in task.hub else []
        return reads + _scored(study, task)
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
    new = cell.phase == "backbone" and not study.backbones[cell.backbone].load
    if not new and not (cell.phase == "intermediate" and Recipe.parse(cell.recipe).mlm):
        return []
    involved = [tasks.get(name) for name in [*study.intermediate_tasks, *study.targets]]
    reads = [(task.name, "train", study.source_language) for task in involved if task.is_trained]
    reads += [
        (task.name, "dev", lang) for task in involved if task.is_target and "dev" in task.hub for lang in study.languages_of(task.name)
    ]
    languages = {language for target in study.targets for language in study.languages_of(target)}
    return revisions.of_text(study.data, languages, reads)


def parameters(study: Study, cell: Cell) -> dict:
    """The study's parameters that bear on one cell's numbers."""
    common = {
        "phase": cell.phase,
        "source": study.source if study.source in ("microworld", "hub") else "folder",
        "language": study.source_language,
        "device": study.device,
        "precision": study.precision,
        "batches": study.batches,
        "subset": study.subset,
    }
    return common | BY_PHASE[cell.phase](study, cell)


def _backbone(study: Study, cell: Cell) -> dict:
    entry = study.backbones[cell.backbone]
    if entry.load:
        return {"shown": [(name, study.languages_of(name)) for name in _shown(study, cell)]}
    shape = entry.model_dump(include={"layers", "hidden", "heads", "pictures"})
    return {"seed": cell.seed, "shape": shape, "pretraining": study.pretraining.model_dump()}


def _intermediate(study: Study, cell: Cell) -> dict:
    recipe, phase = Recipe.parse(cell.recipe), study.intermediate
    own = {name: phase.for_task(name) for name in study.tasks_of(cell.recipe)}
    bearing = {
        "seed": cell.seed,
        "training": phase.for_task(recipe.task).model_dump(exclude={"examples"}),
        "tasks": [(name, recipe.examples or settings.examples, settings.max_length) for name, settings in own.items()],
        "dev": study.evaluation.dev,
    }
    if recipe.translated:
        translations = [revisions.of_translations(study.data, name) for name in own]
        bearing |= {"languages": finetuning.languages(study, cell.recipe), "noise": study.translation_noise, "translations": translations}
    if recipe.mlm:
        bearing["mlm"] = [phase.mlm_examples, phase.mlm_share, phase.max_length]
    return bearing


def _target(study: Study, cell: Cell) -> dict:
    task = tasks.get(cell.target)
    training = {stage: study.target.for_task(stage).model_dump() for stage in study.stages(task.name)}
    bearing = {
        "seed": cell.seed,
        "training": training if task.is_trained else study.target.for_task(task.name).max_length,
        "languages": targets.test_languages(study, task),
        "test": study.evaluation.test,
        "dev": study.evaluation.dev if "dev" in task.hub else None,
        "serves": study.is_served(task.name),  # a model that another target uses is kept
    }
    return bearing | ({"retrieval": study.retrieval_of(cell.backbone).model_dump()} if "candidates" in task.hub else {})


def _timing(study: Study, cell: Cell) -> dict:
    widths = {name: (targets.test_languages(study, tasks.get(name)), study.target.for_task(name).max_length) for name in study.targets}
    return {"repetition": cell.seed, "timing": study.timing.model_dump(exclude={"repetitions"}), "targets": widths}


BY_PHASE = {"backbone": _backbone, "intermediate": _intermediate, "target": _target, "timing": _timing}


def _origin(study, cell, known: dict) -> str:
    """What identifies the encoder that a cell starts from: the cell that made it, else its commit or files, or its shape alone."""
    upstream = study.upstream(cell)
    entry = study.backbones[cell.backbone]
    if cell.phase == "timing" and study.timing.weights == "random":
        return _shape(entry.load.format(seed=study.seeds[0]))
    if (upstream is None or upstream.phase == "backbone") and entry.load:
        return "; ".join(_published(where, entry.revision) for where in _places(entry, upstream.seed if upstream else cell.seed))
    return known[upstream] if upstream else ""


def _places(entry, seed: int) -> list[str]:
    """Where a published encoder's weights and, if elsewhere, its tokenizer lie."""
    return [where for where in (entry.load.format(seed=seed), entry.tokenizer) if where]


def _published(where: str, revision: str | None) -> str:
    return versions.folder_digest(ROOT / where) if encoder.is_local(where) else f"{where} {revisions.commit(where, revision, 'models')}"


def _shape(where: str) -> str:
    """The identity of random weights: their architecture's config, and whether its own tokenizer is at hand."""
    tokenizer = "its own" if encoder.tokenizer_at_hand(where) is not None else "made here"
    return f"{encoder.config_of(where).to_json_string(use_diff=True)} {tokenizer}"
