"""Records: what each cell measured, on what, how; the fingerprints that say whether a record is current; one tidy table of them all."""

import ast
import hashlib
import json
import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from xtools import sources, tasks
from xtools.study import ROOT, Cell, Recipe, Study

NOTEBOOKS = {
    "backbone": "1_backbone",
    "intermediate": "2_intermediate",
    "target": "3_target",
    "timing": "4_timing",
    "report": "5_report",
}
PRESENTATION = {"plots", "problems", "examples"}  # modules that can change how a page looks, but no number


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


def _digest(*parts) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


class _Strip(ast.NodeTransformer):
    """Drops what cannot change a number: docstrings, and the TASKS table, whose entries are counted task by task."""

    def visit(self, node):
        self.generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:] or [ast.Pass()]
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TASKS":
            return ast.Pass()
        return node


@cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """Hash of a module's meaning (comments, layout and docstrings do not count), and the xtools modules that it imports."""
    path = ROOT / (name.replace(".", "/") + ".py")
    path = path if path.exists() else ROOT / name.replace(".", "/") / "__init__.py"
    tree = ast.parse(path.read_text())
    return _digest(ast.dump(_Strip().visit(tree))), _imports(tree)


def _imports(tree: ast.AST) -> tuple[str, ...]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xtools"):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return tuple(sorted(n for n in found if _is_module(n)))


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


@cache
def code(phase: str) -> str:
    """Hash of a phase's notebook and of every xtools module that it imports, directly or not, save those of presentation."""
    source = (ROOT / "notebooks" / f"{NOTEBOOKS[phase]}.py").read_text()
    seen, queue = {}, list(_imports(ast.parse(source)))
    while queue:
        name = queue.pop()
        if name not in seen and name.rpartition(".")[2] not in PRESENTATION:
            seen[name], imports = _module(name)
            queue += imports
    return _digest(source, sorted(seen.items()))


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
        entries = [(known[name].metric, known[name].labels, known[name].world, revisions[name]) for name in names]
        found[cell] = _digest(cell, code(cell.phase), json.dumps(parameters(study, cell), sort_keys=True), entries, upstream)
    return found


def _backbone_files(study: Study, cell: Cell) -> str:
    """Hash of a published backbone's files; for a Hub id its name and revision stand in the parameters."""
    load = study.backbones[cell.backbone].load
    folder = ROOT / load.format(seed=cell.seed) if load else None
    if not folder or not folder.is_dir():
        return ""
    return _digest(*(hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()))


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
