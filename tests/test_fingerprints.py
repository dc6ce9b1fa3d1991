"""What reruns a cell, and what does not: a table of changes to a copy of the project, each with the cells whose fingerprint it changes.

All changes are tried from one process, which forks for each, so that nothing is imported anew and nothing remembered.
"""

import json
import os
import subprocess
import sys

import pytest
from conftest import Project

pytestmark = pytest.mark.xdist_group("fingerprints")  # one probe serves all

STUDY = """
title: For the table of changes
source: microworld
source_language: qaa
languages: [qaa, qab]
backbones:
  new: {layers: 1, hidden: 32, heads: 2}
  old: {load: "backbones/old-s{seed}"}
seeds: [0, 1]
recipes: [none, mnli, squad_v1, all]
targets: [xnli, xquad, udpos, tatoeba, bucc2018]
pretraining: {documents: 300, vocabulary: 400, epochs: 1, batch_size: 16, max_length: 128, learning_rate: 1e-3}
intermediate: {examples: 20, epochs: 1, batch_size: 8, max_length: 64, learning_rate: 1e-3}
target: {examples: 20, epochs: 1, batch_size: 8, max_length: 64, learning_rate: 1e-3}
evaluation: {dev: 10, test: 10}
timing: {examples: 8, repetitions: 2}
"""
FOLDER_STUDY = """
like: changes
source: $DATA
subset: true
source_language: en
languages: {xnli: [en, de], tatoeba: [de]}
targets: [xnli, tatoeba]
recipes: [none, mnli]
first_tasks: false
"""
PROBE = """
import json, os, sys
from xtools import study, versions
from xtools.run import engine, estimate, fingerprints, plan  # imported once, for all forks

def state(profile):
    loaded = study.load(profile)
    return {cell.name: value for cell, value in fingerprints.fingerprints(loaded).items()}, plan.inputs(profile)

state("changes")  # so that a fork parses what has changed alone
for line in sys.stdin:
    name, profile, edits = json.loads(line)
    before = {path: open(path, "rb").read() if os.path.exists(path) else None for path in edits}
    try:
        for path, (old, new) in edits.items():
            text = (before[path] or b"").decode()
            assert old in text, f"{path} does not hold {old!r}"
            open(path, "w").write(text.replace(old, new, 1))
        read, write = os.pipe()
        if os.fork() == 0:
            versions.parsed.cache_clear()
            fingerprints._code.cache_clear()
            with os.fdopen(write, "w") as answer:
                json.dump(state(profile), answer)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            print(answer.read(), flush=True)
        os.wait()
    finally:
        for path, content in before.items():
            os.remove(path) if content is None else open(path, "wb").write(content)
"""
PARAMS = "params/changes.yaml"
CHANGES = {  # an edit: {file: (old, new)}; the cells that it changes, as a filter; how many they are
    "nothing": ({}, "False", 0),
    # parameters
    "learning rate of one recipe": ({PARAMS: ("64, learning_rate: 1e-3}\ntarget", "64, learning_rate: 1e-3, tasks: {mnli: {learning_rate: 2e-3}}}\ntarget")}, "recipe == 'mnli'", 24),
    "cap of the multi-task recipe": ({PARAMS: ("64, learning_rate: 1e-3}\ntarget", "64, learning_rate: 1e-3, tasks: {all: {cap: 5}}}\ntarget")}, "recipe == 'all'", 24),
    "learning rate of targets": ({PARAMS: ("rate: 1e-3}\nevaluation", "rate: 2e-3}\nevaluation")}, "target in ('xnli', 'xquad', 'udpos')", 48),
    "development rows": ({PARAMS: ("dev: 10", "dev: 11")}, "recipe not in ('', 'none') or target in ('xnli', 'xquad', 'udpos')", 84),
    "test rows": ({PARAMS: ("test: 10", "test: 11")}, "phase == 'target'", 80),
    "timing settings": ({PARAMS: ("examples: 8", "examples: 9")}, "phase == 'timing'", 4),
    "retrieval layer": ({PARAMS: ("\nevaluation", "\nretrieval: {layer: 1}\nevaluation")}, "target in ('tatoeba', 'bucc2018')", 32),
    "pretraining": ({PARAMS: ("documents: 300", "documents: 301")}, "backbone == 'new'", 50),
    "precision": ({PARAMS: ("\nevaluation", "\nprecision: bf16\nevaluation")}, "True", 100),
    "how much of the word embeddings is held": ({PARAMS: ("\nevaluation", "\nvocabulary: whole\nevaluation")}, "False", 0),
    "a seed added": ({PARAMS: ("seeds: [0, 1]", "seeds: [0, 1, 2]")}, "seed == 2 and phase != 'timing'", 48),
    "a target added": ({PARAMS: ("bucc2018]", "bucc2018, panx]")}, "target == 'panx' or phase == 'timing'", 20),
    "an amount added": ({PARAMS: ("squad_v1, all]", "squad_v1, all, mnli@10]")}, "recipe == 'mnli@10'", 24),
    "an intermediate task added": ({PARAMS: ("squad_v1, all]", "squad_v1, all, qqp]")}, "recipe in ('qqp', 'all')", 48),
    "the title": ({PARAMS: ("title: For", "title: Of")}, "False", 0),
    "a comment in the study's file": ({PARAMS: ("\nseeds", " # why\nseeds")}, "False", 0),
    "the lowest layers of a published encoder": ({PARAMS: ("old-s{seed}\"", "old-s{seed}\", layers: 1")}, "backbone == 'old'", 50),
    # code
    "a comment": ({"xtools/training.py": ("import math", "# why not\nimport math")}, "False", 0),
    "a docstring": ({"xtools/training.py": ('"""The one training loop', '"""The training loop')}, "False", 0),
    "a message": ({"xtools/encoder.py": ("a GPU was asked for", "a graphics card was asked for")}, "False", 0),
    "the page's style": ({"xtools/report/page.css": ("1.55rem", "1.6rem")}, "False", 0),
    "the engine": ({"xtools/run/engine.py": ("POLL = 0.2", "POLL = 0.3")}, "False", 0),
    "what a format shows to people": ({"xtools/tasks/mining.py": ("(nothing mined)", "(none)")}, "False", 0),
    "BUCC's neighbours": ({"xtools/tasks/mining.py": ("NEIGHBOURS = 4", "NEIGHBOURS = 5")}, "target == 'bucc2018'", 16),
    "neighbours that retrieval keeps": ({"xtools/tasks/retrieval.py": ("K = 20", "K = 21")}, "target == 'tatoeba'", 16),
    "a task's entry": ({"xtools/tasks/span.py": ('"xquad",\n        "span",\n        "f1_exact"', '"xquad",\n        "span",\n        "f1"')}, "target == 'xquad' or phase == 'timing'", 20),
    "an entry added": ({"xtools/tasks/span.py": ('TASKS = [', 'TASKS = [\n    Task("squad_v3", "span", "f1", "qa", SQUAD),')}, "False", 0),
    "a maker of the microworld": ({"xtools/sources/world_examples.py": ("def pos(rng: random.Random, ", "def pos(rng: object, ")}, "target == 'udpos' or phase == 'timing'", 20),
    "the training loop": ({"xtools/training.py": ("CURVE_POINTS = 40", "CURVE_POINTS = 41")}, "(phase, backbone) != ('timing', 'old')", 98),
    "what timing alone uses": ({"xtools/timing.py": ("WARM_UP = 5", "WARM_UP = 6")}, "phase == 'timing'", 4),
    # notebooks
    "a notebook's prose": ({"notebooks/3_target.py": ("# Scores per language.", "# Scores, language by language.")}, "False", 0),
    "a notebook's code": ({"notebooks/3_target.py": ("metric = model.task.metric", "metric = str(model.task.metric)")}, "phase == 'target'", 80),
    # what the report alone reads
    "claims": ({"params/ledgers/claims.yaml": ("- id: mnli-gains", "- id: mnli-wins")}, "False", 0),
    "published figures": ({"params/ledgers/published.yaml": ("74.50", "74.51")}, "False", 0),
    "languages": ({"params/ledgers/languages.yaml": ("af: 1.3", "af: 1.4")}, "False", 0),
    "kept results": ({"results/new.json": ("", "{}")}, "False", 0),
    # files of an encoder
    "a backbone's file": ({"backbones/old-s0/model.safetensors": ("weights", "other weights")}, "backbone == 'old' and (seed == 0 or phase == 'timing')", 26),
}  # fmt: skip


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """A function that tells the fingerprints and the inputs of a study in the project's copy after some edits, which it takes back."""
    project, data = Project(tmp_path_factory.mktemp("probe") / "project"), tmp_path_factory.mktemp("data")
    (project.folder / PARAMS).write_text(STUDY)
    (project.folder / "params/folder.yaml").write_text(FOLDER_STUDY)
    for seed in (0, 1):
        (project.folder / f"backbones/old-s{seed}").mkdir(parents=True, exist_ok=True)
        (project.folder / f"backbones/old-s{seed}/model.safetensors").write_text(f"weights {seed}")
    (project.folder / "results").mkdir(exist_ok=True)
    for name in ("facebook/xnli/en", "facebook/xnli/de", "google/xtreme/tatoeba.deu", "nyu-mll/glue/mnli"):
        (data / name).mkdir(parents=True)
        for split in ("train", "validation", "validation_matched", "test"):
            (data / name / f"{split}-00000-of-00001.parquet").write_text(name)
    environment = os.environ | {"PYTHONPATH": str(project.folder), "DATA": str(data), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", PROBE], cwd=project.folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def ask(profile="changes", edits=None):
        process.stdin.write(json.dumps([profile, profile, edits or {}]) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the probe failed"
        return json.loads(answer)

    ask.data = data
    yield ask
    process.stdin.close()
    process.wait()


def described(name: str) -> dict:
    """The parts of a cell's name, as the table's filters name them."""
    phase, backbone, *rest = name.split("-")
    seed = int(rest.pop()[1:])
    recipe = rest[0] if rest else ""
    return {"phase": phase, "backbone": backbone, "recipe": recipe, "target": rest[1] if len(rest) > 1 else "", "seed": seed}


def changed(before: dict, after: dict) -> set[str]:
    """Names of the cells that must be run after a change."""
    return {name for name, value in after.items() if before.get(name) != value}


@pytest.fixture(scope="module")
def untouched(probe):
    return probe()


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_reruns_what_hangs_on_it_and_nothing_else(change, probe, untouched):
    edits, which, count = CHANGES[change]
    after, inputs = probe("changes", edits)
    rerun = changed(untouched[0], after)
    assert rerun == {name for name in after if eval(which, described(name))}
    assert len(rerun) == count
    assert (inputs != untouched[1]) == (change not in ("nothing", "a comment in the study's file")), "a finished study looks again"


def test_renaming_a_study_reruns_nothing(probe, untouched):
    assert probe("renamed", {"params/renamed.yaml": ("", STUDY)})[0] == untouched[0]


def test_a_data_file_counts_by_its_content_for_the_cells_that_read_it(probe):
    german = probe.data / "facebook/xnli/de/test-00000-of-00001.parquet"
    before = probe("folder")
    german.write_text(german.read_text())
    os.utime(german, (1, 1))
    assert probe("folder") == before, "equal content is no change, whatever its time stamp"
    rerun = changed(before[0], probe("folder", {str(german): ("xnli", "xnli, changed")})[0])
    assert {described(name)["target"] for name in rerun if "target-" in name} == {"xnli"}
    assert "target-old-none-xnli-s0" in rerun and "intermediate-old-mnli-s0" not in rerun


def test_more_threads_are_other_numbers_and_one_is_what_it_was():
    from xtools import study
    from xtools.run import fingerprints

    cell = study.Cell("smoke", "target", "tiny", "none", "xnli", 0)
    loaded = study.load("smoke")
    one, two = (fingerprints.parameters(loaded.model_copy(update={"threads": n}), cell) for n in (1, 2))
    assert one == fingerprints.parameters(loaded, cell) and two == one | {"threads": 2}
