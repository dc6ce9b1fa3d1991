import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for the network
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="xtools-test-cache-")

import pytest
import torch
from filelock import FileLock

from xtools import ROOT, features
from xtools import encoder as encoders
from xtools.run import trial
from xtools.settings import Finetuning
from xtools.sources import world
from xtools.words import train_tokenizer

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Encoded examples of tests stay out of the project's folder."""
    features.FOLDER = tmp_path_factory.mktemp("encoded")


@pytest.fixture(scope="session")
def tokenizer():
    documents = world.corpus(0, 4000)
    return train_tokenizer((text for pair in documents for text in pair), 1600, 64)


@pytest.fixture
def tiny(tokenizer):
    """A new encoder with random weights, fp32."""
    return encoders.create(tokenizer, layers=2, hidden=32, heads=2, max_length=64, seed=0)


@pytest.fixture
def settings():
    return Finetuning(learning_rate=1e-3, epochs=2, batch_size=8, max_length=64)


@pytest.fixture
def mirror():
    folder = os.environ.get("XTOOLS_MIRROR")
    if not folder:
        pytest.skip("XTOOLS_MIRROR names no folder with real rows")
    return folder


@pytest.fixture
def parquet_root(tmp_path):
    """A function that writes splits of a data set in the Hub's layout; returns the root."""
    from datasets import Dataset, Features

    def write(repo: str, config: str, splits: dict[str, list[dict]], features: Features | None = None) -> Path:
        folder = tmp_path / repo
        readme = folder / "README.md"
        lines = readme.read_text().splitlines()[1:-1] if readme.exists() else ["configs:"]
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, rows in splits.items():
            (folder / config).mkdir(parents=True, exist_ok=True)
            Dataset.from_list(rows, features).to_parquet(folder / config / f"{split}-00000-of-00001.parquet")
            lines += [f"  - split: {split}", f"    path: {config}/{split}-*.parquet"]
        readme.write_text("\n".join(["---", *lines, "---"]) + "\n")
        return tmp_path

    return write


class Project:
    """A copy of the project in a folder of its own, and a way to run its commands as a user does."""

    def __init__(self, folder: Path, like: Path = ROOT, fresh: bool = True):
        """A copy of the project, or of another copy with its studies and records; not `fresh`: the one that is there."""
        self.folder = folder
        if fresh:
            trial.copy(folder, like)
        if fresh and like != ROOT:
            shutil.copytree(like / "runs", folder / "runs", symlinks=True)

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """`python -m xtools WORDS` in the copy."""
        env = os.environ | {"PYTHONPATH": str(self.folder)} | environment
        command = [sys.executable, "-m", "xtools", *words]
        return subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=500)

    def write_study(self, name: str, like: str = "smoke", **changes) -> None:
        """params/<name>.yaml: another study with some top-level values changed."""
        import yaml

        from xtools import study

        values = yaml.load((self.folder / "params" / f"{like}.yaml").read_text(), study.Loader) | changes
        (self.folder / "params" / f"{name}.yaml").write_text(yaml.safe_dump(values))

    def records(self, study: str) -> dict[str, Path]:
        return {path.parent.name: path for path in (self.folder / "runs" / study).glob("*/*/record.json")}


@pytest.fixture
def project(tmp_path):
    """A copy of the project without records."""
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def micro(tmp_path_factory):
    """A small study, run to its end once for all workers: (project, what the command printed). It is read, never written."""
    shared = tmp_path_factory.getbasetemp().parent if os.environ.get("PYTEST_XDIST_WORKER") else tmp_path_factory.getbasetemp()
    printed = shared / "micro.txt"
    with FileLock(shared / "micro.lock"):
        project = Project(shared / "micro", fresh=not printed.exists())
        if not printed.exists():
            project.write_study("micro", seeds=[0], recipes=["none", "mnli"], targets=["xnli", "udpos", "tatoeba"])
            done = project.run("study", "micro")
            assert done.returncode == 0, done.stdout + done.stderr
            printed.write_text(done.stdout)
    return project, printed.read_text()


@pytest.fixture
def own_micro(micro, tmp_path):
    """The small study with its records in a folder of its own, to be spoilt."""
    return Project(tmp_path / "project", like=micro[0].folder)
