import json

import pytest

from xtools import sources, tasks
from xtools.problems import Problem
from xtools.sources import Source, ccg

LEAVES = "(<T S[dcl] 0 2> (<L NP NNP NNP Ann NP>) (<T S[dcl]\\NP 0 1> (<L S[dcl]\\NP VBZ VBZ sleeps S[dcl]\\NP_1>) ) (<L . . . . .>) )"


def jiant(folder, ids=True, line="Ann sleeps .\tNP S[dcl]\\NP ."):
    for split in ("train", "val", "test"):
        (folder / f"{split}.tsv").write_text(line + "\n")
    if ids:
        (folder / "tags_to_id.json").write_text(json.dumps({".": 2, "NP": 0, "S[dcl]\\NP": 1}))
    return Source("hub", ccg=str(folder))


def test_jiants_layout(tmp_path):
    source = jiant(tmp_path)
    task = sources.complete(source, tasks.get("ccg"))
    assert task.labels == ("NP", "S[dcl]\\NP", "."), "in the order of their ids"
    row = sources.rows(source, task, "train", "en")[0]
    assert row["words"] == ["Ann", "sleeps", "."] and row["tags"] == ["NP", "S[dcl]\\NP", "."]


def test_ccgbanks_own_files_by_section(tmp_path):
    for section, name in (("02", "wsj_0201"), ("00", "wsj_0001"), ("23", "wsj_2301")):
        (tmp_path / section).mkdir()
        (tmp_path / section / f"{name}.auto").write_text(f"ID={name}.1 PARSER=GOLD\n{LEAVES}\n")
    source = Source("hub", ccg=str(tmp_path))
    row = ccg.rows(source, "train")[0]
    assert row["words"] == ["Ann", "sleeps", "."] and row["tags"] == ["NP", "S[dcl]\\NP", "."]
    assert len(ccg.rows(source, "val")) == len(ccg.rows(source, "test")) == 1
    assert set(ccg.labels(source)) == {"NP", "S[dcl]\\NP", "."}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: Source("hub"), "licensed and on no hub; set `ccg:`"),
        (lambda folder: Source("hub", ccg=str(folder / "none")), "no such folder"),
        (lambda folder: jiant(folder, ids=False), "tags_to_id.json: not there"),
        (lambda folder: jiant(folder, line="Ann sleeps\tNP"), "line 1: 2 words but 1 tags"),
        (lambda folder: Source("hub", ccg=str(folder)), "not there; the folder must hold train.tsv"),
    ],
)
def test_what_is_missing_is_told(tmp_path, make, told):
    with pytest.raises(Problem, match=told.replace("(", r"\(")) as error:
        ccg.rows(make(tmp_path), "train")
    assert "\n" not in str(error.value)
