"""Which commit of a repository is read, and where its files lie on this machine. Nothing here asks a server; `make fetch` does.

A repository is of a kind: `datasets` and `models` of the Hugging Face Hub lie in its cache, files of `github` in a folder beside it. Its
commit is what a task's or backbone's entry says, or params/ledgers/revisions.yaml; of a branch or tag, and where nothing is said of the newest,
it is what the last fetch took (runs/revisions.yaml), or before any fetch, what the Hub's cache holds.
"""

import re
from functools import lru_cache
from pathlib import Path

import yaml

from xtools import ROOT
from xtools.problems import Problem

UNFETCHED = "unfetched"  # in place of a commit that is not known here
PINS = Path("params", "ledgers", "revisions.yaml")
TAKEN = Path("runs", "revisions.yaml")
NEWEST = "main"


def revision(kind: str, repo: str, asked: str | None = None) -> str:
    """The commit, tag or branch of a repository that is asked for: by its entry, or else by the ledger.

    Raises Problem for a repository of GitHub that the ledger does not have.
    """
    if asked:
        return asked
    pinned = _read(PINS).get(kind, {}).get(repo)
    if kind != "github":
        return pinned or NEWEST
    if not (told := (pinned or {}).get("commit")):
        raise Problem(f"{PINS}: github: {repo}: missing; give its commit, and the sha256 of each of its files")
    return told


def commit(kind: str, repo: str, asked: str | None = None) -> str:
    """The commit of a repository that is read, or UNFETCHED."""
    wanted = revision(kind, repo, asked)
    if re.fullmatch("[0-9a-f]{40}", wanted):
        return wanted
    if known := _read(TAKEN).get(kind, {}).get(name(repo, wanted)):
        return known
    ref = storage(kind, repo) / "refs" / wanted
    return ref.read_text().strip() if ref.exists() else UNFETCHED


def name(repo: str, wanted: str | None) -> str:
    """What a repository is called where its commit is told, by the branch or tag that is asked for where it is not the newest."""
    return repo if wanted in (None, NEWEST) else f"{repo}@{wanted}"


def taken() -> dict[str, dict[str, str]]:
    """The commits that fetches took, by kind and name."""
    return _read(TAKEN)


def _read(path: Path) -> dict:
    full = ROOT / path
    return _parsed(full, full.stat().st_mtime_ns) if full.exists() else {}


@lru_cache
def _parsed(path: Path, changed: int) -> dict:
    """Raises Problem for what is no table of tables."""
    try:
        return {kind: dict(repos or {}) for kind, repos in (yaml.safe_load(path.read_text()) or {}).items()}
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        raise Problem(f"{path.relative_to(ROOT)}: not repositories by kind ({' '.join(str(error).split())[:100]})") from error


def sha256(repo: str) -> dict[str, str]:
    """The hashes of a GitHub repository's files that the ledger has."""
    return _read(PINS).get("github", {}).get(repo, {}).get("sha256", {})


def storage(kind: str, repo: str) -> Path:
    """Where all commits of a repository are kept."""
    from huggingface_hub import constants

    if kind == "github":
        return Path(constants.HF_HOME, kind, repo)
    return Path(constants.HF_HUB_CACHE, f"{kind}--{repo.replace('/', '--')}")


def folder(kind: str, repo: str, asked: str | None = None) -> Path:
    """Where the files of the commit that is read lie, as far as they were fetched."""
    return storage(kind, repo) / "snapshots" / commit(kind, repo, asked)


def listing(kind: str, repo: str, asked: str | None = None) -> list | None:
    """The files that a repository of the Hub has at the commit that is read (`path`, `size`, `blob_id`, `lfs`), fetched or not; None where
    that is not known here."""
    import huggingface_hub

    try:
        return huggingface_hub.get_cached_repo_tree(repo, repo_type=kind.removesuffix("s"), revision=commit(kind, repo, asked))
    except huggingface_hub.errors.CachedRepoTreeNotFoundError:
        return None


def names(kind: str, repo: str, asked: str | None = None) -> list[str] | None:
    """The names of a repository's files; None where they are not known here."""
    listed = listing(kind, repo, asked)
    return None if listed is None else [file.path for file in listed]


def are_there(kind: str, repo: str, files: list[str], asked: str | None = None) -> bool:
    """Whether files were fetched, and of the Hub's, whole."""
    here = folder(kind, repo, asked)
    sizes = {} if kind == "github" else {file.path: getattr(file, "size", None) for file in listing(kind, repo, asked) or []}
    return all((path := here / file).exists() and sizes.get(file) in (None, path.stat().st_size) for file in files)


def is_local(where: str) -> bool:
    """Whether a backbone's `load` is a folder of the project rather than a Hub id."""
    return (ROOT / where).exists() or where.startswith("backbones/")


def place(where: str, revision: str | None = None) -> tuple[str, dict]:
    """What transformers loads an encoder by: the path of a folder; or a Hub id with the commit that is read, from the cache alone."""
    if is_local(where):
        return str(ROOT / where), {}
    return where, {"revision": commit("models", where, revision), "local_files_only": True}
