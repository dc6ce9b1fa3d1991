"""The loader that reads the Hub, on the mirror's real rows and on small copies with the Hub's columns and traps."""

import io
import json
import tarfile

import pytest
from datasets import ClassLabel, Features, Value

from xtools import sources, tasks
from xtools.problems import Problem
from xtools.sources import Source, revisions

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
    queries, candidates = sources.retrieval(folder(root), tasks.get("tatoeba"), ["de"], None)
    query, candidate = queries["de"][0], candidates["de"][0]
    assert (query["text"], candidate["text"], query["gold"]) == ("Hello.", "Hallo.", [candidate["id"]])


def test_shifted_answer_starts_are_moved_to_the_nearest_occurrence(parquet_root):
    row = {"id": "q", "title": "", "context": "the cat and the cat", "question": "?", "answers": {"text": ["cat"], "answer_start": [17]}}
    root = parquet_root("rajpurkar/squad", "plain_text", {"train": [row]})
    rows = sources.rows(folder(root), tasks.get("squad_v1"), "train", "en")
    assert rows[0]["answers"]["answer_start"] == [16]
    assert rows[0]["id"] == "q"


def test_a_label_outside_its_range_is_told(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [{"premise": "a", "hypothesis": "b", "label": 7}]})
    with pytest.raises(Problem, match=r"nyu-mll/glue \(mnli, train\), row 0, column label: 7 is outside 0..2"):
        sources.rows(folder(root), tasks.get("mnli"), "train", "en")


def test_an_empty_split_is_told(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [nli(-1)]}, NLI)
    with pytest.raises(Problem, match="mnli train en: no rows"):
        sources.rows(folder(root), tasks.get("mnli"), "train", "en")


def test_other_columns_are_told(parquet_root):
    root = parquet_root("nyu-mll/glue", "mnli", {"train": [{"sentence1": "a", "sentence2": "b", "label": 0}]})
    with pytest.raises(Problem, match=r"column premise: is missing \(columns: sentence1, sentence2, label\); .* not the data of mnli"):
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
    with pytest.raises(Problem, match=r"facebook/xnli \(de, validation\): its README.md names no configuration de"):
        sources.rows(folder(root), tasks.get("xnli"), "dev", "de")
    with pytest.raises(Problem, match=r"facebook/xnli \(en, test\): cannot be loaded"):
        sources.rows(folder(root), tasks.get("xnli"), "test", "en")


def test_without_network_the_hub_is_one_line(monkeypatch):
    with pytest.raises(Problem, match=r"nyu-mll/glue \(mnli, train\): not fetched; .*make fetch") as error:
        sources.rows(Source("hub"), tasks.get("mnli"), "train", "en")
    assert "\n" not in str(error.value)


def test_pretraining_text_holds_no_test_row(parquet_root):
    parquet_root("facebook/xnli", "de", {"validation": [nli(0, "dev text")], "test": [nli(0, "test text")]}, NLI)
    root = str(parquet_root("nyu-mll/glue", "mnli", {"train": [nli(0, "train text")]}, NLI))
    found = sources.unlabelled(folder(root), [tasks.get("xnli")], {"xnli": ["de", "fr"]}, 100, 0)
    assert "dev text" in found and "train text" in found and "test text" not in found


def test_revision_changes_with_the_data_alone(parquet_root):
    root = str(parquet_root("nyu-mll/glue", "mnli", {"train": [nli(0)]}, NLI))
    reads = [("mnli", "train", "en")]
    before = revisions.of(folder(root), reads)
    assert before == revisions.of(folder(root), reads)
    parquet_root("nyu-mll/glue", "mnli", {"train": [nli(1)]}, NLI)
    assert revisions.of(folder(root), reads) != before


# ---------------------------------------------------------------- data sets that the mirror lacks, with the Hub's columns and traps


def test_social_iqa_counts_its_labels_from_one_as_text(parquet_root):
    row = {"context": "C. ", "question": "Why?", "answerA": "a", "answerB": "b", "answerC": "c", "label": "3"}
    root = parquet_root("lighteval/siqa", "default", {"train": [row], "validation": [row | {"label": "1"}]})
    rows = sources.rows(folder(root), tasks.get("social_iqa"), "train", "en")
    assert (rows[0]["context"], rows[0]["choices"], rows[0]["label"]) == ("C. Why?", ["a", "b", "c"], 2)
    assert sources.rows(folder(root), tasks.get("social_iqa"), "dev", "en")[0]["label"] == 0


def test_commonsense_qa_hides_its_test_answers_as_empty_keys(parquet_root):
    choices = {"label": list("ABCDE"), "text": list("vwxyz")}
    row = {"id": "q", "question": "Q?", "question_concept": "c", "choices": choices, "answerKey": "D"}
    root = parquet_root("tau/commonsense_qa", "default", {"train": [row, row | {"answerKey": ""}]})
    rows = sources.rows(folder(root), tasks.get("commonsense_qa"), "train", "en")
    assert [(r["label"], r["choices"][r["label"]]) for r in rows] == [(3, "y")]


def test_hidden_labels_of_qqp_and_cosmos_qa_are_dropped(parquet_root):
    row = {"question1": "a", "question2": "b ", "label": 1, "idx": 0}
    root = parquet_root("nyu-mll/glue", "qqp", {"train": [row, row | {"label": -1}]})
    assert [(r["text_b"], r["label"]) for r in sources.rows(folder(root), tasks.get("qqp"), "train", "en")] == [("b", 1)]
    row = {"id": "x", "context": "c", "question": "q", "label": 2} | {f"answer{i}": str(i) for i in range(4)}
    root = parquet_root("Samsoup/cosmos_qa", "default", {"train": [row, row | {"label": -1}]})
    assert [r["label"] for r in sources.rows(folder(root), tasks.get("cosmos_qa"), "train", "en")] == [2]


def test_anli_plus_joins_its_five_parts_and_drops_snlis_rows_without_gold(parquet_root):
    parquet_root("stanfordnlp/snli", "plain_text", {"train": [nli(0), nli(-1)]}, NLI)
    parquet_root("nyu-mll/glue", "mnli", {"train": [nli(1)]}, NLI)
    anli = {f"train_r{r}": [nli(2) | {"uid": "u", "reason": ""}] for r in (1, 2, 3)}
    root = parquet_root("facebook/anli", "plain_text", anli)
    rows = sources.rows(folder(root), tasks.get("anli_plus"), "train", "en")
    assert [r["label"] for r in rows] == [0, 1, 2, 2, 2]
    assert len({r["id"] for r in rows}) == 5
    assert len(sources.rows(folder(root), tasks.get("anli_plus"), "train", "en", 2)) == 2


def test_pawsx_keeps_its_placeholders_as_the_benchmark_does(parquet_root):
    rows = [{"id": i, "sentence1": s, "sentence2": "b", "label": 0} for i, s in enumerate(["a", "NS", ""])]
    root = parquet_root("google-research-datasets/paws-x", "de", {"test": rows})
    assert [r["text_a"] for r in sources.rows(folder(root), tasks.get("pawsx"), "test", "de")] == ["a", "NS", ""]


def test_tatoebas_further_languages_are_told_by_a_column(parquet_root):
    rows = [{"sentence1": f"{lang}\n", "sentence2": f"en {lang}", "lang": f"{lang}-eng"} for lang in ("pol", "aze", "pol")]
    root = parquet_root("mteb/tatoeba-bitext-mining", "default", {"test": rows})
    queries, candidates = (found["pl"] for found in sources.retrieval(folder(root), tasks.get("tatoeba"), ["pl"], None))
    assert [q["text"] for q in queries] == ["en pol"] * 2 and [c["text"] for c in candidates] == ["pol"] * 2
    assert [q["gold"] for q in queries] == [[c["id"]] for c in candidates]


def test_tydiqas_language_is_in_its_ids_and_training_is_english_alone(parquet_root):
    answers = {"text": ["cat"], "answer_start": [1]}
    rows = [{"id": f"{name}-1-0", "title": "", "context": " cat", "question": "?", "answers": answers} for name in ("english", "finnish")]
    root = parquet_root("google-research-datasets/tydiqa", "secondary_task", {"train": rows, "validation": rows})
    assert [r["id"] for r in sources.rows(folder(root), tasks.get("tydiqa"), "train", "en")] == ["english-1-0"]
    assert [r["id"] for r in sources.rows(folder(root), tasks.get("tydiqa"), "test", "fi")] == ["finnish-1-0"]


@pytest.mark.parametrize("titled", [True, False])
def test_tydiqa_is_developed_on_a_tenth_of_the_training_sets_articles(parquet_root, titled):
    """The published development set is the test set; an article is told by its title, or where there is none by its text."""
    rows = [
        {"id": f"english-{i}", "title": f"t{i // 4}" if titled else "", "context": f"cat {i % 2 if titled else i // 4}", "question": "?",
         "answers": {"text": ["cat"], "answer_start": [0]}}
        for i in range(1600)
    ]  # fmt: skip
    root = parquet_root("google-research-datasets/tydiqa", "secondary_task", {"train": rows, "validation": rows[:9]})
    train, dev = (sources.rows(folder(root), tasks.get("tydiqa"), split, "en") for split in ("train", "dev"))
    assert len(train) + len(dev) == 1600 and 0.06 < len(dev) / 1600 < 0.14
    articles = [{int(r["id"].removeprefix("english-")) // 4 for r in found} for found in (train, dev)]
    assert not articles[0] & articles[1], "no article is in both"
    assert sources.rows(folder(root), tasks.get("tydiqa"), "dev", "en") == dev


def mewslix(root):
    """A small copy of the archive with its five files' layout."""
    text = "First one. Ann sleeps here."
    spans = [{"start": 0, "end": 10}, {"start": 11, "end": len(text)}]
    mention = {"example_id": "m1", "mention_span": {"start": 11, "end": 14, "text": "Ann"}, "entity_id": "Q1"}
    context = {"document_title": "", "document_url": "", "document_id": "d", "language": "de", "text": text, "sentence_spans": spans}
    entity = {
        "entity_id": "Q1", "title": "Ann", "description": "Ann is. She was.", "description_language": "uk", "description_url": "",
        "sentence_spans": [{"start": 0, "end": 7}, {"start": 8, "end": 16}],
    }  # fmt: skip
    files = {
        "wikipedia_pairs-train.jsonl": {"contextual_mention": {"context": context, "mention": mention}, "entity": entity},
        "wikinews_mentions-test.jsonl": {"context": context, "mentions": [mention]},
        "candidate_set_entities.jsonl": entity,
    }
    (root / "izhx/mewsli-x").mkdir(parents=True)
    with tarfile.open(root / "izhx/mewsli-x/raw.tar.gz", "w:gz") as archive:
        for name, row in files.items():
            data = (json.dumps(row) + "\n").encode()
            info = tarfile.TarInfo(f"raw/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return folder(root)


def test_mewslix_mentions_entities_and_training_pairs(tmp_path):
    source, task = mewslix(tmp_path), tasks.get("mewslix")
    queries, candidates = sources.retrieval(source, task, ["de"], None)
    assert queries["de"] == [{"id": "m1", "text": "Ann: { Ann } sleeps here.", "gold": ["Q1"]}]
    assert [(c["id"], c["text"]) for c in candidates["de"]] == [("Q1", "Ann is. She was.")]
    pair = sources.rows(source, task, "train", "en")[0]
    assert (pair["text"], pair["positive"]) == ("Ann: { Ann } sleeps here.", "Ann is. She was.")
    with pytest.raises(Problem, match="mewslix test ta: no rows"):
        sources.rows(source, task, "test", "ta")


def test_a_damaged_or_incomplete_archive_is_told(tmp_path):
    source, task = mewslix(tmp_path), tasks.get("mewslix")
    path = tmp_path / "izhx/mewsli-x/raw.tar.gz"
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(Problem, match="damaged or cut short") as error:
        sources.rows(source, task, "candidates", "de")
    assert "\n" not in str(error.value)
    with tarfile.open(path, "w:gz"):
        pass
    with pytest.raises(Problem, match=r"holds no candidate_set_entities.jsonl"):
        sources.rows(source, task, "candidates", "de")


def test_another_number_of_rows_than_published_is_refused_with_both(parquet_root):
    root = str(parquet_root("nyu-mll/glue", "mnli", {"train": [nli(0)], "validation_matched": [nli(0)]}, NLI))
    with pytest.raises(Problem, match=r"nyu-mll/glue \(mnli, train\): 1 rows where the published split has 392,702.*subset: true"):
        sources.rows(Source(root), tasks.get("mnli"), "train", "en")
    found = sources.counts(folder(root), tasks.get("mnli"), ["train", "dev"], [])
    assert [(e["rows"], e["published"]) for e in found] == [(1, 392_702), (1, 9_815)]


def test_translated_rows_come_from_the_hubs_set_or_a_folder(parquet_root, tmp_path):
    root = str(parquet_root("facebook/xnli", "de", {"train": [nli(2, "eins"), nli(0, "zwei")]}, NLI))
    assert [r["text_a"] for r in sources.translated(folder(root), tasks.get("mnli"), "de", 1)] == ["eins"]
    assert [r["text_a"] for r in sources.translated(folder(root), tasks.get("mnli"), "de", None, 1, 2)] == ["zwei"]
    assert sources.translations(folder(root), tasks.get("mnli"), ["de", "fr", "et"]) == ["de"], (
        "the folder has no French, the Hub no Estonian"
    )
    assert sources.translations(Source("hub"), tasks.get("mnli"), ["de", "fr", "et"]) == ["de", "fr"]
    with pytest.raises(Problem, match=r"qqp-mt: no translation into de; put canonical rows into .*/qqp/de.jsonl"):
        next(sources.translated(folder(root), tasks.get("qqp"), "de", 1))
    (tmp_path / "mt/qqp").mkdir(parents=True)
    (tmp_path / "mt/qqp/de.jsonl").write_text(json.dumps({"id": "0", "text_a": "a", "text_b": "b", "label": 1}) + "\n")
    source = folder(root, translations=str(tmp_path / "mt"))
    assert next(sources.translated(source, tasks.get("qqp"), "de", None))["text_b"] == "b"
    assert sources.translations(source, tasks.get("qqp"), ["de", "fr"]) == ["de"]
    (tmp_path / "mt/qqp/de.jsonl").write_text("")
    with pytest.raises(Problem, match="qqp translated into de: no rows"):
        next(sources.translated(source, tasks.get("qqp"), "de", None))


@pytest.mark.parametrize("name", ["lareqa", "mewslix", "tatoeba"])
def test_every_kind_of_file_says_in_one_line_that_it_was_not_fetched(name):
    with pytest.raises(Problem) as error:
        sources.rows(Source("hub"), tasks.get(name), "test", tasks.get(name).languages[0])
    assert "\n" not in str(error.value) and "not fetched" in str(error.value)


# ---------------------------------------------------------------- the mirror's real rows


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
        if rows and task.format in ("span", "tagging"):
            _nothing_is_lost(tasks.format_of(task), rows[:150], task, tokenizer)


def test_mirror_lareqa_pools_every_languages_sentences(mirror):
    queries, candidates = sources.retrieval(folder(mirror), tasks.get("lareqa"), ["en", "de", "zh"], 50)
    pool = {c["id"]: c for c in candidates["de"]}
    assert candidates["de"] is candidates["zh"] and len(pool) == len(candidates["de"])
    assert len(queries["en"]) == 50, "the cap takes queries away, never the candidates that are right"
    assert all(len(q["gold"]) == 3 and set(q["gold"]) <= set(pool) for q in queries["en"])


def test_mirror_bucc_has_distractors_and_its_gold_pairs_are_translations(mirror):
    queries, candidates = sources.retrieval(folder(mirror), tasks.get("bucc2018"), ["zh"], 20)
    assert len(queries["zh"]) > 8000, "mining is not capped"
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
