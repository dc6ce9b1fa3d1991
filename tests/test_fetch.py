"""Fetching a study from a Hub of the tests' own, as it goes well and as it goes wrong, and reading it without a network afterwards."""

import hashlib
import json
import re
import shutil
import socket

import pytest
import yaml
from datasets import ClassLabel, Features, Value
from huggingface_hub import constants
from local_hub import LocalHub

from xtools import ROOT, encoder, snapshots, sources, study, targets, tasks
from xtools.problems import Problem
from xtools.run import download, estimate, fetch, fingerprints, lacking, plan
from xtools.sources import hub as reading
from xtools.words import train_tokenizer

NLI = Features(
    {"premise": Value("string"), "hypothesis": Value("string"), "label": ClassLabel(names=["entailment", "neutral", "contradiction"])}
)
STUDY = """
title: For fetching
source: hub
subset: true
source_language: en
languages: {xnli: [en, de], tydiqa: [en, fi], lareqa: [en]}
backbones: {tiny: {load: ours/tiny}}
seeds: [0]
recipes: [none, mnli-mt]
targets: [xnli]
intermediate: {examples: 4, epochs: 1, batch_size: 4, max_length: 32, learning_rate: 1e-4}
target: {examples: 4, epochs: 1, batch_size: 4, max_length: 32, learning_rate: 1e-4}
timing: {examples: 4, repetitions: 1}
"""
LAREQA = "google-research-datasets/lareqa"
SPLITS = ("train", "validation", "test")  # each with rows of its own: files of the same content are fetched once


def nli(n: int, word: str = "a") -> list[dict]:
    return [{"premise": f"{word} {i}", "hypothesis": "b", "label": i % 3} for i in range(n)]


def squad(language: str) -> dict:
    return {
        "id": f"{language}-1",
        "title": "",
        "context": "the cat sat",
        "question": "who",
        "answers": {"text": ["cat"], "answer_start": [4]},
    }


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The files of a small encoder."""
    from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

    folder = tmp_path_factory.mktemp("checkpoint")
    words = train_tokenizer(["a b c the cat sat who"] * 50, 300, 64)
    words.save_pretrained(folder)
    config = XLMRobertaConfig(vocab_size=400, num_hidden_layers=1, hidden_size=64, num_attention_heads=2, intermediate_size=64)
    XLMRobertaForMaskedLM(config).save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def place(tmp_path, monkeypatch, checkpoint):
    """A project of its own with an empty cache, and a Hub that has all that the study reads."""
    for module in (snapshots, study, fetch, lacking, plan):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(lacking, "SEEN", tmp_path / "runs" / "rows.json")
    (tmp_path / "params" / "ledgers").mkdir(parents=True)
    shutil.copy(ROOT / snapshots.PINS, tmp_path / snapshots.PINS)
    (tmp_path / "params" / "try.yaml").write_text(STUDY)
    local = LocalHub()
    local.data("nyu-mll/glue", "mnli", {"train": nli(9), "validation_matched": nli(6)}, NLI)
    for language in ("en", "de"):
        local.data("facebook/xnli", language, {split: nli(6, f"{language} {split}") for split in SPLITS}, NLI)
    local.files("models", "ours/tiny", **checkpoint)
    connect(monkeypatch, local.endpoint, tmp_path / "home")
    monkeypatch.setattr(download, "PATIENCE", 4)
    monkeypatch.setattr(download, "PAUSE", 0.05)
    yield local
    local.stop()


def connect(monkeypatch, endpoint: str, home) -> None:
    """Let the libraries ask a server, and keep what they get in a folder."""
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HOME", str(home))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(reading.datasets.config, "HF_DATASETS_CACHE", home / "datasets")
    monkeypatch.setattr(download, "GITHUB", endpoint)
    download.REACHED.clear(), download.GIVEN_UP.clear()


@pytest.fixture
def offline(monkeypatch, place):
    """No server any more, and the libraries told so."""

    def cut():
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        place.log.clear()

    return cut


def loaded(**changes):
    """The study, with changed keys."""
    path = study.ROOT / "params" / "try.yaml"
    path.write_text(yaml.safe_dump(yaml.load(STUDY, study.Loader) | changes))
    return study.load("try", study.ROOT / "params")


def run(capsys, newest: bool = True, **changes) -> tuple[int, list[str]]:
    """Fetch; the exit status, and the lines that were printed."""
    status = fetch.run(loaded(**changes), newest)
    return status, capsys.readouterr().out.splitlines()


# ---------------------------------------------------------------- as it goes well


def test_what_was_fetched_is_read_without_network_and_nothing_is_due(place, offline, capsys, caplog):
    status, lines = run(capsys)
    assert status == 0 and lines[-1].startswith("try: all there"), lines
    assert any(line.startswith(f"data facebook/xnli at {place.commit('datasets', 'facebook/xnli')[:7]}: ") for line in lines)
    offline()
    assert [r["text_a"] for r in sources.rows(loaded().data, tasks.get("xnli"), "test", "de", 2)] == ["de test 0", "de test 1"]
    assert encoder.load("ours/tiny").predicts_words and encoder.config_of("ours/tiny").hidden_size == 64
    assert lacking.due(loaded()) == ([], [], []) and estimate.downloads(loaded()) == ["download: nothing"]
    assert lacking.of(loaded(), loaded().cells()) == []
    assert place.log == [] and "latest cached" not in caplog.text


def test_a_second_fetch_asks_for_the_commits_alone(place, capsys):
    run(capsys)
    place.log.clear()
    assert run(capsys)[0] == 0
    assert len(place.log) == 3 and all("/revision/main" in line for line in place.log)


def test_only_the_files_of_the_splits_that_are_read_are_fetched(place, capsys):
    place.data("facebook/xnli", "fr", {"test": nli(3)}, NLI)
    run(capsys, recipes=["none"])
    assert not place.asked("fr/") and not place.asked("xnli/de/train") and place.asked("de/test")


def test_a_subset_is_counted_in_the_splits_that_are_read_alone(place, offline, capsys, tiny):
    question = {"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "c", "label": "1"}
    causes = {"premise": "p", "choice1": "a", "choice2": "b", "question": "cause", "label": 0}
    place.data("lighteval/siqa", "default", {"train": [question] * 4, "validation": [question]})
    place.data("aps/super_glue", "copa", {"train": [causes] * 4, "validation": [causes] * 2})
    place.data("cambridgeltl/xcopa", "et", {"test": [causes] * 2})
    changes = {"targets": ["xcopa"], "recipes": ["none"], "languages": {"xcopa": ["et"]}}
    assert run(capsys, **changes)[0] == 0 and not any("validation" in line for line in place.asked("siqa"))
    offline()
    asked = loaded(**changes)
    model = targets.Model(tiny, tasks.get("xcopa"), asked.target.for_task("xcopa"))
    told = {entry.part for entry in targets.result(model, asked, {"et": {"accuracy": 50.0, "n": 2}}, None, None).subset}
    assert told == {
        "lighteval/siqa (default, train)",
        "aps/super_glue (copa, train)",
        "aps/super_glue (copa, validation)",
        "cambridgeltl/xcopa (et, test)",
    }


def test_a_plan_before_anything_was_fetched_names_what_is_due_and_asks_nobody(place):
    lines = estimate.downloads(loaded(backbones={"base": {"load": "FacebookAI/xlm-roberta-base"}}))
    assert lines[0].startswith("download: encoder FacebookAI/xlm-roberta-base, about 1.11 GB")
    assert "download: 2 data sets (facebook/xnli, nyu-mll/glue)" in lines[1]
    with pytest.raises(Problem, match="ours/tiny: its config is not here; make fetch"):
        estimate.downloads(loaded())
    assert place.log == []


def test_a_json_file_that_no_hub_has_is_held_against_the_ledgers_hash(place, offline, capsys):
    passage = {"paragraphs": [{"context": "A b.", "sentence_breaks": [[0, 4]], "sentences": ["A b."], "qas": [{"id": "q", "question": "a", "answers": [{"text": "A", "answer_start": 0}]}]}]}  # fmt: skip
    content = json.dumps({"data": [passage]}).encode()
    ledger = study.ROOT / snapshots.PINS
    place.repos["github", LAREQA] = {"xquad-r/en.json": content}
    place.data("rajpurkar/squad", "plain_text", {"train": [squad("en")]})
    status, lines = run(capsys, targets=["lareqa"])
    assert status == 1 and any("xquad-r/en.json" in line and "another hash" in line for line in lines), lines
    pinned = yaml.safe_load(ledger.read_text())
    pinned["github"][LAREQA]["sha256"]["xquad-r/en.json"] = hashlib.sha256(content).hexdigest()
    ledger.write_text(yaml.safe_dump(pinned))
    assert run(capsys, targets=["lareqa"])[0] == 0
    offline()
    assert sources.rows(loaded().data, tasks.get("lareqa"), "test", "en")[0]["id"]
    read = fingerprints.read(loaded(targets=["lareqa"]), study.Cell("try", "target", "tiny", "none", "lareqa"))
    assert read[LAREQA] == pinned["github"][LAREQA]["commit"]


def test_articles_of_the_languages_of_a_masked_lm_recipe_are_fetched_and_read_offline(place, offline, capsys):
    changes = {
        "recipes": ["mnli+mlm"],
        "intermediate": yaml.safe_load(STUDY.split("intermediate: ")[1].split("\n")[0]) | {"mlm_examples": 4},
    }
    changes["intermediate"]["learning_rate"] = 1e-4
    articles = [{"text": f"article {i}"} for i in range(3)]
    place.data("wikimedia/wikipedia", "20231101.en", {"train": articles})
    assert any("wikipedia (20231101.de): not among its languages" in line for line in run(capsys, **changes)[1])
    place.data("wikimedia/wikipedia", "20231101.de", {"train": articles})
    place.data("wikimedia/wikipedia", "20231101.fr", {"train": articles})
    assert run(capsys, **changes)[0] == 0 and not place.asked("20231101.fr")
    offline()
    assert sorted(reading.unlabelled(loaded().data, [], {"xnli": ["de"]}, 2, 0)) == ["article 0", "article 1"]
    read = fingerprints.read(loaded(**changes), study.Cell("try", "intermediate", "tiny", "mnli+mlm"))
    assert read["wikimedia/wikipedia"] == place.commit("datasets", "wikimedia/wikipedia")


# ---------------------------------------------------------------- connections


@pytest.mark.parametrize("every", [2, 3, 20])
def test_requests_that_fail_now_and_then_are_made_again(place, capsys, every):
    place.fail_every = every
    status, lines = run(capsys)
    assert status == 0 and lines[-1].startswith("try: all there"), lines
    sizes = {path: len(content) for (kind, _), files in place.repos.items() for path, content in files.items() if kind == "models"}
    assert all(place.sent[path] == size for path, size in sizes.items() if path in place.sent), "no byte twice"


@pytest.mark.parametrize("path", ["model.safetensors", "mnli/train-00000-of-00001.parquet"])
def test_a_server_that_is_stopped_and_started_again_is_waited_for(place, capsys, path):
    place.dies.add(path)
    status, lines = run(capsys)
    assert status == 0 and lines[-1].startswith("try: all there"), lines
    size = next(len(files[path]) for files in place.repos.values() if path in files)
    assert place.sent[path] == size, "it goes on where it stopped"


def test_a_fetch_that_was_broken_off_goes_on_where_it_stopped(place, capsys, monkeypatch):
    place.dies.add("model.safetensors")
    place.away = 2
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    status, lines = run(capsys)
    assert status == 1 and "cannot be reached" in lines[-1] and len(lines) == 1, lines
    while True:  # until it is back
        try:
            socket.create_connection(("127.0.0.1", place.port), 1).close()
            break
        except OSError:
            continue
    assert run(capsys)[0] == 0
    assert place.sent["model.safetensors"] == len(place.repos["models", "ours/tiny"]["model.safetensors"])


def test_without_network_one_line_says_so_at_once(place, capsys, monkeypatch):
    monkeypatch.setattr(download, "FIRST", 0.5)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        connect(monkeypatch, f"http://127.0.0.1:{closed.getsockname()[1]}", study.ROOT / "home")
        status, lines = run(capsys)
    assert status == 1 and len(lines) == 1 and "cannot be reached" in lines[0] and place.log == []


def test_content_of_another_hash_is_not_taken(place, capsys, monkeypatch):
    run(capsys)
    blob = snapshots.folder("models", "ours/tiny") / "config.json"
    blob.resolve().write_bytes(b"{}")
    assert lacking.due(loaded())[0] == ["ours/tiny"], "a file that was cut afterwards is not whole"
    assert run(capsys)[0] == 0 and lacking.due(loaded())[0] == []
    half = blob.resolve().with_name(f"{blob.resolve().name}.incomplete")
    half.write_bytes(b"something else entirely" * 5)
    blob.resolve().unlink()
    assert run(capsys)[0] == 0 and json.loads(blob.read_text())["hidden_size"] == 64, "what was there before is of something else"


# ---------------------------------------------------------------- what cannot be had


@pytest.mark.parametrize(
    ("repo", "answer", "told"),
    [
        ("facebook/xnli", (401, "RepoNotFound"), "none of this name, or it is private"),
        ("facebook/xnli", (404, "RepoNotFound"), "none of this name, or it is private"),
        ("facebook/xnli", (403, "GatedRepo"), "accept its terms on its page and log in"),
        ("ours/tiny", (401, "RepoNotFound"), "none of this name, or it is private"),
    ],
)
def test_what_the_hub_refuses_is_told_in_a_line_and_the_rest_is_fetched(place, capsys, repo, answer, told):
    place.broken[repo] = answer
    status, lines = run(capsys)
    problems = [line for line in lines if told in line]
    assert status == 1 and len(problems) == 1 and repo in problems[0], lines
    assert len(lines) == 2 + 2 and lines[-1].startswith("1 could not be had")


def test_a_server_in_trouble_is_neither_a_wrong_name_nor_a_gate(place, capsys, monkeypatch):
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    place.broken["de/test-00000-of-00001.parquet"] = 503
    lines = run(capsys)[1]
    assert [line for line in lines if "de/test" in line] == [
        "data facebook/xnli: de/test-00000-of-00001.parquet: the server has trouble (503): run again later"
    ], lines
    place.broken = {"facebook/xnli": 503, "nyu-mll/glue": 503, "ours/tiny": 503}
    assert "answers nothing but errors (503)" in run(capsys)[1][-1], "no point in asking for anything else"


def test_a_commit_with_401_in_it_is_no_gate(place, capsys):
    wanted = "4010" * 10
    (study.ROOT / snapshots.PINS).write_text(yaml.safe_dump({"datasets": {"facebook/xnli": wanted}}))
    lines = run(capsys)[1]
    assert [line for line in lines if "facebook/xnli" in line] == [
        "data facebook/xnli: it has no such revision: correct it in params/ledgers/revisions.yaml or where it is given; make fetch takes the newest where none is"
    ]


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda hub: hub.repos["datasets", "facebook/xnli"].pop("de/test-00000-of-00001.parquet"),
            r"facebook/xnli at .* \(de\) has no split test",
        ),
        (
            lambda hub: hub.data("facebook/xnli", "de", {"validation": nli(3), "test": nli(3)}, NLI),
            r"facebook/xnli at .* \(de\) has no split train",
        ),
        (lambda hub: hub.data("facebook/xnli", "de", {"train": nli(3), "test": [nli(1)[0] | {"label": -1}]}, NLI), "xnli test de: no rows"),
        (
            lambda hub: hub.data("facebook/xnli", "de", {"train": nli(3), "test": []}, NLI),
            r"facebook/xnli \(de, test\): no rows; is the split empty",
        ),
        (lambda hub: hub.repos["models", "ours/tiny"].pop("model.safetensors"), "backbone ours/tiny: has no safetensors"),
    ],
)
def test_what_is_not_there_or_empty_is_told_by_name_before_anything_runs(place, capsys, spoil, told):
    spoil(place)
    status, lines = run(capsys)
    assert status == 1 and len([line for line in lines if re.search(told, line)]) == 1, lines
    assert [line for line in lacking.of(loaded(), loaded().cells()) if re.search(told, line)], "and at the start of a study"


def test_a_language_of_which_a_set_of_several_holds_no_row_is_told(place, capsys):
    splits = {"train": [squad("english")] * 20, "validation": [squad("english")]}
    place.data("google-research-datasets/tydiqa", "secondary_task", splits)
    status, lines = run(capsys, targets=["tydiqa"], recipes=["none"])
    assert status == 1 and any("tydiqa test fi: no rows" in line for line in lines), lines


# ---------------------------------------------------------------- pins and identity


def states(loaded) -> dict[str, str]:
    return {cell.name: value for cell, value in fingerprints.fingerprints(loaded).items()}


def changes(place, capsys, change) -> set[str]:
    """The cells whose fingerprint another fetch changes, after something has changed on the server."""
    assert run(capsys)[0] == 0
    before = states(loaded())
    change()
    assert states(loaded()) == before, "the plan knows what was fetched alone"
    assert fetch.run(loaded(), newest=False) == 0 and states(loaded()) == before, "nor does a study go on to newer ones by itself"
    assert run(capsys)[0] == 0
    after = states(loaded())
    return {name for name in after if after[name] != before[name]}


EVERY = {"backbone-tiny-s0", "intermediate-tiny-mnli-mt-s0", "target-tiny-none-xnli-s0", "target-tiny-mnli-mt-xnli-s0", "timing-tiny-r0"}


@pytest.mark.parametrize(
    ("change", "rerun"),
    [
        (lambda hub: hub.data("nyu-mll/glue", "mnli", {"train": nli(9, "new"), "validation_matched": nli(6)}, NLI), EVERY - {"backbone-tiny-s0", "timing-tiny-r0"}),
        (lambda hub: hub.files("models", "ours/tiny", **{"model.safetensors": hub.repos["models", "ours/tiny"]["model.safetensors"] + b" "}), EVERY),
        (lambda hub: hub.files("models", "ours/tiny", **{"config.json": hub.repos["models", "ours/tiny"]["config.json"] + b"\n"}), EVERY),
    ],
)  # fmt: skip
def test_what_changes_on_the_server_reruns_the_cells_that_read_it_after_a_fetch(place, capsys, monkeypatch, change, rerun):
    monkeypatch.setattr(lacking, "_data", lambda *_: [])  # the weights above are not read
    assert changes(place, capsys, lambda: change(place)) == rerun


def test_a_plan_names_what_has_changed_with_both_commits(place, capsys):
    run(capsys)
    cell = next(cell for cell in loaded().cells() if cell.phase == "intermediate")
    cell.record.parent.mkdir(parents=True)
    cell.record.write_text(json.dumps({"read": fingerprints.read(loaded(), cell)}))
    old = place.commit("datasets", "nyu-mll/glue")
    place.data("nyu-mll/glue", "mnli", {"train": nli(9, "new"), "validation_matched": nli(6)}, NLI)
    assert estimate.changed(loaded(), [cell]) == []
    run(capsys)
    new = place.commit("datasets", "nyu-mll/glue")
    assert estimate.changed(loaded(), [cell]) == [f"changed: nyu-mll/glue, read at {old[:7]}, now {new[:7]}: 1 cells run again"]
    assert sources.rows(loaded().data, tasks.get("mnli"), "train", "en", 1)[0]["text_a"] == "new 0"


def test_a_finished_study_looks_again_after_a_fetch_of_another_commit_alone(place, capsys):
    run(capsys)
    before = plan.inputs("try")
    run(capsys)
    assert plan.inputs("try") == before
    place.data("nyu-mll/glue", "mnli", {"train": nli(9, "new"), "validation_matched": nli(6)}, NLI)
    run(capsys)
    assert plan.inputs("try") != before


def test_a_pin_holds_without_network_though_a_newer_commit_was_fetched(place, offline, capsys):
    run(capsys)
    old = place.commit("datasets", "nyu-mll/glue")
    place.data("nyu-mll/glue", "mnli", {"train": nli(9, "new"), "validation_matched": nli(6)}, NLI)
    run(capsys)
    offline()
    (study.ROOT / snapshots.PINS).write_text(yaml.safe_dump({"datasets": {"nyu-mll/glue": old}}))
    assert sources.rows(loaded().data, tasks.get("mnli"), "train", "en", 1)[0]["text_a"] == "a 0"
    assert fingerprints.read(loaded(), loaded().cells()[1])["nyu-mll/glue"] == old


def test_a_cell_reads_what_those_before_it_read(place, capsys):
    run(capsys)
    commits = {repo: place.commit(kind, repo) for kind, repo in place.repos}
    assert fingerprints.read(loaded(), study.Cell("try", "target", "tiny", "mnli-mt", "xnli")) == commits
    assert set(fingerprints.read(loaded(), study.Cell("try", "target", "tiny", "none", "xnli"))) == set(commits)
    assert set(fingerprints.read(loaded(), study.Cell("try", "backbone", "tiny"))) == {"ours/tiny", "facebook/xnli"}
