"""A tokenizer is read once, however many cells and folders have it."""

import shutil

import pytest

from xtools import cells, encoder, study, words
from xtools.study import Cell


@pytest.fixture
def reads(monkeypatch):
    """What is read, in order, from an empty start."""
    asked, read = [], words.AutoTokenizer.from_pretrained
    monkeypatch.setattr(words, "_read", {})
    monkeypatch.setattr(words.AutoTokenizer, "from_pretrained", lambda where, **options: asked.append(where) or read(where, **options))
    return asked


def test_folders_with_the_same_files_share_one(tiny, tmp_path, reads):
    encoder.save(tiny, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first, second = (encoder.load(str(tmp_path / name)) for name in "ab")
    assert first.tokenizer is second.tokenizer and first.model is not second.model and len(reads) == 1
    path = tmp_path / "b" / "tokenizer.json"
    path.write_text(path.read_text().replace('"NFKC"', '"NFC"'))
    assert encoder.load(str(tmp_path / "b")).tokenizer is not first.tokenizer and len(reads) == 2


def test_a_cell_finds_what_was_read_before_it(reads):
    told = study.load("pocket")
    run = cells.Run(told, Cell("pocket", "target", told.first, "none", "xnli"), None)
    run.read_tokenizer()
    assert len(reads) == 1
    run.load_encoder()
    assert len(reads) == 1


def test_a_cell_whose_encoder_is_not_there_yet_reads_none(reads):
    told = study.load("smoke")
    cells.Run(told.model_copy(update={"name": "never"}), Cell("never", "target", told.first, "mnli", "xnli"), None).read_tokenizer()
    assert not words._read, "an encoder that is not there leaves nothing behind"
