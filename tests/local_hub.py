"""A Hub of the tests' own: data sets and models that the tests make, served with the few answers that a fetch asks for, and with what may
go wrong on the way."""

import hashlib
import io
import itertools
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from datasets import Dataset

URL = re.compile(
    r"/(?P<api>api/)?((?P<kind>datasets|models)/)?(?P<repo>[^/]+/[^/]+)/(?P<verb>revision|tree|resolve)/(?P<commit>[^/?]+)/?(?P<path>.*)"
)
GITHUB = re.compile(r"/(?P<repo>[^/]+/[^/]+)/(?P<commit>[0-9a-f]{40})/(?P<path>.+)")


class LocalHub:
    """Repositories as {(kind, name): {path: content}}; a commit is a hash of a repository's content, and what it was before is gone.

    `fail_every`: of so many requests for a file one fails, with status 503 or cut in the middle in turn. `broken`: a status for each path or
    repository that always fails. `dies`: paths in the middle of which the server stops once, to be started again after `away` seconds.
    """

    def __init__(self):
        self.repos, self.log, self.sent = {}, [], {}
        self.fail_every, self.broken, self.dies, self.away = 0, {}, set(), 0.5
        self.turns, self.port, self.server, self.is_up = itertools.count(1), 0, None, True
        self.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        handler = type("Handler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.is_up = True

    def stop(self) -> None:
        self.is_up = False  # for connections that are open
        self.server.shutdown()
        self.server.server_close()

    def restart(self) -> None:
        self.stop()
        time.sleep(self.away)
        self.start()

    def files(self, kind: str, repo: str, **content: bytes) -> None:
        self.repos.setdefault((kind, repo), {}).update(content)

    def data(self, repo: str, config: str, splits: dict[str, list[dict]], features=None) -> None:
        """Add or replace a configuration of a data set."""
        files = self.repos.setdefault(("datasets", repo), {})
        described = json.loads(files.get("configs.json", b"{}")) | {config: [*splits]}
        for split, rows in splits.items():
            written = io.BytesIO()
            (Dataset.from_list(rows, features) if rows else Dataset.from_dict({name: [] for name in features}, features)).to_parquet(
                written
            )
            files[f"{config}/{split}-00000-of-00001.parquet"] = written.getvalue()
        files["configs.json"] = json.dumps(described).encode()
        lines = ["---", "configs:"]
        for name, parts in described.items():
            lines += [f"- config_name: {name}", "  data_files:"]
            lines += [line for split in parts for line in (f"  - split: {split}", f"    path: {name}/{split}-*.parquet")]
        files["README.md"] = "\n".join([*lines, "---", ""]).encode()

    def commit(self, kind: str, repo: str) -> str:
        parts = [f"{path} {hashlib.sha1(content).hexdigest()}" for path, content in sorted(self.repos[kind, repo].items())]
        return hashlib.sha1("\n".join(parts).encode()).hexdigest()

    def asked(self, word: str = "") -> list[str]:
        """The requests so far that hold a word."""
        return [line for line in self.log if word in line]


class Handler(BaseHTTPRequestHandler):
    protocol_version, hub = "HTTP/1.1", None

    def log_message(self, *words):
        pass

    def do_GET(self):
        if not self.hub.is_up:
            self.close_connection = True
            return
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append(f"{self.command} {path}")
        try:
            self.answer(path)
        except (ConnectionError, ValueError):
            self.close_connection = True

    do_HEAD = do_GET

    def answer(self, path: str) -> None:
        asked = URL.fullmatch(path)
        if asked is None:
            found = GITHUB.fullmatch(path)
            files = self.hub.repos.get(("github", found["repo"]), {}) if found else {}
            return self.file(found["path"], files, "0" * 40) if found and found["path"] in files else self.fail(404)
        kind, repo = asked["kind"] or "models", asked["repo"]
        files = self.hub.repos.get((kind, repo))
        if code := self.hub.broken.get(repo):
            return self.fail(*(code if isinstance(code, tuple) else (code, "")))
        if files is None:
            return self.fail(401, "RepoNotFound")
        commit = self.hub.commit(kind, repo)
        if asked["commit"] not in ("main", commit):
            return self.fail(404, "RevisionNotFound")
        if asked["verb"] == "revision":
            return self.json(
                {"_id": "0", "id": repo, "sha": commit, "siblings": [], "tags": [], "private": False, "downloads": 0, "likes": 0}
            )
        if asked["verb"] == "tree":
            return self.json([self.entry(name, content) for name, content in files.items()])
        if asked["path"] not in files:
            return self.fail(404, "EntryNotFound")
        return self.file(asked["path"], files, commit)

    def entry(self, name: str, content: bytes) -> dict:
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        large = {"lfs": {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}}
        return {"type": "file", "path": name, "size": len(content), "oid": blob} | (
            large if name.endswith(("parquet", "safetensors")) else {}
        )

    def file(self, path: str, files: dict[str, bytes], commit: str) -> None:
        failing = self.hub.fail_every and next(self.hub.turns) % self.hub.fail_every == 0
        if code := self.hub.broken.get(path):
            return self.fail(code)
        if failing and len(self.hub.asked()) % 2:
            return self.fail(503)
        content = files[path]
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if "Range" in self.headers else 0
        if start >= len(content) > 0:
            return self.fail(416)
        self.send_response(206 if start else 200)
        for name, value in {"Content-Length": len(content) - start, "X-Repo-Commit": commit, "ETag": '"0"'}.items():
            self.send_header(name, str(value))
        self.end_headers()
        dying = path in self.hub.dies
        part = content[start:][: (len(content) - start) // 2] if failing or dying else content[start:]
        self.wfile.write(part)
        self.hub.sent[path] = self.hub.sent.get(path, 0) + len(part)
        self.close_connection |= bool(failing or dying)
        if dying:
            self.hub.dies.discard(path)
            self.hub.is_up = False
            threading.Thread(target=self.hub.restart).start()

    def json(self, value, status: int = 200, **headers: str) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def fail(self, status: int, code: str = "") -> None:
        self.json({"error": "no"}, status, **({"X-Error-Code": code} if code else {}))
