"""`make fetch`: download everything that a study needs into the Hub's cache, and say how large it is; afterwards it runs offline."""

from pathlib import Path

import datasets
import huggingface_hub
from rich.console import Console
from rich.progress import track

from xtools import encoder, finetuning, sources, tasks
from xtools.problems import Problem
from xtools.run.estimate import size
from xtools.run.fingerprints import reads_of, unlabelled
from xtools.sources import hub, revisions
from xtools.study import Recipe, Study

FILES = ["*.json", "*.model", "*.txt"]  # config and tokenizer; of weights, safetensors alone


def wanted(study: Study) -> list[tuple]:
    """Every (task, split, language) that the study's cells read, translations apart."""
    reads = (read for cell in study.cells() for read in reads_of(study, cell))
    return [read for read in dict.fromkeys(reads) if read[1] != "translated"]


def encoders(study: Study) -> list[tuple[str, str | None, bool]]:
    """What the study takes from the Hub as (id, revision, whether its weights are wanted): encoders, and tokenizers from elsewhere."""
    found = []
    for entry in study.backbones.values():
        for where in filter(None, (entry.load, entry.tokenizer)):
            if not encoder.is_local(where.format(seed=study.seeds[0])):
                found.append((where, entry.revision if where == entry.load else None, where == entry.load))
    return found


def is_lacking(study: Study) -> bool:
    """Whether something that the study takes from the Hub is not in the cache."""
    if any(revisions.commit(where, revision, "models") == revisions.UNFETCHED for where, revision, _ in encoders(study)):
        return True
    states = [state for cell in study.cells() for state in (*revisions.of(study.data, reads_of(study, cell)), *unlabelled(study, cell))]
    return study.source == "hub" and any(state.endswith(revisions.UNFETCHED) for state in states)


def run(study: Study) -> int:
    """Fetch encoders and data; prints a line per encoder and data set. The exit status: 0, or 1 when something could not be had."""
    missing = [problem for where, revision, weights in encoders(study) for problem in _encoder(where, revision, weights)]
    if study.source != "microworld":
        missing += _data(study)
    for line in missing:
        print(line)
    if missing:
        print(f"{len(missing)} could not be had; what was fetched stays, so run again once that is mended")
        return 1
    print(f"{study.name}: all there; run it without network by HF_HUB_OFFLINE=1 make study PROFILE={study.name}")
    return 0


def _encoder(where: str, revision: str | None, weights: bool) -> list[str]:
    """Fetch an encoder's config and tokenizer, and its weights where they are wanted; the problem, if there is one."""
    try:
        folder = huggingface_hub.snapshot_download(
            where, revision=revision, allow_patterns=[*FILES, *(["*.safetensors"] if weights else [])]
        )
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
        return [f"backbone {where}: cannot be fetched ({' '.join(str(error).split())[:200]})"]
    files = [path for path in Path(folder).rglob("*") if path.is_file()]
    if weights and not any(path.suffix == ".safetensors" for path in files):
        return [f"backbone {where}: has no safetensors; give the `revision` of its page that does (often refs/pr/<n>), or leave it out"]
    print(f"backbone {where}: {size(sum(path.stat().st_size for path in files))}")
    return []


def _data(study: Study) -> list[str]:
    """Read every split once, which fetches it; the problems."""
    sizes: dict[str, dict[str, str]] = {}
    missing = []
    for name, split, language in track(wanted(study), "data sets", console=Console(), transient=True):
        task = tasks.get(name)
        try:
            parts = hub.parts(study.data, task, split, language)
            for part in parts + [part.without for part in parts if part.without]:
                table = hub.table(study.data, part, language)
                if isinstance(table, datasets.Dataset):
                    sizes.setdefault(part.repo, {}).update({str(f["filename"]): f["filename"] for f in table.cache_files})
                else:
                    sizes.setdefault(part.repo, {})
        except Problem as problem:
            missing.append(str(problem))
    for recipe in map(Recipe.parse, study.recipes):
        if recipe.translated:
            missing += _translations(study, recipe)
        if recipe.mlm and study.source == "hub":
            missing += _wikipedia(study)
    for repo, files in sizes.items():
        print(f"data {repo}: {size(sum(Path(f).stat().st_size for f in files)) if files else 'files, read'}")
    return list(dict.fromkeys(missing))


def _wikipedia(study: Study) -> list[str]:
    """Read an article of every language that a `+mlm` recipe goes on with; the problems."""
    missing = []
    for language in study.all_languages():
        try:
            hub.wikipedia(language, 1)
        except Problem as problem:
            missing.append(str(problem))
    return missing


def _translations(study: Study, recipe: Recipe) -> list[str]:
    """Read the translated training sets of a recipe; the problems."""
    missing = []
    for name in study.intermediate_tasks if recipe.task == "all" else [recipe.task]:
        for language in finetuning.training_languages(study, tasks.get(name))[1:]:
            try:
                next(sources.translated(study.data, tasks.get(name), language, 1), None)
            except Problem as problem:
                missing.append(str(problem))
    return missing
