"""Records: what each cell measured, on what, how; the fingerprints that say whether a record is current; one tidy table of them all."""

import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from xtools import ROOT, sources, tasks, versions
from xtools.study import Cell, Recipe, Study

NOTEBOOKS = {
    "backbone": "1_backbone",
    "intermediate": "2_intermediate",
    "target": "3_target",
    "timing": "4_timing",
    "report": "5_report",
}


def write_json(path: Path, value) -> None:
    """Write beside `path` and rename onto it, so that the file is either whole or absent."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    os.replace(partial, path)


def read(cell: Cell) -> dict | None:
    """The cell's record, or None when it has none."""
    try:
        return json.loads(cell.record.read_text())
    except FileNotFoundError:
        return None


# ---------------------------------------------------------------- fingerprints


@cache
def code(phase: str) -> str:
    """Hash of a phase's notebook and of the code that it uses."""
    return versions.closure((ROOT / "notebooks" / f"{NOTEBOOKS[phase]}.py").read_text())


def fingerprints(study: Study) -> dict[Cell, str]:
    """For every cell: a hash of its notebook, code, resolved parameters, tasks, data revision and upstream fingerprint."""
    known = tasks.registry()
    involved = [*study.intermediate_tasks, *study.targets]
    involved += [stage for name in study.targets for stage in study.stages(name)]
    revisions = {name: sources.revision(study.data, [known[name]]) for name in involved}
    found = {}
    for cell in study.cells():
        names = study.tasks_of(cell.recipe) if cell.phase == "intermediate" else study.stages(cell.target) if cell.target else []
        if cell.phase == "backbone" and not study.backbones[cell.backbone].load:
            names = [*study.intermediate_tasks, *study.targets]
        upstream = found[study.upstream(cell)] if study.upstream(cell) else _backbone_files(study, cell)
        entries = [(versions.entry(name), revisions[name]) for name in names]
        found[cell] = versions.digest(cell, code(cell.phase), json.dumps(parameters(study, cell), sort_keys=True), entries, upstream)
    return found


def _backbone_files(study: Study, cell: Cell) -> str:
    """Hash of a published backbone's files; for a Hub id its name and revision stand in the parameters."""
    load = study.backbones[cell.backbone].load
    folder = ROOT / load.format(seed=cell.seed) if load else None
    if not folder or not folder.is_dir():
        return ""
    return versions.digest(*(hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()))


def parameters(study: Study, cell: Cell) -> dict:
    """The study's parameters that bear on one cell."""
    found = {"source": study.source, "language": study.source_language, "device": study.device, "precision": study.precision}
    found["batches"] = study.batches
    found |= {"subset": study.subset, "ccg": study.ccg}
    found["backbone"] = study.backbones[cell.backbone].model_dump(exclude={"retrieval"})
    if cell.phase == "backbone" and not study.backbones[cell.backbone].load:
        found["pretraining"] = study.pretraining.model_dump()
        found["languages"] = {target: study.languages_of(target) for target in study.targets}
    if cell.phase == "intermediate":
        found["training"] = {t: study.intermediate.for_task(t).model_dump() for t in ["all", *study.tasks_of(cell.recipe)]}
        recipe = Recipe.parse(cell.recipe)
        if recipe.mlm:
            found["mlm"] = study.intermediate.model_dump(include={"mlm_examples", "mlm_share"})
        if recipe.mlm or recipe.translated:
            found["languages"] = study.all_languages()
            found["translation"] = [study.translations, study.translation_noise]
    if cell.phase == "target":
        found["training"] = {task: study.target.for_task(task).model_dump() for task in study.stages(cell.target)}
        found["languages"] = study.languages_of(cell.target)
        found["retrieval"] = study.retrieval_of(cell.backbone).model_dump()
    if cell.phase == "timing":
        found["timing"] = study.timing.model_dump()
        found["targets"] = {target: study.languages_of(target) for target in study.targets}
    found["evaluation"] = study.evaluation.model_dump()
    return found


def is_current(cell: Cell, fingerprint: str) -> bool:
    record = read(cell)
    return record is not None and record["fingerprint"] == fingerprint


# ---------------------------------------------------------------- provenance


@cache
def machine() -> dict:
    """What the numbers were measured on."""
    import torch

    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.processor())
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def on(machine: dict) -> str:
    """A machine in one line."""
    return f"{machine['gpu'] or machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


@cache
def commit() -> str:
    """The git commit of the code, with `+` when the work tree has changes; `unknown` outside git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


# ---------------------------------------------------------------- tidy table


def table(study: Study):
    """One row per target cell and language: backbone, recipe, target, seed, language, split, metric and score (pandas).

    `score` is the task's main metric in percent. Rows of split `dev` hold the source language's development score.
    """
    import pandas as pd

    rows = []
    for cell in study.cells():
        record = read(cell) if cell.phase == "target" else None
        if record is None:
            continue
        result = record["result"]
        common = {"backbone": cell.backbone, "recipe": cell.recipe, "target": cell.target, "seed": cell.seed, "metric": result["metric"]}
        scores = [("test", language, score) for language, score in result["scores"].items()]
        scores += [("dev", study.source_language, result["dev"])] if result["dev"] else []
        rows += [common | {"split": split, "language": lang, "score": s[result["metric"]], "n": s["n"]} for split, lang, s in scores]
    columns = ["backbone", "recipe", "target", "seed", "metric", "split", "language", "score", "n"]
    return pd.DataFrame(rows, columns=columns)
