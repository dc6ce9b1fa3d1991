"""A copy of the project to try changes in, as a reader makes them: the guides and the tests write there and nowhere else."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from xtools import ROOT
from xtools.disk import whole
from xtools.problems import Problem
from xtools.processes import SAME

COPIED = ("xtools", "notebooks", "params", "profiles", "Snakefile", "pyproject.toml", "requirements.lock")
LINKED = ("backbones", "results")  # which are read alone


class Trial:
    """A copy of the project in a folder of its own, without records, to be removed at the end."""

    def __init__(self, folder: Path | None = None):
        """In a folder that is not there yet; None: in a temporary one."""
        self.folder = folder or Path(tempfile.mkdtemp(prefix="xtools-trial-"))
        copy(self.folder)
        for name in LINKED:
            (self.folder / name).symlink_to(ROOT / name)

    def remove(self) -> None:
        """Remove the copy; what it links to stays."""
        shutil.rmtree(self.folder)

    def write(self, name: str, text: str) -> Path:
        """A file of the copy, made with the folders above it; returns its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            partial.write_text(text)
        return path

    def insert(self, name: str, after: str, text: str) -> None:
        """Text into a file of the copy, after the one line that says `after`. Raises Problem where it is not there, or more than once."""
        lines = (self.folder / name).read_text().splitlines(keepends=True)
        if (times := lines.count(f"{after}\n")) != 1:
            raise Problem(f"{name}: the line {after!r} stands there {times} times; name one that stands there once")
        place = lines.index(f"{after}\n") + 1
        self.write(name, "".join([*lines[:place], text.rstrip("\n") + "\n", *lines[place:]]))

    def run(self, *words: str) -> str:
        """What `python -m xtools WORDS` prints in the copy.

        Raises Problem, with its last line, where it does not end well.
        """
        return self._run("-m", "xtools", *words)

    def python(self, script: str) -> str:
        """What a Python file of the copy prints. Raises Problem as `run`."""
        return self._run(script)

    def _run(self, *words: str) -> str:
        environment = os.environ | SAME | {"PYTHONPATH": str(self.folder)}
        environment.pop("FORCE_COLOR", None)  # a notebook's kernel sets it, and progress would be told as on a terminal
        done = subprocess.run([sys.executable, *words], cwd=self.folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise Problem((done.stderr.strip() or done.stdout.strip() or f"{words}: ended with {done.returncode}").splitlines()[-1])
        return done.stdout.rstrip("\n")


def copy(folder: Path, like: Path = ROOT) -> None:
    """What of the project, or of another copy, a study needs, with what is compiled already, which is found by its time stamp."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (like / name).is_dir():
            shutil.copytree(like / name, folder / name, symlinks=True)
        else:
            shutil.copy2(like / name, folder / name)
