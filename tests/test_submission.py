"""Files in XTREME's layout: written from a study, scored, and scored the same again from hand-made cases."""

import json

import pytest
import test_mteb

from xtools import benchmark, records, study, tasks
from xtools.problems import Problem
from xtools.report import submission
from xtools.tasks import span

QUESTIONS = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": "",
                    "qas": [
                        {"id": i, "answers": a} for i, a in (("a", [{"text": "the cat"}]), ("b", [{"text": "x"}, {"text": "dog run"}]))
                    ],
                }
            ]
        }
    ]
}


def folders(tmp_path, task, predicted: str, gold: str):
    """Both folders of a submission with one task, the same text in every language of XTREME-R or else XTREME."""
    name = "xtreme_r" if task in benchmark.XTREME_R else "xtreme"
    for kind, text in (("predictions", predicted), ("labels", gold)):
        for language in benchmark.BENCHMARKS[name][task]:
            path = tmp_path / kind / submission.file_name(tasks.get(task), language)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return tmp_path / "predictions", tmp_path / "labels", name


@pytest.mark.parametrize(
    ("task", "predicted", "gold", "score"),
    [
        ("xnli", "neutral\ncontradiction\n", "neutral\nentailment\n", 50),
        ("pawsx", "0\n1\n1\n0\n", "0\n1\n1\n1\n", 75),
        ("xcopa", '{"label": 0}\n{"label": 1}\n', '{"label": 0, "premise": "x"}\n{"label": 0}\n', 50),
        ("panx", "B-PER\nI-PER\n\nO\nB-LOC\n", "B-PER\nI-PER\n\nB-LOC\nB-LOC\n", 80),  # 2 right of 2 found and 3 wanted
        ("udpos", "NOUN\nNOUN\nVERB\n", "NOUN\nNOUN\nVERB\n", 100),
        ("tatoeba", "0\n2\n1\n3\n", "0\n1\n2\n3\n", 50),
        ("tatoeba_squad", "0\n2\n1\n3\n", "0\n1\n2\n3\n", 50),  # in folder tatoeba, of XTREME-R's submission
        ("bucc2018", "a\tb\nc\td\n", "a\tb\nc\te\nf\tg\n", 40),  # 1 right of 2 found and 3 wanted
        ("mewslix", '{"m": ["Q1", "Q2"], "n": ["Q3"]}', '{"m": ["Q2"], "n": ["Q3"], "o": ["Q4"]}', 50),  # (1/2 + 1 + 0) / 3
        ("lareqa", '{"q": ["a", "x", "b"]}', '{"q": ["a", "b"]}', 100 * (1 + 2 / 3) / 2),
        ("tydiqa", '{"a": "cat", "b": "dog"}', json.dumps(QUESTIONS), (50 + (100 + 200 / 3) / 2) / 2),
    ],
)
def test_scores_by_hand(tmp_path, task, predicted, gold, score):
    found = submission.score(*folders(tmp_path, task, predicted, gold))
    assert found["tasks"][task]["score"] == pytest.approx(score, abs=1e-9)
    assert found["averages"]["total"] is None, "one task is no benchmark"


def test_a_question_without_prediction_scores_nothing(tmp_path):
    found = submission.score(*folders(tmp_path, "xquad", '{"a": "cat"}', json.dumps(QUESTIONS)))
    assert found["tasks"]["xquad"]["score"] == pytest.approx(50)


def test_mlqa_has_its_own_normal_form_per_language(tmp_path):
    gold = {"data": [{"paragraphs": [{"qas": [{"id": "a", "answers": [{"text": "der Hund"}]}]}]}]}
    found = submission.score(*folders(tmp_path, "mlqa", '{"a": "Hund"}', json.dumps(gold)))["tasks"]["mlqa"]["languages"]
    assert found["de"]["exact"] == 100 and found["en"]["exact"] == 0, "der is an article in German alone"


@pytest.mark.parametrize(
    ("language", "text", "normal"),
    [
        ("zh", "北京，a 市。", "北 京 a 市"),
        ("es", "El niño, los perros!", "niño perros"),
        ("vi", "những con mèo", "con mèo"),
        ("ar", "الكتاب", "كتاب"),
        ("hi", "यह, किताब।", "यह किताब"),
        ("de", "„Die“ Katze", "katze"),
        ("en", "“A” cat’s", "cats"),
    ],
)
def test_mlqa_normal_forms(language, text, normal):
    assert span.normalize_mlqa(text, language) == normal


@pytest.mark.parametrize(
    ("task", "pairs", "text"),
    [
        ("xnli", [["0", 1], ["1", 0]], "neutral\nentailment\n"),
        ("pawsx", [["0", 1], ["1", 0]], "1\n0\n"),
        ("xcopa", [["0", 1]], '{"label": 1}\n'),
        ("panx", [["0", [[0, 1], [2]]], ["1", [[0]]]], "O\nB-PER\n\nI-PER\n\nO\n"),
        ("xquad", [["q", "猫"]], '{\n "q": "猫"\n}\n'),
        ("lareqa", [["q", ["a", "b"]]], '{\n "q": [\n  "a",\n  "b"\n ]\n}\n'),
        ("tatoeba", [["0", ["7", "3"]], ["1", ["8"]], ["2", ["9"]]], "8\n9\n7\n"),  # in the order of their sorted queries
        ("bucc2018", [["foreign-12", ["en-3"]], ["foreign-13", []]], "zh-000000012\ten-000000003\n"),
    ],
)
def test_files_by_hand(task, pairs, text):
    task, queries = tasks.get(task), [{"id": "0", "text": "c"}, {"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
    assert tasks.format_of(task).file_text(pairs, task, "zh", lambda: queries) == text


def test_missing_and_unequal_files_are_told(tmp_path):
    predictions, labels, name = folders(tmp_path, "xnli", "neutral\n", "neutral\nneutral\n")
    with pytest.raises(Problem, match=r"test-ar.tsv: does not fit .*: 1 predictions for 2 examples"):
        submission.score(predictions, labels, name)
    (predictions / "xnli" / "test-sw.tsv").unlink()
    for path in predictions.glob("xnli/*"):
        path.write_text("neutral\nneutral\n")
    with pytest.raises(Problem, match=r"test-sw.tsv: not there"):
        submission.score(predictions, labels, name)
    with pytest.raises(Problem, match="no such folder"):
        submission.score(tmp_path / "none", labels, name)


def test_a_total_needs_every_task_and_has_lareqa_in_it(tmp_path):
    cases = {t: ("neutral\n", "neutral\n") for t in benchmark.XTREME_R}
    cases |= {t: (json.dumps({"a": "the cat", "b": "x"}), json.dumps(QUESTIONS)) for t in ("xquad", "mlqa", "tydiqa")}
    cases |= {
        "xcopa": ('{"label": 1}\n', '{"label": 1}\n'),
        "lareqa": ('{"q": ["x"]}', '{"q": ["a"]}'),
        "mewslix": ('{"q": ["a"]}', '{"q": ["a"]}'),
    }
    for task, (predicted, gold) in cases.items():
        args = folders(tmp_path, task, predicted, gold)
    found = submission.score(*args)
    assert found["tasks"]["lareqa"]["score"] == 0
    assert found["averages"]["total"] == pytest.approx(90)
    assert found["averages"]["retrieval"] == pytest.approx(200 / 3)


def test_a_study_writes_a_submission_that_scores_as_its_records_say(micro):
    project, _ = micro
    done = project.run("submission", "micro")
    assert done.returncode == 0, done.stderr
    folder = project.folder / "runs/micro/submission/xtreme/tiny-mnli-s0"
    record = json.loads((project.folder / "runs/micro/target/target-tiny-mnli-xnli-s0/record.json").read_text())
    predicted = (folder / "xnli/test-qab.tsv").read_text().splitlines()
    assert len(predicted) == 50 and set(predicted) <= {"entailment", "neutral", "contradiction"}
    from xtools import sources
    from xtools.sources import Source

    gold = [tasks.get("xnli").labels[row["label"]] for row in sources.rows(Source("microworld"), tasks.get("xnli"), "test", "qab", 50)]
    assert 100 * sum(p == g for p, g in zip(predicted, gold, strict=True)) / 50 == record["result"]["scores"]["qab"]["metrics"]["accuracy"]
    assert len((folder / "tatoeba/test-qac.tsv").read_text().splitlines()) == 50
    there = {
        name: {path.name for path in (project.folder / f"runs/micro/submission/{name}/tiny-none-s0").iterdir()}
        for name in benchmark.BENCHMARKS
    }
    assert there == {"xtreme": {"xnli", "udpos", "tatoeba"}, "xtreme_r": {"xnli", "udpos"}}, "the raw encoder's Tatoeba is XTREME's"
    tags = (folder / "udpos/test-qaa.tsv").read_text()
    assert tags.count("\n\n") == 49 and set(tags.split()) <= set(tasks.get("udpos").labels)


def test_each_benchmarks_submission_has_its_own_tatoeba(tmp_path, monkeypatch):
    loaded = study.load("smoke").model_copy(update={"targets": ["tatoeba", "tatoeba_squad"], "seeds": [0], "recipes": ["none"]})
    monkeypatch.setattr(study, "ROOT", tmp_path)
    nearest = {"tatoeba": "1", "tatoeba_squad": "2"}
    monkeypatch.setattr(records, "read_predictions", lambda cell: {"qab": [["0", [nearest[cell.target]]]]})
    monkeypatch.setattr(records, "read", lambda cell: test_mteb.record(cell.target, {"de": test_mteb.MEASURED}))
    for cell in loaded.cells():
        cell.folder.mkdir(parents=True)
        cell.record.write_text("{}")
    written = {path.relative_to(tmp_path / "runs/smoke/submission").as_posix(): path.read_text() for path in submission.write(loaded)}
    own = written.pop("mteb/xtools__tiny-none-s0/no_revision_available/Tatoeba.json")
    assert json.loads(own)["scores"]["test"][0]["hf_subset"] == "deu-eng", "MTEB's is the plain encoder's, not that tuned on SQuAD"
    assert written == {f"{name}/tiny-none-s0/tatoeba/test-qab.tsv": f"{found}\n" for name, found in (("xtreme", 1), ("xtreme_r", 2))}


def test_a_study_without_cells_has_nothing_to_submit(project):
    project.write_study("idle", seeds=[7])
    done = project.run("submission", "idle")
    assert done.returncode == 2 and "no target of a benchmark has been scored yet" in done.stderr


def test_the_command_prints_every_task_and_average(tmp_path, project):
    predictions, labels, _ = folders(tmp_path, "xnli", "neutral\n", "neutral\n")
    done = project.run("score", str(predictions), str(labels), "--benchmark", "xtreme_r")
    assert done.returncode == 0 and "xnli" in done.stdout and "100.00" in done.stdout and "a task is missing" in done.stdout
    done = project.run("score", str(tmp_path / "nowhere"), str(labels))
    assert done.returncode == 2 and done.stderr.count("\n") == 1
