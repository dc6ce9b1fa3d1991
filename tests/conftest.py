import os
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach for the network

import pytest
import torch

from xtools import encoder as encoders
from xtools.sources import world
from xtools.study import Training

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizer():
    documents = world.corpus(0, 4000)
    return encoders.train_tokenizer((text for pair in documents for text in pair), 1600, 64)


@pytest.fixture
def tiny(tokenizer):
    """A new encoder with random weights, fp32."""
    return encoders.create(tokenizer, layers=2, hidden=32, heads=2, max_length=64, seed=0)


@pytest.fixture
def settings():
    return Training(learning_rate=1e-3, epochs=2, batch_size=8, max_length=64)


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


@pytest.fixture
def namespace():
    return SimpleNamespace
