"""What cannot be trained on or scored is refused in one line, with its data set, row and column; what is read as text alone is not."""

import json

import pyarrow.parquet as pq
import pytest

from xtools import sources, tasks
from xtools.problems import Problem
from xtools.sources import Source, canonical, revisions

NLI = {"premise": "a", "hypothesis": "b", "label": 0}
QQP = {"question1": "a", "question2": "b", "label": 1}
NER = {"tokens": ["a", "b"], "ner_tags": [0, 1]}
POS = {"tokens": ["a", "b"], "upos": [0, 1], "head": ["0", "1"], "deps": [None, None], "mwt": []}
QA = {"id": "q0", "context": "the cat", "question": "?", "answers": {"text": ["cat"], "answer_start": [4]}}
COPA = {"premise": "P.", "choice1": "a", "choice2": "b", "question": "cause", "label": 1}
CSQA = {"id": "q0", "question": "Q?", "choices": {"label": ["A", "B"], "text": ["v", "w"]}, "answerKey": "B"}
PAIR = {"source_sentence": "Hallo.", "target_sentence": "Hello."}
PLACES = {
    "mnli": ("nyu-mll/glue", "mnli", "train", NLI),
    "qqp": ("nyu-mll/glue", "qqp", "train", QQP),
    "panx": ("google/xtreme", "PAN-X.en", "train", NER),
    "udpos": ("commul/universal_dependencies", "en_ewt", "train", POS),
    "squad_v1": ("rajpurkar/squad", "plain_text", "train", QA),
    "lareqa": ("rajpurkar/squad", "plain_text", "train", QA),
    "xcopa": ("aps/super_glue", "copa", "train", COPA),
    "commonsense_qa": ("tau/commonsense_qa", "default", "train", CSQA),
}


def answers(*text, start=0):
    return {"text": [*text], "answer_start": [start] * len(text)}


SPOILT = [  # task, what is wrong in a second row (alone where the type of a column is), its column, why
    ("mnli", {"premise": None}, "premise", "is null"),
    ("mnli", {"hypothesis": None}, "hypothesis", "is null"),
    ("mnli", {"label": None}, "label", "is null"),
    ("mnli", {"label": 3}, "label", "3 is outside 0..2"),
    ("mnli", {"label": -2}, "label", "-2 is outside 0..2"),
    ("mnli", {"label": True}, "label", "True is no whole number"),
    ("mnli", {"label": 1.5}, "label", "1.5 is no whole number"),
    ("mnli", {"label": "1"}, "label", "'1' is no whole number"),
    ("qqp", {"label": None}, "label", "is null"),
    ("qqp", {"label": True}, "label", "True is no whole number"),
    ("qqp", {"label": -2}, "label", "-2 is outside 0..1"),
    ("qqp", {"question2": None}, "question2", "is null"),
    ("panx", {"ner_tags": [0, -1]}, "ner_tags", "-1 is outside 0..6"),
    ("panx", {"ner_tags": [0, 7]}, "ner_tags", "7 is outside 0..6"),
    ("panx", {"ner_tags": [0, None]}, "ner_tags", "holds a null"),
    ("panx", {"ner_tags": None}, "ner_tags", "is null"),
    ("panx", {"ner_tags": [True, False]}, "ner_tags", "True is outside 0..6"),
    ("panx", {"ner_tags": [0]}, "ner_tags", "2 words but 1 tags"),
    ("panx", {"tokens": None}, "tokens", "is null"),
    ("panx", {"tokens": ["a", None]}, "tokens", "place 1 is null"),
    ("udpos", {"upos": [0, -1]}, "upos", "-1 is outside 0..17"),
    ("udpos", {"upos": ["NOUN", "NUON"]}, "upos", "NUON is no label"),
    ("udpos", {"tokens": ["a", None]}, "tokens", "holds a null"),
    ("squad_v1", {"answers": answers()}, "answers", "is empty"),
    ("squad_v1", {"answers": None}, "answers", "is null"),
    ("squad_v1", {"answers": answers("")}, "answers", "an answer is empty"),
    ("squad_v1", {"answers": answers(None)}, "answers", "holds a null"),
    ("squad_v1", {"answers": answers("cat", start=None)}, "answers", "holds a null"),
    ("squad_v1", {"context": None}, "context", "is null"),
    ("squad_v1", {"question": None}, "question", "is null"),
    ("squad_v1", {"id": "q0"}, "id", "'q0' is another row's too"),
    ("squad_v1", {"id": None}, "id", "is null"),
    ("lareqa", {"answers": answers()}, "answers", "is empty or too short"),
    ("xcopa", {"choice2": None}, "choice2", "is null"),
    ("xcopa", {"label": 2}, "label", "2 is outside 0..1"),
    ("commonsense_qa", {"choices": {"label": ["A", "B"], "text": ["v", None]}}, "choices", "holds a null"),
    ("commonsense_qa", {"answerKey": "E"}, "answerKey", "'E' is not in list"),
]  # fmt: skip


def refused(read) -> str:
    """The one line of the Problem that reading raises."""
    with pytest.raises(Problem) as error:
        read()
    assert "\n" not in str(error.value)
    return str(error.value)


def source(root) -> Source:
    return Source(str(root), subset=True)


@pytest.mark.parametrize(("name", "change", "column", "why"), SPOILT, ids=lambda value: str(value)[:40])
def test_what_cannot_be_trained_on_or_scored_is_refused_with_its_row_and_column(parquet_root, name, change, column, why):
    repo, config, split, good = PLACES[name]
    spoilt = ({"id": "q1"} if "id" in good else {}) | change
    key, value = next(iter(change.items()))
    whole = value is not None and not isinstance(value, dict) and not _is_like(good[key], value)
    rows = [good | spoilt] if whole else [good, good | spoilt]
    root = source(parquet_root(repo, config, {split: rows}))
    told = f"{repo} ({config}, {split}), row {len(rows) - 1}, column {column}: {why}"
    for read in (sources.rows, lambda *wanted: [*sources.every(*wanted[:2], "en", None, 0, 1)]):
        assert refused(lambda read=read: read(root, tasks.get(name), split, "en")).startswith(told)
    of_draw = told.replace("row 1", "row 0") if value == "q0" else told  # seed 0 draws the second row first
    assert refused(lambda: sources.rows(root, tasks.get(name), split, "en", 2, 0)).startswith(of_draw)


def _is_like(a, b) -> bool:
    """Whether two values can stand in one column."""
    return type(a) is type(b) and (not isinstance(a, list) or not b or type(a[0]) is type(b[0]))


@pytest.mark.parametrize(("name", "change"), [spoilt[:2] for spoilt in SPOILT if spoilt[2] != "id"], ids=lambda value: str(value)[:40])
def test_a_row_that_is_read_for_its_text_alone_is_told_to_nobody(parquet_root, name, change):
    """Or one target's bad row would fail the backbone's cell, and with it the whole study."""
    repo, config, split, good = PLACES[name]
    root = source(parquet_root(repo, config, {split: [good | change]}))
    (row,) = sources.read(root, tasks.get(name), split, "en") or [{}]
    assert all(isinstance(text, str) for text in sources.texts(row))
    assert all(isinstance(text, str) for text in sources.unlabelled(root, [tasks.get(name)], {name: ["en"]}, 9, 0))


def test_text_is_read_of_a_row_whose_label_cannot_be_scored(parquet_root):
    root = source(parquet_root("nyu-mll/glue", "mnli", {"train": [NLI | {"premise": "its text", "label": 7}, NLI | {"premise": None}]}))
    assert [row["text_a"] for row in sources.read(root, tasks.get("mnli"), "train", "en")] == ["its text"]
    assert {*sources.unlabelled(root, [tasks.get("mnli")], {}, 9, 0)} == {"its text", "b"}


def test_ids_repeat_in_no_part_of_a_set_that_is_searched(parquet_root):
    root = parquet_root("google/xtreme", "tatoeba.deu", {"validation": [PAIR | {"id": "s"}, PAIR | {"id": "s"}]})
    told = refused(lambda: sources.retrieval(source(root), tasks.get("tatoeba"), ["de"], None))
    assert told.startswith("google/xtreme (tatoeba.deu, validation), row 1, column id: 's' is another row's too")
    root = parquet_root("google/xtreme", "tatoeba.deu", {"validation": [PAIR, PAIR | {"source_sentence": None}]})
    told = refused(lambda: sources.retrieval(source(root), tasks.get("tatoeba"), ["de"], None))
    assert told.startswith("google/xtreme (tatoeba.deu, validation), row 1, column source_sentence: is null")


def test_a_question_without_an_answer_is_fine_where_the_task_has_such(parquet_root):
    rows = [QA, QA | {"id": "q1", "answers": answers()}]
    root = source(parquet_root("rajpurkar/squad_v2", "squad_v2", {"train": rows}))
    assert [len(row["answers"]["text"]) for row in sources.rows(root, tasks.get("squad_v2"), "train", "en")] == [1, 0]


# ---------------------------------------------------------------- files


def test_an_empty_split_is_said_to_be_empty(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [NLI]})
    path = root / "nyu-mll/glue/mnli/train-00000-of-00001.parquet"
    for groups in (True, False):
        table = pq.read_table(path).slice(0, 0)
        with pq.ParquetWriter(path, table.schema) as writer:
            writer.write_table(table) if groups else None
        for read in (lambda: sources.rows(source(root), tasks.get("mnli"), "train", "en"),
                     lambda: [*sources.every(source(root), tasks.get("mnli"), "en", None, 0, 1)]):  # fmt: skip
            assert refused(read) == "nyu-mll/glue (mnli, train): no rows; is the split empty or cut short?"


def test_of_several_shards_the_one_that_is_cut_is_named(parquet_root, capfd):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [NLI | {"premise": f"{i} " * 40} for i in range(300)]})
    path = root / "nyu-mll/glue/mnli/train-00000-of-00001.parquet"
    for content in (path.read_bytes()[: path.stat().st_size // 2], b""):
        path.with_name("train-00001-of-00002.parquet").write_bytes(content)
        told = refused(lambda: sources.rows(source(root), tasks.get("mnli"), "train", "en"))
        assert told.startswith("nyu-mll/glue (mnli, train): mnli/train-00001-of-00002.parquet is damaged or cut short (")
    assert capfd.readouterr().err == "", "the library says nothing beside"


HEADER = "---\n%s\n---\n"
FILES = "configs:\n- config_name: mnli\n  data_files:\n  - split: train\n    path: mnli/train-*.parquet\n"
READMES = {
    "not YAML": (HEADER % "configs: [", "its README.md has a header that is not YAML ("),
    "tabs": (HEADER % "\tconfigs: a: b", "its README.md has a header that is not YAML ("),
    "not UTF-8": (b"---\nconfigs: \xff\xfe\n---\n", "its README.md has a header that is not YAML ("),
    "a configuration": (HEADER % FILES.replace("name: mnli", "name: mnil"), "its README.md names no configuration mnli; did you mean mnil?"),
    "none": (HEADER % "license: mit", "its README.md names no configuration mnli, nor any other"),
    "no table": (HEADER % "configs: [a, b]", "its README.md names no configuration mnli, nor any other"),
    "files": (HEADER % FILES.replace("train-", "other-"), "its README.md names mnli/other-*.parquet as split train, and no such file is there"),
    "another split's files": (
        HEADER % f"{FILES}  - split: test\n    path: mnli/test-*.parquet\n",
        "its README.md names mnli/test-*.parquet as split test, and no such file is there",
    ),
    "a column": (
        HEADER % f"dataset_info:\n- config_name: mnli\n  features:\n  - name: other\n    dtype: string\n{FILES}",
        "its README.md names a column other, which mnli/train-00000-of-00001.parquet has not (columns: premise, hypothesis, label)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READMES)
def test_a_readme_that_is_no_yaml_or_names_what_is_not_there_is_told(parquet_root, name, capfd):
    root, (text, why) = parquet_root("nyu-mll/glue", "mnli", {"train": [NLI]}), READMES[name]
    (root / "nyu-mll/glue/README.md").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert revisions.of(source(root), [("mnli", "train", "en")]), "its identity is known all the same"
    told = refused(lambda: sources.rows(source(root), tasks.get("mnli"), "train", "en"))
    assert told.startswith(f"nyu-mll/glue (mnli, train): {why}")


ROW = {"id": "0", "text_a": "a", "text_b": "b", "label": 1}
LINES = {
    "cut": (b'{"id": "1", "text_a"', "row 1: no row of qqp as JSON ("),
    "not UTF-8": (b'{"id": "\xff"}', "row 1: no row of qqp as JSON ("),
    "a list": (b"[1]", "row 1: no row of qqp as JSON ("),
    "a missing label": (json.dumps({"id": "1", "text_a": "a", "text_b": "b"}).encode(), "row 1, column label: is missing"),
    "a boolean": (json.dumps(ROW | {"id": "1", "label": True}).encode(), "row 1, column label: True is no whole number"),
    "a null": (json.dumps(ROW | {"id": "1", "text_b": None}).encode(), "row 1, column text_b: is null"),
    "an id": (json.dumps(ROW).encode(), "row 1, column id: '0' is another row's too"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_translation_that_is_no_row_is_told_with_its_file(tmp_path, name):
    path = tmp_path / "mt/qqp/de.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(json.dumps(ROW).encode() + b"\n" + LINES[name][0] + b"\n")
    own = Source(str(tmp_path), subset=True, translations=str(tmp_path / "mt"))
    told = refused(lambda: [*sources.translated(own, tasks.get("qqp"), "de", None)])
    assert told.startswith(f"{path}, {LINES[name][1]}")


# ---------------------------------------------------------------- what is left out is counted


def test_spans_that_stand_nowhere_are_counted_with_the_rows_that_are_left_out_for_it(parquet_root):
    rows = [QA, QA | {"id": "q1", "answers": answers("dog")}, QA | {"id": "q2", "answers": answers("cat", "dog")}]
    root = source(parquet_root("rajpurkar/squad", "plain_text", {"train": rows, "validation": rows[:1]}))
    assert [row["id"] for row in sources.rows(root, tasks.get("squad_v1"), "train", "en")] == ["q0", "q2"]
    told = sources.lost(root, tasks.get("squad_v1"), ["train", "dev"], [])
    assert told == [{"task": "squad_v1", "split": "train", "part": "rajpurkar/squad (plain_text, train)", "rows": 1, "answers": 2}]
    assert sources.lost(root, tasks.get("mnli"), ["train"], []) == [], "of other tasks no row is read"
    assert sources.lost(Source("microworld"), tasks.get("squad_v1"), ["train"], []) == []


def test_every_task_that_drops_answers_counts_them(parquet_root):
    """An entry that gives answers, or a positive that it looks up by one, says so."""
    missing = QA | {"answers": answers("dog", start=70)}
    for name, task in tasks.registry().items():
        for part in task.all_parts():
            try:
                dropped = part.row(missing) is None and part.row(QA) is not None
            except canonical.MISFIT:
                continue
            assert part.spans == dropped, name


def test_a_subset_names_a_set_whose_rows_it_cannot_leave_out(parquet_root):
    root = source(parquet_root("rajpurkar/squad", "plain_text", {"validation": [QA]}))
    told = {
        entry["part"]: (entry["split"], entry["rows"], entry["published"])
        for entry in sources.counts(root, tasks.get("xquad"), ["dev"], [])
    }
    assert told["google/xquad (xquad.en, validation)"] == ("not in dev", 0, 1_190)
