"""Bad parameter files: one line that names file and key or line, status 2, within two seconds, nothing written."""

import os
import resource
import string
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xtools import ROOT, parameters, study
from xtools.problems import Problem

SMOKE = (ROOT / "params" / "smoke.yaml").read_text()
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
EACH = "{xnli: [qaa], xquad: [qaa], xcopa: [qaa], udpos: [qaa], panx: [qaa], tatoeba: [qaa, qab]}"


def smoke(old: str, new: str) -> str:
    """params/smoke.yaml with a piece of its text replaced."""
    assert SMOKE.count(old) == 1, old
    return SMOKE.replace(old, new)


def backbone(text: str) -> str:
    return smoke("tiny: {layers: 1, hidden: 32, heads: 2}", text)


def languages(text: str) -> str:
    return smoke("languages: [qaa, qab, qac]", f"languages: {text}")


def title(text: str) -> str:
    return smoke("title: Smoke test of the whole pipeline", f"title: {text}")


def target(text: str) -> str:
    return smoke("target: {examples: 100, epochs: 1", f"target: {{{text}")


BAD = {
    "unknown key inside a backbone": (backbone("tiny: {layers: 1, hidden: 32, heads: 2, hiden: 3}"), "backbones.tiny.hiden: unknown key"),
    "unknown key, backbone called as a key": (
        backbone("load: {layers: 1, hiden: 3}"),
        "backbones.load.hiden: unknown key; did you mean hi",
    ),
    "unknown key deep inside": (backbone("tiny: {load: a/b, retrieval: {layr: 3}}"), "backbones.tiny.retrieval.layr: unknown key; did you"),
    "key name": (SMOKE + "name: other\n", "name: unknown key"),
    "key name inside": (backbone("tiny: {load: a/b, name: x}"), "backbones.tiny.name: unknown key"),
    "key 5": (SMOKE + "5: x\n", "line 27: 5: a key must be text"),
    "key ~": (SMOKE + "~: x\n", "line 27: ~: a key must be text"),
    "key 5 inside": (target("tasks: {xnli: {5: 1}}, epochs: 1"), "line 24: 5: a key must be text"),
    "key that is a list": (SMOKE + "? [a, b]\n: 1\n", "line 27: a list or mapping: a key must be text"),
    "not UTF-8": (SMOKE.encode().replace(b"Smoke", b"Sm\xf6ke"), "line 2: not text in UTF-8"),
    "UTF-16": (SMOKE.encode("utf-16"), "line 1: not text in UTF-8"),
    "UTF-16 without a mark": (SMOKE.encode("utf-16-le"), "line 1: not valid YAML (a control character (#x0000)"),
    "10 MB of comment": ("# xx\n" * 2_000_000 + SMOKE, "larger than 100,000 bytes"),
    "10 MB of text": (title("x" * 10_000_000), "larger than 100,000 bytes"),
    "many values": (SMOKE + f"x: [{'1,' * 35_000}]\n", "more than 10,000 values"),
    "much text": (title("x" * 90_000), "line 2: xxxxxxxxxxxxxxxxxxxx...: longer than 1,000 characters"),
    "much comment": (SMOKE + "# x\n" * 22_000 + "x: 1\n", "x: unknown key"),
    "lists in lists": (SMOKE + f"x: {'[' * 5_000}{']' * 5_000}\n", "line 27: more than 10,000 values, or more than 20 within each other"),
    "mappings in mappings": (SMOKE + f"x: {'{a: ' * 5_000}{'}' * 5_000}\n", "line 27: more than 10,000 values, or more than 20"),
    "alias bomb": (BOMB + title("*i"), "line 2: *a: aliases are not followed"),
    "recursive list": (SMOKE + "x: &x [*x]\n", "line 27: *x: aliases are not followed"),
    "recursive mapping": (target("tasks: &t {xnli: *t}, epochs: 1"), "line 24: *t: aliases are not followed"),
    "NUL": (title("a\0b"), "line 2: not valid YAML (a control character (#x0000)"),
    "written NUL": (smoke("source: microworld", 'source: "a\\0b"'), "line 3: a line break or control character ('\\x00') in a value"),
    "control character": (title("a\x07b"), "line 2: not valid YAML (a control character (#x0007)"),
    "terminal's escape": (title('"\\e[31mred"'), "line 2: a line break or control character ('\\x1b')"),
    "line break": (SMOKE + '"a\\nb": 1\n', "line 27: a line break or control character ('\\n')"),
    "half a character": (title('"\\ud800"'), "line 2: a line break or control character ('\\ud800')"),
    "load with {sed}": (backbone('tiny: {load: "{sed}"}'), "backbones.tiny.load: {sed}: of what stands in braces, {seed} alone"),
    "load with {": (backbone('tiny: {load: "{"}'), "backbones.tiny.load: {: of what stands in braces"),
    "load with {0}": (backbone('tiny: {load: "{0}"}'), "backbones.tiny.load: {0}: of what stands in braces"),
    "load with a width": (backbone('tiny: {load: "{seed:>99999999}"}'), "backbones.tiny.load: {seed:>99999999}: of what stands"),
    "long folder": (SMOKE + f"ccg: {'a' * 300}\n", "ccg: 'aaaa"),
    "long load": (backbone(f"tiny: {{load: {'a' * 300}}}"), "backbones.tiny.load: 'aaaa"),
    "empty load": (backbone("tiny: {load: ''}"), "backbones.tiny.load: '' is not valid"),
    "no languages": (languages("[]"), "languages: [] is not valid: list should have at least 1 item"),
    "no target's languages": (languages("{}"), "languages: xnli has none"),
    "target without languages": (languages("{xnli: [qaa, qab]}"), "languages: xquad has none; name those that it is scored in"),
    "target with empty languages": (languages(EACH.replace("xquad: [qaa]", "xquad: []")), "languages.xquad: [] is not valid"),
    "target that a benchmark has not": (
        languages("xtreme").replace("source: microworld", "source: hub").replace("qaa", "en"),
        "languages: xcopa has none",
    ),
    "tatoeba in the source language alone": (languages("[qaa]"), "languages: tatoeba pairs qaa with another language"),
    "title of markup that is a list": (title("[[/b]]"), "title: [['/b']] is not valid"),
    "infinite weight decay": (target("weight_decay: .inf, epochs: 1"), "target.weight_decay: inf is not valid: input should be a finite"),
    "infinite by size": (target("weight_decay: 1e999, epochs: 1"), "target.weight_decay: inf is not valid"),
    "infinite in an exception": (target("tasks: {xnli: {clip: .inf}}, epochs: 1, examples: 9"), "target.tasks.xnli.clip: inf is not valid"),
    "no number": (target("clip: .nan, epochs: 1"), "target.clip: nan is not valid"),
    "billion repetitions": (smoke("repetitions: 2", "repetitions: 1000000000"), "timing.repetitions: 1000000000 is not valid"),
    "negative repetitions": (smoke("repetitions: 2", "repetitions: -2"), "timing.repetitions: -2 is not valid"),
    "hidden of 1e20": (backbone("tiny: {layers: 1, hidden: 1e20, heads: 2}"), "backbones.tiny.hidden: 1e+20 is not valid"),
    "hidden of 10^20": (
        backbone(f"tiny: {{layers: 1, hidden: {10**20}, heads: 2}}"),
        "backbones.tiny.hidden: 100000000000000000000 is not",
    ),
    "billion documents": (smoke("documents: 3000", "documents: 1000000000"), "pretraining.documents: 1000000000 is not valid"),
    "billion epochs": (target("epochs: 1000000000"), "target.epochs: 1000000000 is not valid"),
    "billion examples in a recipe": (smoke("hellaswag", "hellaswag@1000000000"), "recipes: hellaswag@1000000000 is not of the form"),
    "seed of 5,000 digits": (smoke("seeds: [0, 1]", f"seeds: [{'9' * 5_000}]"), "line 9: 99999999999999999999...: longer than 1,000"),
    "seed of 20 digits": (smoke("seeds: [0, 1]", f"seeds: [{10**20}]"), "seeds.0: 100000000000000000000 is not valid"),
    "timing without end": (smoke("repetitions: 2", "repetitions: 2, seconds: .inf"), "timing.seconds: inf is not valid"),
    "device cdua": (SMOKE + "device: cdua\n", "device: cdua is unknown; did you mean cuda?"),
    "no such source language": (smoke("source_language: qaa", "source_language: qaz"), "source_language: qaz is unknown"),
    "source language of no target": (smoke("source_language: qaa", "source_language: qag"), "source_language: qag is not among"),
    "repeated key": (SMOKE + "seeds: [3]\n", "line 27: seeds: the key stands twice"),
    "repeated key inside": (backbone("tiny: {layers: 1, hidden: 32, heads: 2, layers: 2}"), "line 8: layers: the key stands twice"),
    "repeated backbone": (backbone("tiny: {load: a/b}\n  tiny: {load: c/d}"), "line 9: tiny: the key stands twice"),
    "repeated language": (languages("[qaa, qab, qab]"), "languages: qab stands twice"),
    "repeated language of a target": (languages(EACH.replace("xnli: [qaa]", "xnli: [qaa, qaa]")), "languages.xnli: qaa stands twice"),
    "octal number": (target("epochs: 010"), "target.epochs: '010' is not valid: input should be a valid integer, in decimal digits"),
    "octal number with an o": (target("epochs: 0o10"), "target.epochs: '0o10' is not valid"),
    "octal seed": (smoke("seeds: [0, 1]", "seeds: [0, 010]"), "seeds.1: '010' is not valid"),
    "sexagesimal number": (target("epochs: 1:30"), "target.epochs: '1:30' is not valid"),
    "sexagesimal fraction": (target("epochs: 1, clip: 1:30.5"), "target.clip: '1:30.5' is not valid: input should be a valid number, in"),
    "hexadecimal number": (target("epochs: 0x10"), "target.epochs: '0x10' is not valid"),
    "misspelt target under languages": (languages(EACH.replace("xnli", "xnil")), "languages: xnil is unknown; did you mean xnli?"),
    "command in a backbone's name": (backbone("$(touch x): {load: a/b}"), "backbones.$(touch x): not a name; take up to 60 letters"),
    "folder in a backbone's name": (backbone("../x: {load: a/b}"), "backbones.../x: not a name"),
    "long backbone's name": (backbone(f"{'a' * 61}: {{load: a/b}}"), "a: not a name"),
    "tag that makes an object": (
        title("!!python/object/apply:os.system [ls]"),
        "line 2: tag:yaml.org,2002:python/object/apply:os.system: tags",
    ),
    "tag of a number that is none": (target("epochs: !!int x"), "line 24: tag:yaml.org,2002:int: tags are not read"),
    "two documents": (SMOKE + "---\nx: 1\n", "line 27: not valid YAML"),
    "like another folder's": ("like: ../smoke\n", "like: ../smoke: no such study"),
}


def problem(profile: str, folder) -> str:
    """The line that loading a study ends with, within two seconds of work."""
    begun = time.process_time()
    with pytest.raises(Problem) as error:
        study.load(profile, folder)
    assert time.process_time() - begun < 2
    assert "\n" not in str(error.value) and len(str(error.value)) < 1_000
    return str(error.value)


@pytest.fixture(autouse=True, scope="module")
def imported():
    study.tasks.registry()  # torch, whose import is not what is timed


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_one_line_that_says_where(tmp_path, case):
    content, told = BAD[case]
    (tmp_path / "bad.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    found = problem("bad", tmp_path)
    assert "bad.yaml" in found and told in found
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def unreadable(folder) -> None:
    """Files that no study can be, beside those that are."""
    (folder / "folder.yaml").mkdir()
    os.mkfifo(folder / "pipe.yaml")
    (folder / "endless.yaml").symlink_to("/dev/zero")
    (folder / "nowhere.yaml").symlink_to("gone")
    (folder / "bytes.yaml").write_bytes(b"\xff\0")
    (folder / "bomb.yaml").write_text(BOMB)
    (folder / "two\nlines.yaml").write_text(SMOKE)


@pytest.mark.parametrize(
    ("profile", "told"),
    [
        ("folder", "folder.yaml: not a file"),
        ("pipe", "pipe.yaml: not a file"),
        ("endless", "endless.yaml: not a file"),
        ("nowhere", "nowhere.yaml: no such study"),
        ("god", "god.yaml: no such study; did you mean good?"),
        ("", "'': not a name"),
        ("a" * 300, "a...: not a name; take up to 60 letters"),
        ("a" * 60, "aaaa.yaml: no such study"),
        ("../good", "'../good': not a name"),
        ("$(touch x)", "'$(touch x)': not a name"),
        ("two\nlines", r"'two\nlines': not a name"),
        ("a\0b", r"'a\x00b': not a name"),
        ("cells", "'cells': a folder of runs/ already"),
    ],
)
def test_what_is_no_studys_file_is_one_line(tmp_path, profile, told):
    unreadable(tmp_path)
    (tmp_path / "good.yaml").write_text(SMOKE)
    (tmp_path / "cells.yaml").write_text(SMOKE)
    assert told in problem(profile, tmp_path)


def test_a_broken_neighbour_breaks_no_study(tmp_path):
    unreadable(tmp_path)
    (tmp_path / "good.yaml").write_text(SMOKE)
    (tmp_path / "part.yaml").write_text("like: good\nseeds: [7]\n")
    (tmp_path / "lost.yaml").write_text("like: bytes\n")
    assert study.load("good", tmp_path).recipes == study.load("smoke").recipes
    assert study.load("part", tmp_path).seeds == [7]
    assert "bytes.yaml, line 1: not text in UTF-8" in problem("lost", tmp_path)


@pytest.mark.parametrize(
    "content",
    ["\ufeff" + SMOKE, SMOKE.replace("\n", "\r\n"), title("'010 [/b] :heart: é 中 \U0001f600'"), title("2001-99-99"), title("1:30")],
)
def test_what_is_odd_and_right_is_read(tmp_path, content):
    (tmp_path / "odd.yaml").write_bytes(content.encode())
    assert study.load("odd", tmp_path).targets == study.load("smoke").targets


def test_numbers_are_those_of_people():
    text = "[0, -3, +7, 1.5, 5e-4, 2E3, 010, 0o10, 0x10, 1_000, 1:30, 1:30.5, no, true, ~, 2001-01-01, .5, 1.]"
    values = [0, -3, 7, 1.5, 5e-4, 2e3, "010", "0o10", "0x10", "1_000", "1:30", "1:30.5", "no", True, None, "2001-01-01", 0.5, 1.0]
    assert yaml.load(text, parameters.Loader) == values
    assert yaml.load(yaml.dump(values, Dumper=parameters.Dumper), parameters.Loader) == values


@pytest.mark.parametrize("command", ["plan", "study"])
def test_a_command_ends_with_one_line_and_status_2_and_writes_nothing(project, command):
    params = project.folder / "params"
    (params / "bad.yaml").write_text(backbone("$(touch x): {load: a/b}"))
    unreadable(params)
    before = sorted(path for path in project.folder.rglob("*") if "__pycache__" not in path.parts)
    for profile in ("bad", "bytes", "$(touch x)"):
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = project.run(command, profile)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime < 2
    assert sorted(path for path in project.folder.rglob("*") if "__pycache__" not in path.parts) == before


# ---------------------------------------------------------------- any file at all

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**25), 10**25),
    st.floats(),
    st.dates(),
    st.text(max_size=20),
    st.text(string.punctuation + "aeinsx01", max_size=8),
    st.sampled_from(["microworld", "hub", "$NOWHERE", "/", "qaa", "xnli", "mnli@5", "all", "{seed}", "010", "x" * 300]),
    st.lists(st.integers(0, 3) | st.text(max_size=4), max_size=4),
    st.dictionaries(st.text(max_size=6) | st.integers(0, 5) | st.none(), st.integers(0, 3) | st.text(max_size=4), max_size=3),
)


def places(values, above=()) -> list[tuple]:
    """Every place of a value within mappings and lists, as the keys that lead there."""
    inside = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    return [place for key, value in inside for place in [(*above, key), *places(value, (*above, key))]]


@st.composite
def spoilt(draw) -> dict:
    """A shipped study with one to three values dropped, replaced or added."""
    values = yaml.load((ROOT / "params" / f"{draw(st.sampled_from(['smoke', 'laptop', 'pocket']))}.yaml").read_text(), parameters.Loader)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(places(values)))
        inside = values
        for key in path:
            inside = inside[key]
        change = draw(st.sampled_from(["drop", "replace", "add"]))
        if change == "drop":
            del inside[last]
        elif change == "replace" or isinstance(inside, list):
            inside[last] = draw(ODD)
        else:
            inside[draw(st.sampled_from([*study.Study.model_fields, "like", "load", "tasks"]) | st.text(max_size=8))] = draw(ODD)
        if not places(values):
            break
    return values


@given(values=spoilt())
@settings(max_examples=300, deadline=None)
def test_any_file_is_a_study_or_one_line(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("params")
    (folder / "any.yaml").write_text(yaml.safe_dump(values, allow_unicode=True), errors="surrogatepass")
    try:
        loaded = study.load("any", folder)
        assert isinstance(loaded, study.Study) and loaded.cells()
    except Problem as told:
        assert str(told) and len(str(told).splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["any.yaml"]


@given(content=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode(errors="surrogatepass")))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_keys_and_values_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("params") / "any.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(parameters.read(path), dict)
    except Problem as told:
        assert len(str(told).splitlines()) == 1
