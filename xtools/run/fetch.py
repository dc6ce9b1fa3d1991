"""`make fetch`: download everything that a study needs into the Hub's cache, and say how large it is; afterwards it runs offline."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import yaml

from xtools import ROOT, snapshots
from xtools.disk import size, whole
from xtools.problems import Problem
from xtools.run import download, lacking
from xtools.sources import layout, wikipedia
from xtools.study import Study
from xtools.tasks import Hub


@dataclass(frozen=True)
class Repository:
    """A repository of the Hub, the revision that is asked for, and which of the files of a commit are wanted.

    `chosen` takes the commit and the names of its files. Those of `first` say which are whose, so they are fetched before it is asked.
    """

    kind: str
    repo: str
    asked: str | None
    chosen: Callable[[str, list[str]], list[str]]
    first: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        return f"{'data' if self.kind == 'datasets' else 'backbone'} {self.repo}"


def is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def run(study: Study, newest: bool = True) -> int:
    """Fetch encoders and data; prints a line per encoder and data set. The exit status: 0, or 1 when something could not be had.

    `newest`: of repositories that nothing pins, take the newest commit, whichever was read before.
    """
    problems: list[str] = []
    if is_offline():
        print("HF_HUB_OFFLINE is set: nothing is fetched")
    else:
        try:
            for line in _fetched(study, newest):
                problems.append(line)
        except download.Unreachable as error:
            print(*problems, f"{error}; what was fetched stays: run again once there is a network", sep="\n")
            return 1
    found = lacking.of(study, study.cells())
    problems += [line for line in found if not any(repo in line for repo in _named(problems))]
    print(*problems, sep="\n", end="\n" if problems else "")
    if problems:
        print(f"{len(problems)} could not be had; what was fetched stays, so run again once that is mended")
        return 1
    print(f"{study.name}: all there; run it without network by HF_HUB_OFFLINE=1 make study PROFILE={study.name}")
    return 0


def _named(lines: list[str]) -> list[str]:
    """The repositories of which lines say already that they could not be fetched."""
    return [line.split(":")[0].split()[-1] for line in lines]


def _fetched(study: Study, newest: bool) -> Iterator[str]:
    """Fetch everything; the problems, as they turn up.

    Raises Unreachable.
    """
    for repository in repositories(study):
        yield from _repository(repository, newest)
    for part, language in lacking.parts(study, study.cells()):
        if part.kind == "github":
            yield from _github(part, part.config.format(lang=part.name(language)))


def repositories(study: Study) -> list[Repository]:
    """Everything that a study takes from the Hub."""
    cells = study.cells()
    models = [encoder for encoder in lacking.encoders(study, cells) if not snapshots.is_local(encoder[0])]
    found = [Repository("models", name, asked, partial(_of_encoder, weights=weights)) for name, asked, weights in models]
    wanted: dict[tuple[str, str | None], list] = {}
    for part, language in lacking.parts(study, cells):
        if part.kind == "datasets":
            wanted.setdefault((part.repo, part.revision), []).append((part, language))
    found += [
        Repository("datasets", repo, asked, partial(_of_parts, parts=parts), (layout.README,)) for (repo, asked), parts in wanted.items()
    ]
    if languages := lacking.text_languages(study, cells):
        found.append(Repository("datasets", wikipedia.REPO, None, partial(_of_text, languages=languages)))
    return found


def _of_encoder(commit: str, names: list[str], weights: bool) -> list[str]:
    return lacking.files_of(names, weights)


def _of_text(commit: str, names: list[str], languages: list[str]) -> list[str]:
    return [name for language in languages for name in wikipedia.first(names, language)]


def _of_parts(commit: str, names: list[str], parts: list) -> list[str]:
    """The files of some parts of a data set at a commit; of one that it does not have none, which is told when it is read."""
    found: dict[str, None] = {}
    for part, language in parts:
        try:
            found |= dict.fromkeys(name for names in layout.files(replace(part, revision=commit), language).values() for name in names)
        except Problem:
            continue
    return [*found]


def _repository(wanted: Repository, newest: bool) -> list[str]:
    """Fetch what is wanted of a repository, and note its commit; the problems.

    Raises Unreachable.
    """
    kind, repo = wanted.kind, wanted.repo
    before = snapshots.commit(kind, repo, wanted.asked)
    try:
        commit = _commit(wanted, newest, before)
        entries = {entry.path: entry for entry in download.listing(kind, repo, commit) if hasattr(entry, "blob_id")}
        failed = download.files(kind, repo, commit, [entries[name] for name in wanted.first if name in entries])
        chosen = [] if failed else wanted.chosen(commit, [*entries])
        failed |= download.files(kind, repo, commit, [entries[name] for name in chosen])
    except (download.HTTPError, OSError) as error:
        return [f"{wanted.told}: {download.reason(error)}"]
    if failed:
        return [f"{wanted.told}: {path}: {download.reason(error)}" for path, error in failed.items()]
    note(kind, repo, snapshots.revision(kind, repo, wanted.asked), commit)
    moved = f", was {before[:7]}" if before not in (commit, snapshots.UNFETCHED) else ""
    print(f"{wanted.told} at {commit[:7]}{moved}: {size(sum(entries[name].size for name in chosen))}", flush=True)
    return []


def _commit(wanted: Repository, newest: bool, before: str) -> str:
    """The commit to take: the one that is pinned or, unless the newest is asked for, that was read before; else the server's."""
    asked = snapshots.revision(wanted.kind, wanted.repo, wanted.asked)
    if before == asked or (before != snapshots.UNFETCHED and not newest):
        return before
    return download.resolve(wanted.kind, wanted.repo, asked)


def note(kind: str, repo: str, asked: str, commit: str) -> None:
    """Keep which commit of a repository is read from now on, where nothing pins it."""
    known = snapshots.taken()
    if asked == commit or known.get(kind, {}).get(snapshots.name(repo, asked)) == commit:
        return
    path = ROOT / snapshots.TAKEN
    path.parent.mkdir(exist_ok=True)
    with whole(path) as written:
        written.write_text(yaml.safe_dump(known | {kind: known.get(kind, {}) | {snapshots.name(repo, asked): commit}}))


def _github(part: Hub, path: str) -> list[str]:
    """Fetch a file of a GitHub repository; the problem, if there is one.

    Raises Unreachable.
    """
    try:
        download.github(part.repo, path, part.revision)
    except (download.HTTPError, OSError, Problem) as error:
        if isinstance(error, download.Unreachable):
            raise
        return [f"data {part.repo}: {path}: {download.reason(error)}"]
    return []
