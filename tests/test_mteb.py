"""Tatoeba and BUCC as MTEB's results: its scores by hand, its files as its own class reads them, and none where the data is not whole."""

import json

import numpy as np
import pytest

from xtools import records, results, tasks
from xtools.report import mteb
from xtools.study import Cell
from xtools.tasks import mining, retrieval

ROWS = [{"id": str(i), "gold": [str(i)], "text": str(i)} for i in range(3)]


def test_labels_are_scored_as_mteb_scores_them():
    """Of four, two are right; what is found twice has half the precision: (2/3 + 0 + 1 + 0) / 4."""
    found = retrieval.matched(["a", "b", "c", "d"], ["a", "a", "c", "x"])
    assert found == pytest.approx({"mteb precision": 100 * 1.5 / 4, "mteb accuracy": 50, "mteb f1": 100 * (2 / 3 + 1) / 4})


def test_tatoeba_is_searched_from_the_foreign_side_too():
    """Each English sentence finds its counterpart; back, two foreign ones have the same English one nearest."""
    english = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    foreign = np.array([[1, 0.1], [1, 0.3], [0, 1]], np.float32)
    scores = retrieval.retrieve(tasks.get("tatoeba"), ROWS, ROWS, english, foreign, "de").scores
    back = (foreign / np.linalg.norm(foreign, axis=1, keepdims=True)) @ english.T
    nearest = [ROWS[i]["id"] for i in back.argmax(1)]
    assert nearest == ["0", "0", "2"] and scores["mteb accuracy"] == pytest.approx(200 / 3)
    assert scores["mteb f1"] == pytest.approx(100 * (2 / 3 + 0 + 1) / 3)


def test_capped_queries_have_no_score_of_mtebs():
    vectors = np.eye(3, dtype=np.float32)
    assert "mteb f1" not in retrieval.retrieve(tasks.get("tatoeba"), ROWS[:2], ROWS, vectors[:2], vectors, "de").scores
    assert retrieval.retrieve(tasks.get("tatoeba"), ROWS, ROWS, vectors, vectors, "de").scores["mteb f1"] == 100


def test_bucc_is_scored_over_sentences_with_a_counterpart_among_all():
    queries = [row | {"gold": row["gold"] if row["id"] != "2" else []} for row in ROWS]
    x, y = np.eye(3, dtype=np.float32), np.array([[1, 0, 0], [0, 0.5, 1], [0.9, 0.9, 0]], np.float32)
    found = mining.nearest(queries, ROWS, x, y, retrieval.search.CPU)
    assert found["mteb accuracy"] == 50, "the second's nearest is the third candidate, whose pair is no gold one"
    assert mining.nearest([row | {"gold": []} for row in ROWS], ROWS, x, y, retrieval.search.CPU) == {}


# ---------------------------------------------------------------- the files


MEASURED = {"accuracy": 40.0, "mteb precision": 50.0, "mteb accuracy": 60.0, "mteb f1": 54.3210987}


def record(target: str, metrics: dict[str, dict[str, float]], subset=()) -> records.Record:
    """A target's record with metrics by language."""
    main = tasks.get(target).metric
    return records.RECORDS["target"](
        schema_version=records.SCHEMA, study="s", phase="target", backbone="base", recipe="mnli", target=target, seed=1, fingerprint="f",
        read={"google/xtreme": "abc", "mteb/BUCC": "def", "nyu-mll/glue": "ghi"}, times={"seconds": 12.5}, versions={}, commit="c",
        machine={"cpu": "x", "cores": 1, "gpu": None, "python": "3"},
        result=results.Target(
            metric=main, scores={language: results.Score(metrics=own, n=1000) for language, own in metrics.items()}, score=0.0, dev=None,
            gap=None, curve=None, attempts=[], examples=0, precision="fp32", attention="sdpa", subset=list(subset),
        ),
    )  # fmt: skip


def file_of(target: str, *languages: str) -> tuple[str, dict]:
    [(name, text)] = mteb.files(Cell("s", "target", "base", "mnli", target, 1), record(target, dict.fromkeys(languages, MEASURED))).items()
    return name, json.loads(text)


@pytest.mark.parametrize(
    ("target", "language", "task", "subset", "codes", "revision"),
    [
        ("tatoeba", "de", "Tatoeba", "deu-eng", ["deu-Latn", "eng-Latn"], "abc"),
        ("tatoeba", "fa", "Tatoeba", "pes-eng", ["pes-Arab", "eng-Latn"], "abc"),
        ("tatoeba", "uk", "Tatoeba", "ukr-eng", ["ukr-Cyrl", "eng-Latn"], "abc"),
        ("bucc2018", "zh", "BUCC", "zh-en", ["cmn-Hans", "eng-Latn"], "def"),
    ],
)
def test_a_file_is_as_mteb_writes_it(target, language, task, subset, codes, revision):
    name, found = file_of(target, language)
    assert name == f"xtools__base-mnli-s1/no_revision_available/{task}.json"
    assert {*found} == {"dataset_revision", "task_name", "mteb_version", "scores", "evaluation_time", "kg_co2_emissions"}
    assert (found["task_name"], found["dataset_revision"], found["evaluation_time"]) == (task, revision, 12.5)
    own = {"precision": 0.5, "recall": 0.6, "f1": 0.543211, "accuracy": 0.6, "main_score": 0.543211}
    assert found["scores"] == {"test": [own | {"hf_subset": subset, "languages": codes}]}


def test_every_language_of_both_has_a_code_and_its_english_side():
    for target in mteb.NAMES:
        entries = file_of(target, *tasks.get(target).languages)[1]["scores"]["test"]
        assert len({entry["hf_subset"] for entry in entries}) == len(entries) == len(tasks.get(target).languages)
        assert all(len(code) == 8 and code[3] == "-" for entry in entries for code in entry["languages"])


def test_there_is_no_file_of_capped_incomplete_or_made_up_data():
    cell = Cell("s", "target", "base", "mnli", "tatoeba", 1)
    assert mteb.files(cell, record("tatoeba", {"de": {"accuracy": 40.0}})) == {}, "of capped queries nothing of MTEB's was scored"
    assert mteb.files(cell, record("tatoeba", {"qab": MEASURED})) == {}, "no language of MTEB's"
    lacking = results.Subset(task="tatoeba", split="candidates", part="google/xtreme (tatoeba.deu)", rows=9, published=1000)
    assert mteb.files(cell, record("tatoeba", {"de": MEASURED}, [lacking])) == {}
    assert mteb.files(Cell("s", "target", "base", "mnli", "xnli", 1), record("xnli", {"de": MEASURED})) == {}


def test_mtebs_own_class_reads_the_files(tmp_path):
    """Where mteb is installed, which is no dependency of the project."""
    own = pytest.importorskip("mteb.results")
    for target, languages in ((target, tasks.get(target).languages) for target in mteb.NAMES):
        (tmp_path / "result.json").write_text(json.dumps(file_of(target, *languages)[1]))
        found = own.TaskResult.from_disk(tmp_path / "result.json")
        known = found.task.metadata
        assert found.get_score() == pytest.approx(0.543211) and known.type == "BitextMining" and known.main_score == "f1"
        for entry in found.scores["test"]:
            assert known.hf_subsets_to_langscripts[entry["hf_subset"]] == entry["languages"]
