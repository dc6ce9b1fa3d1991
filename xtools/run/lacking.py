"""What a study reads and is not there, told by name before anything runs: encoders, data in every language, translations, text."""

import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch

from rich.console import Console
from rich.progress import track

from xtools import ROOT, snapshots, sources, tasks, versions
from xtools.disk import whole
from xtools.problems import Problem
from xtools.run.fingerprints import reads_of, unlabelled
from xtools.sources import hub, layout, revisions, wikipedia
from xtools.study import Cell, Study
from xtools.tasks import Hub

CONFIG, WEIGHTS = ("*.json", "*.model", "*.txt"), ("*.safetensors",)  # of an encoder; its tokenizer's files are among the first
SEEN = ROOT / "runs" / "rows.json"  # splits in which rows were found, by a hash of which they are


def of(study: Study, cells: Iterable[Cell]) -> list[str]:
    """A line for each thing that some cells read and is not there: with its name, and what to do."""
    chosen = [*cells]
    lines = [line for encoder in encoders(study, chosen) for line in _encoder(study, *encoder)]
    if study.source != "microworld":
        lines += [*_text(text_languages(study, chosen)), *_data(study, [*reads(study, chosen)])]
    return list(dict.fromkeys(lines))


def encoders(study: Study, cells: list[Cell]) -> list[tuple[str, str | None, bool]]:
    """The published encoders that cells load, as (folder or Hub id, revision, whether its weights are wanted), and tokenizers from elsewhere."""
    found: dict[tuple[str, str | None, bool], None] = {}
    for cell in cells:
        entry = study.backbones[cell.backbone]
        if entry.load and not (cell.phase == "timing" and study.timing.weights == "random"):
            found[study.place(cell.backbone, study.seeds[0] if cell.phase == "timing" else cell.seed), entry.revision, True] = None
            if entry.tokenizer:
                found[entry.tokenizer, None, False] = None
    return [*found]


def reads(study: Study, cells: Iterable[Cell]) -> Iterator[tuple[str, str, str]]:
    """Every (task, split, language) that cells read, once; of a pool that one file holds, the first language."""
    every = dict.fromkeys(read for cell in cells for read in reads_of(study, cell))
    pooled: set[str] = set()
    for name, split, language in every:
        if split == "candidates" and len(tasks.get(name).candidate_languages(["", ""])) == 1:
            if name in pooled:
                continue
            pooled.add(name)
        yield name, split, language


def files_of(names: list[str], weights: bool) -> list[str]:
    """Those of an encoder's files that are wanted; weights as safetensors alone."""
    return [name for name in names if any(fnmatch(name, pattern) for pattern in CONFIG + (WEIGHTS if weights else ()))]


def is_fetched(where: str, revision: str | None, weights: bool) -> bool:
    """Whether all files of an encoder of the Hub that are wanted are here."""
    names = snapshots.names("models", where, revision)
    return names is not None and snapshots.are_there("models", where, files_of(names, weights), revision)


def due(study: Study) -> tuple[list[str], list[str], list[str]]:
    """The encoders and the data sets of which something is to be fetched; and a line for each thing that is known not to be had."""
    cells, data, absent = study.cells(), dict[str, None](), dict[str, None]()
    models = [name for name, asked, weights in encoders(study, cells) if not (snapshots.is_local(name) or is_fetched(name, asked, weights))]
    wanted: list[tuple] = [(part.repo, layout.are_fetched, (part, language)) for part, language in parts(study, cells)]
    wanted += [(wikipedia.REPO, wikipedia.is_fetched, (language,)) for language in text_languages(study, cells)]
    for repo, is_here, what in wanted:
        try:
            data |= {} if is_here(*what) else {repo: None}
        except Problem as problem:
            absent[str(problem)] = None
    return list(dict.fromkeys(models)), [*data], [*absent]


def parts(study: Study, cells: Iterable[Cell]) -> list[tuple[Hub, str]]:
    """Every part, with its language, of what cells read from the Hub."""
    if study.source != "hub":
        return []
    found = (
        (part, language) for name, split, language in reads(study, cells) for part in revisions.parts(tasks.get(name), split, language)
    )
    named = {(part.repo, part.revision, part.config, part.split, part.name(language)): (part, language) for part, language in found}
    return [*named.values()]


def text_languages(study: Study, cells: Iterable[Cell]) -> list[str]:
    """The languages in which cells read unlabelled text from the Hub."""
    return list(dict.fromkeys(lang for cell in cells for lang in unlabelled(study, cell)[1:])) if study.source == "hub" else []


def _encoder(study: Study, where: str, revision: str | None, weights: bool) -> list[str]:
    """What is wrong with an encoder, in a line."""
    if snapshots.is_local(where):
        return [] if (ROOT / where).exists() else [f"backbone {where}: not there; run make backbones PROFILE={study.name}"]
    if not is_fetched(where, revision, weights):
        return [f"backbone {where}: not fetched; fetch it while there is a network: make fetch PROFILE={study.name}"]
    if weights and not any(fnmatch(name, WEIGHTS[0]) for name in snapshots.names("models", where, revision)):
        return [f"backbone {where}: has no safetensors; give the `revision` of its page that does (often refs/pr/<n>), or leave it out"]
    return []


def _data(study: Study, wanted: list[tuple[str, str, str]]) -> list[str]:
    """Read a row of every split in every language of which none was read before; what is wrong, a line each, but one a data set that was
    not fetched."""
    seen = set(json.loads(SEEN.read_text())) if SEEN.exists() else set()
    before, console, lines, unfetched = len(seen), Console(), [], dict[str, dict[str, None]]()
    for name, split, language in track(wanted, "data sets", console=console, transient=True, disable=not console.is_terminal):
        state = versions.digest(
            study.source == "hub", study.subset, name, split, language, *revisions.of(study.data, [(name, split, language)])
        )
        try:
            missing = [part.repo for part in _wanted(study, name, split, language) if not layout.are_fetched(part, language)]
            if not missing and state not in seen:
                _first_row(study, name, split, language)
                seen.add(state)
        except Problem as problem:
            lines.append(str(problem))
            continue
        for repo in missing:
            unfetched.setdefault(repo, {})[language] = None
    if len(seen) > before:
        SEEN.parent.mkdir(exist_ok=True)
        with whole(SEEN) as partial:
            partial.write_text(json.dumps(sorted(seen)))
    return lines + [str(layout.unfetched(f"data {repo} ({' '.join(languages)})")) for repo, languages in unfetched.items()]


def _wanted(study: Study, name: str, split: str, language: str) -> list[Hub]:
    """The parts of a split that are to have been fetched: all; of a subset, those that the Hub has."""
    if study.source != "hub":
        return []
    every = revisions.parts(tasks.get(name), split, language)
    return [part for part in every if not part.licensed and (len(every) == 1 or hub.has(study.data, part, language))]


def _first_row(study: Study, name: str, split: str, language: str) -> None:
    """Raises Problem where there is none."""
    task = sources.complete(study.data, tasks.get(name))
    if split == "translated":
        next(sources.translated(study.data, task, language, 1), None)
    else:
        sources.rows(study.data, task, split, language, 1)


def _text(languages: list[str]) -> list[str]:
    lines = []
    for language in languages:
        try:
            wikipedia.articles(language, 1)
        except Problem as problem:
            lines.append(str(problem))
    return lines
