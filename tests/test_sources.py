"""The loader that reads the Hub, on the mirror's real rows and on small copies with the Hub's columns and traps."""

import pytest
from datasets import ClassLabel, Features, Value

from xtools import sources, tasks
from xtools.problems import Problem
from xtools.sources import Source

NLI = Features(
    {"premise": Value("string"), "hypothesis": Value("string"), "label": ClassLabel(names=["entailment", "neutral", "contradiction"])}
)


def folder(root, **more) -> Source:
    """A source that may hold fewer rows than the published sets."""
    return Source(str(root), subset=True, **more)


def nli(label=0, premise="a "):
    return {"premise": premise, "hypothesis": "b", "label": label}


def test_rows_without_gold_label_are_dropped_and_text_is_stripped(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [nli(0), nli(-1), nli(2)]}, NLI)
    rows = sources.rows(folder(root), tasks.get("mnli"), "train", "en")
    assert [r["label"] for r in rows] == [0, 2]
    assert rows[0]["text_a"] == "a"


def test_the_first_n_rows_are_n_usable_rows(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [nli(-1), nli(1), nli(2), nli(0)]}, NLI)
    assert [r["label"] for r in sources.rows(folder(root), tasks.get("mnli"), "train", "en", 2)] == [1, 2]


def test_hidden_string_labels_of_hellaswag_are_dropped(parquet_root):
    row = {"ind": 0, "ctx": "c ", "endings": ["1", "2", "3", "4"], "label": "3"}
    root = parquet_root("Rowan/hellaswag", "default", {"train": [row, row | {"label": ""}]})
    rows = sources.rows(folder(root), tasks.get("hellaswag"), "train", "en")
    assert [(r["label"], r["context"]) for r in rows] == [(3, "c")]


def test_copa_test_labels_are_hidden_and_its_question_is_spelt_out(parquet_root):
    row = {"premise": "P.", "choice1": "a", "choice2": "b", "question": "cause", "idx": 0, "label": 1}
    root = parquet_root("aps/super_glue", "copa", {"train": [row, row | {"label": -1}]})
    rows = sources.rows(folder(root), tasks.get("xcopa"), "train", "en")
    assert [r["context"] for r in rows] == ["P. What was the cause?"]


def test_trailing_newlines_of_tatoeba_go(parquet_root):
    row = {"source_sentence": "Hallo.\n", "target_sentence": "Hello.\n", "source_lang": "deu", "target_lang": "eng"}
    root = parquet_root("google/xtreme", "tatoeba.deu", {"validation": [row]})
    rows = sources.rows(folder(root), tasks.get("tatoeba"), "test", "de")
    candidates = sources.rows(folder(root), tasks.get("tatoeba"), "candidates", "de")
    assert (rows[0]["text"], candidates[0]["text"], rows[0]["gold"]) == ("Hello.", "Hallo.", [candidates[0]["id"]])


def test_shifted_answer_starts_are_moved_to_the_nearest_occurrence(parquet_root):
    row = {"id": "q", "title": "", "context": "the cat and the cat", "question": "?", "answers": {"text": ["cat"], "answer_start": [17]}}
    root = parquet_root("rajpurkar/squad", "plain_text", {"train": [row]})
    rows = sources.rows(folder(root), tasks.get("squad_v1"), "train", "en")
    assert rows[0]["answers"]["answer_start"] == [16]
    assert rows[0]["id"] == "q"


def test_a_label_outside_its_range_is_told(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [{"premise": "a", "hypothesis": "b", "label": 7}]})
    with pytest.raises(Problem, match=r"mnli train en, row 0: label 7 is outside 0..2"):
        sources.rows(folder(root), tasks.get("mnli"), "train", "en")


def test_an_empty_split_is_told(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [nli(-1)]}, NLI)
    with pytest.raises(Problem, match="mnli train en: no rows"):
        sources.rows(folder(root), tasks.get("mnli"), "train", "en")


def test_other_columns_are_told(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [{"sentence1": "a", "sentence2": "b", "label": 0}]})
    with pytest.raises(Problem, match=r"does not fit mnli: .*columns: sentence1, sentence2, label"):
        sources.rows(folder(root), tasks.get("mnli"), "train", "en")


def test_a_file_cut_in_half_is_told(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [nli(i % 3, "word " * 50) for i in range(500)]}, NLI)
    path = root / "nyu-mll/glue/mnli/train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Problem) as error:
        sources.rows(folder(root), tasks.get("mnli"), "train", "en")
    assert "nyu-mll/glue (mnli, train)" in str(error.value) and "\n" not in str(error.value)


def test_missing_data_set_config_and_split_are_told(parquet_root):
    root = str(parquet_root("facebook/xnli", "en", {"validation": [nli()]}, NLI))
    with pytest.raises(Problem, match=r"nyu-mll/glue .*not in"):
        sources.rows(folder(root), tasks.get("mnli"), "train", "en")
    with pytest.raises(Problem, match=r"facebook/xnli \(de, validation\): cannot be loaded"):
        sources.rows(folder(root), tasks.get("xnli"), "dev", "de")
    with pytest.raises(Problem, match=r"facebook/xnli \(en, test\): cannot be loaded"):
        sources.rows(folder(root), tasks.get("xnli"), "test", "en")


def test_without_network_the_hub_is_one_line(monkeypatch):
    with pytest.raises(Problem, match=r"nyu-mll/glue \(mnli, train\): cannot be loaded") as error:
        sources.rows(Source("hub"), tasks.get("mnli"), "train", "en")
    assert "\n" not in str(error.value)


def test_pretraining_text_holds_no_test_row(parquet_root):
    parquet_root("facebook/xnli", "de", {"validation": [nli(0, "dev text")], "test": [nli(0, "test text")]}, NLI)
    root = str(parquet_root("nyu-mll/glue", "mnli", {"train": [nli(0, "train text")]}, NLI))
    found = sources.unlabelled(folder(root), [tasks.get("xnli")], {"xnli": ["de", "fr"]}, 100, 0)
    assert "dev text" in found and "train text" in found and "test text" not in found


def test_revision_changes_with_the_data_alone(parquet_root):
    root = str(parquet_root("nyu-mll/glue", "mnli", {"train": [nli(0)]}, NLI))
    before = sources.revision(folder(root), [tasks.get("mnli")])
    assert before == sources.revision(folder(root), [tasks.get("mnli")])
    parquet_root("nyu-mll/glue", "mnli", {"train": [nli(1)]}, NLI)
    assert sources.revision(folder(root), [tasks.get("mnli")]) != before


SHARES = {  # what the mirror holds of each task that it holds: splits of the source language, and languages of the test split
    "mnli": "", "anli_plus": "", "qqp": "", "squad_v1": "", "squad_v2": "", "hellaswag": "", "cosmos_qa": "", "commonsense_qa": "", "ccg": "",
    "xnli": "en de hi sw ur", "pawsx": "en de zh", "xcopa": "et ht sw ta", "udpos": "en ar de fi hi mr tl tr yo zh wo", "panx": "en de hi sw yo gu qu",
    "xquad": "en ar de hi ro th zh", "mlqa": "en ar de hi", "tydiqa": "en ko sw", "tatoeba": "ar de hi jv sw", "bucc2018": "zh",
    "lareqa": "ar de en hi zh",
}  # fmt: skip


@pytest.mark.parametrize("name", SHARES)
def test_every_task_reads_the_mirrors_rows_and_loses_nothing(name, mirror, tokenizer):
    source = folder(mirror, ccg=f"{mirror}/ccg")
    task = sources.complete(source, tasks.get(name))
    wanted = [(split, "en") for split in ("train", "dev") if split in task.hub]
    wanted += [(split, lang) for split in ("test", "candidates") if split in task.hub for lang in SHARES[name].split()]
    for split, language in wanted:
        rows = sources.rows(source, task, split, language)
        assert len({row["id"] for row in rows}) == len(rows), "ids tell rows apart"
        if task.format in ("span", "tagging"):
            _nothing_is_lost(tasks.format_of(task), rows[:150], task, tokenizer)


def test_mirror_lareqa_pools_every_languages_sentences(mirror):
    queries, candidates = sources.retrieval(folder(mirror), tasks.get("lareqa"), ["en", "de", "zh"], 50)
    pool = {c["id"]: c for c in candidates["de"]}
    assert candidates["de"] is candidates["zh"] and len(pool) == len(candidates["de"])
    assert all(len(q["gold"]) == 3 and set(q["gold"]) <= set(pool) for q in queries["en"])


def test_mirror_bucc_has_distractors_and_its_gold_pairs_are_translations(mirror):
    queries, candidates = sources.retrieval(folder(mirror), tasks.get("bucc2018"), ["zh"], None)
    paired = [q for q in queries["zh"] if q["gold"]]
    text = {c["id"]: c["text"] for c in candidates["zh"]}
    assert len(paired) < len(queries["zh"]) / 10 and len(paired) < len(text) / 10
    assert "Tunisia" in " ".join(text[i] for q in paired for i in q["gold"]) and any("突尼斯" in q["text"] for q in paired)


def _nothing_is_lost(form, rows, task, tokenizer):
    features = form.encode(rows, tokenizer, task, 128)
    if task.format == "tagging":
        seen = form.assemble(features, [[t for t in f["targets"] if t != form.IGNORE] for f in features], rows)
        assert [[task.labels[t] for t in row] for row in map(form.joined, seen)] == [row["tags"] for row in rows]
    else:
        short = {i for i, r in enumerate(rows) if len(tokenizer(r["answers"]["text"][0], add_special_tokens=False)["input_ids"]) <= 20}
        assert short <= {f["row"] for f in features if f["start"] or f["end"]}
