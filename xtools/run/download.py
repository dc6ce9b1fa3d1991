"""Downloads that go on where they stopped: a cut file is continued, a server in trouble is asked again, ever later, and content is held
against its hash.

Files of the Hub are put into its cache as its own library lays it out (a blob by its hash, links to it by commit), so that no content is
fetched twice and other tools find it.
"""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HTTPError,  # of the library's client: what is wrong with a connection is one without a response
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, logging

from xtools import snapshots
from xtools.problems import Problem

TIMEOUT = 5  # seconds without a sign of the server
FIRST, PATIENCE = 8, 60  # seconds in which a request may fail again and again: of a server that was never reached, of one that was
PAUSE, LONGEST = 0.2, 15  # seconds until the first repetition, each later one twice as long, and at most
STREAK = 3  # requests given up in a row, after which a server is taken to be down
WORKERS = 8  # files at a time
GITHUB = "https://raw.githubusercontent.com"
Result = TypeVar("Result")


class Unreachable(Problem):
    """A server that does not answer, or nothing but errors: there is no point in asking it for anything else."""


REACHED: set[str] = set()
GIVEN_UP: list[str] = []  # hosts of requests that were given up since the last one that went well

logging.set_verbosity_error()  # what goes wrong is told here


def patiently(url: str, call: Callable[[], Result], have: Callable[[], int] = lambda: 0) -> Result:
    """What a call gives, made again as long as trouble may pass: sooner or later, but not while `have` (bytes) grows, it is given up.

    Raises Unreachable, or the error of a server that answers.
    """
    host = urlsplit(url).netloc
    since, pause, had = time.monotonic(), PAUSE, have()
    while True:
        huggingface_hub.get_session().timeout = TIMEOUT
        try:
            found = call()
        except (HTTPError, OSError) as error:
            trouble = error.__cause__ if isinstance(error.__cause__, HTTPError) and not isinstance(error, HTTPError) else error
            if not _may_pass(trouble):
                raise trouble from None
            if status(trouble):
                REACHED.add(host)
            if have() > had:
                since, pause, had = time.monotonic(), PAUSE, have()
            if time.monotonic() + pause - since > (PATIENCE if host in REACHED else FIRST):
                raise _given_up(host, trouble) from None
        else:
            REACHED.add(host)
            GIVEN_UP.clear()
            return found
        time.sleep(pause)
        pause = min(2 * pause, LONGEST)


def status(error: BaseException) -> int | None:
    """The status of a server's answer; None where it is none."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None


def _may_pass(error: BaseException) -> bool:
    """Whether it is the connection that failed, or the server that is busy or down."""
    if isinstance(error, huggingface_hub.errors.OfflineModeIsEnabled):
        return False
    if code := status(error):
        return code in (408, 429) or code >= 500
    return isinstance(error, HTTPError | ConnectionError | TimeoutError)


def _given_up(host: str, trouble: BaseException) -> BaseException:
    GIVEN_UP.append(host)
    if status(trouble) is None:
        return Unreachable(f"{host} cannot be reached ({_line(trouble)})")
    if len(GIVEN_UP) >= STREAK:
        return Unreachable(f"{host} answers nothing but errors ({status(trouble)})")
    return trouble


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())[:200]


def reason(error: BaseException) -> str:
    """What is wrong with what could not be fetched, and what to do."""
    code = status(error)
    if isinstance(error, GatedRepoError) or code == 403:
        return "it is gated: accept its terms on its page and log in with `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return "the Hub has none of this name, or it is private: correct the name, or log in with `hf auth login`"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no such revision: correct it in {snapshots.PINS} or where it is given; make fetch takes the newest where none is"
    if isinstance(error, EntryNotFoundError):
        return "the file is no longer there"
    if code == 401:
        return "the token of this machine is not valid: log in with `hf auth login`"
    if code:
        return f"the server has trouble ({code}): run again later"
    return _line(error)


# ---------------------------------------------------------------- repositories


def resolve(kind: str, repo: str, wanted: str) -> str:
    """The commit that a branch or tag stands for on the Hub; noted in the cache."""
    api = huggingface_hub.HfApi()
    info = patiently(constants.ENDPOINT, lambda: api.repo_info(repo, repo_type=kind.removesuffix("s"), revision=wanted, timeout=TIMEOUT))
    ref = snapshots.storage(kind, repo) / "refs" / wanted
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(info.sha)
    return info.sha


def listing(kind: str, repo: str, commit: str) -> list:
    """The files of a commit of the Hub (`path`, `size`, `blob_id`, `lfs`), asked for once."""

    def ask() -> list:
        huggingface_hub.snapshot_download(repo, repo_type=kind.removesuffix("s"), revision=commit, allow_patterns=[])
        found = snapshots.listing(kind, repo, commit)
        if found is None:  # the library takes what it finds in the cache for an answer
            raise ConnectionError("no list of its files")
        return found

    known = snapshots.listing(kind, repo, commit)
    return patiently(constants.ENDPOINT, ask) if known is None else known


def files(kind: str, repo: str, commit: str, entries: list) -> dict[str, BaseException]:
    """Fetch files of a commit, several at a time; what went wrong, by name.

    Raises Unreachable.
    """
    failed: dict[str, BaseException] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        coming = {entry.path: pool.submit(_file, kind, repo, commit, entry) for entry in entries}
        for path, future in coming.items():
            try:
                future.result()
            except Unreachable:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            except (HTTPError, OSError, Problem) as error:
                failed[path] = error
    return failed


def _file(kind: str, repo: str, commit: str, entry) -> None:
    """Fetch a file into the Hub's cache."""
    storage, digest = snapshots.storage(kind, repo), entry.lfs.sha256 if entry.lfs else entry.blob_id
    blob, link = storage / "blobs" / digest, storage / "snapshots" / commit / entry.path
    if _is_whole(link, entry.size):
        return
    if not _is_whole(blob, entry.size):
        url = huggingface_hub.hf_hub_url(repo, entry.path, repo_type=kind.removesuffix("s"), revision=commit)
        download(url, blob, entry.size, digest, build_hf_headers())
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(blob, link.parent))


def _is_whole(path: Path, size: int | None) -> bool:
    return path.exists() and size in (None, path.stat().st_size)


def github(repo: str, path: str, asked: str | None = None) -> None:
    """Fetch a file of a GitHub repository at its commit: from the Hub's mirror, where HF_ENDPOINT names one that has it, or from GitHub.

    Raises Unreachable, Problem for other content than the ledger's hash says, or the error of a server that answers.
    """
    target, digest = snapshots.folder("github", repo, asked) / path, snapshots.sha256(repo).get(path)
    if target.exists():
        return
    if digest and not constants.ENDPOINT.startswith("https://huggingface.co"):
        try:
            mirrored = huggingface_hub.hf_hub_url(repo, path, repo_type="dataset")
            return download(mirrored, target, None, digest, build_hf_headers())
        except (HTTPError, OSError, Problem):
            pass  # it need not have it
    download(f"{GITHUB}/{repo}/{snapshots.revision('github', repo, asked)}/{quote(path)}", target, None, digest, {})


# ---------------------------------------------------------------- one file


def download(url: str, target: Path, size: int | None, digest: str | None, headers: dict) -> None:
    """Fetch a file, or what is left of it; `digest` is its sha256 or its id in git.

    Raises Unreachable, Problem for other content than the hash says, or the error of a server that answers.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target.with_name(f"{target.name}.incomplete"), "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # another process may be at it
        if _is_whole(target, size):
            return
        for _ in range(2):  # once more from the beginning, where what was there before is of something else
            patiently(url, lambda: _append(url, file, size, headers), file.tell)
            if digest in (None, _digest(Path(file.name), digest)):
                break
            file.truncate(0)
        else:
            raise Problem(f"{url}: its content has another hash than {digest}; it is not taken")
        os.replace(file.name, target)


def _append(url: str, file, size: int | None, headers: dict) -> None:
    """Ask for the bytes that a file lacks, and add those that come."""
    have = file.seek(0, os.SEEK_END)
    if size is not None and have == size:
        return
    ranged = {"Range": f"bytes={have}-"} if have else {}
    with huggingface_hub.get_session().stream(
        "GET", url, headers=headers | ranged | {"Accept-Encoding": "identity"}, timeout=TIMEOUT
    ) as answer:
        if answer.status_code == 416:  # it has no more: it is whole, or of something else, which its hash tells
            return
        hf_raise_for_status(answer)
        if answer.status_code == 200:  # the whole of it, asked for or not
            file.truncate(0)
        for chunk in answer.iter_bytes():
            file.write(chunk)
    file.flush()
    if size is not None and file.tell() < size:
        raise ConnectionError(f"cut after {file.tell()} of {size} bytes")


def _digest(path: Path, like: str | None) -> str:
    """The hash of a file, of the kind that another is of: sha256, or the id that git gives it."""
    if like and len(like) == 40:
        return hashlib.sha1(b"blob %d\0" % path.stat().st_size + path.read_bytes()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
