"""The door for code of one's own: its examples run, it is cheap to import, its stub names what it has, and the command line says what make says."""

import doctest
import re
import subprocess
import sys

import pytest

import xtools
from xtools import ROOT, api
from xtools import __main__ as commands

HEAVY = {"torch", "transformers", "datasets", "pandas", "numpy", "pydantic"}
MAKEFILE = ((ROOT / "README.md").resolve().parent / "Makefile").read_text()
TARGETS = dict(re.findall(r"^([a-z]+):.*?## (.*)", MAKEFILE, re.M))
OF_THE_CHECKOUT = {"help", "lab", "test", "lint", "lock", "clean"}


def test_the_examples_of_its_docstrings_run():
    found = doctest.testmod(api, optionflags=doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS)
    assert found.failed == 0 and found.attempted >= 10


def test_importing_it_imports_nothing_heavy():
    code = f"import sys, xtools; dir(xtools); xtools.load_study; sys.exit(str({HEAVY} & set(sys.modules)) if {HEAVY} & set(sys.modules) else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_it_names_is_there_documented_and_typed():
    stub = (ROOT / "xtools" / "__init__.pyi").read_text()
    assert set(xtools.__all__) == {*re.findall(r"import \w+ as (\w+)", stub), "ROOT"} == {*api.__all__, "ROOT"}
    for name in api.__all__:
        made = getattr(xtools, name)
        assert made is getattr(api, name) and made.__doc__
        if name != "Problem":
            assert {*made.__annotations__} == {*made.__code__.co_varnames[: made.__code__.co_argcount], "return"}, name
    with pytest.raises(AttributeError, match="no attribute 'tabel'"):
        _ = xtools.tabel


def test_one_cell_is_run_with_what_it_starts_from_and_the_study_finds_it_done(project):
    project.write_study("one", seeds=[0], recipes=["none", "mnli"], targets=["xnli"])
    code = """if True:
        import xtools
        record = xtools.run_cell("one", "tiny", "mnli", "xnli")
        assert set(record.result.scores) == {"qaa", "qab", "qac"} and record.recipe == "mnli"
        assert record.expected_memory > 0, "as the study's own plan has it"
        assert xtools.run_cell("one", "tiny", "mnli", "xnli").times["began"] == record.times["began"], "it was run again"
        assert xtools.run_cell("one", "tiny", "mnli").phase == "intermediate" and xtools.run_cell("one", "tiny").phase == "backbone"
        assert len(xtools.table("one").query("split == 'test'")) == 3
        for words in ({"target": "xnly"}, {"backbone": "large"}):
            try:
                xtools.run_cell("one", **{"backbone": "tiny", "target": "xnli"} | words)
            except xtools.Problem as error:
                print(error)
    """
    environment = {"PYTHONPATH": str(project.folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=project.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("not in params/one.yaml; did you mean") == 2
    assert set(project.records("one")) == {"backbone-tiny-s0", "intermediate-tiny-mnli-s0", "target-tiny-mnli-xnli-s0"}


# ---------------------------------------------------------------- the command line


def as_options(text: str) -> str:
    """What a target's line says, with the command line's words for make's: CELLS=3 is --cells 3, PREDICTIONS=<folder> is <folder>."""
    text = re.sub(r"\b(?:A|B|PREDICTIONS|LABELS)=(<[^>]+>)", r"\1", text).replace("RESOLVED=1", "--resolved")
    return re.sub(r"\b([A-Z]{3,})=", lambda found: f"--{found[1].lower()} ", text)


def test_every_command_says_what_its_target_says(capsys):
    reader = commands.parser()
    own = next(action for action in reader._actions if action.dest == "command").choices
    assert set(own) == set(TARGETS) - OF_THE_CHECKOUT
    for name, command in own.items():
        assert command.description == as_options(TARGETS[name]), name


def test_every_option_of_make_is_one_of_the_command_line():
    recipes = dict(re.findall(r"^([a-z]+):.*\n((?:\t.*\n)+)", MAKEFILE, re.M))
    shared = re.search(r"^OPTIONS = .*", MAKEFILE, re.M)[0]
    own = next(action for action in commands.parser()._actions if action.dest == "command").choices
    for name in set(TARGETS) - OF_THE_CHECKOUT - {"bench", "gpu", "torture"}:
        passed = re.findall(r"--[a-z]+", recipes[name].replace("$(OPTIONS)", shared))
        assert set(passed) <= set(own[name]._option_string_actions), name


@pytest.mark.parametrize("name", ["bench", "torture", "gpu"])
def test_commands_with_options_of_their_own_list_them(name):
    done = subprocess.run([sys.executable, "-m", "xtools", name, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and re.search(r"--(rounds|shapes)", done.stdout)


def test_a_mistaken_option_is_told(capsys):
    with pytest.raises(SystemExit) as stopped:
        commands.main(["plan", "smoke", "--resolve-all"])
    assert stopped.value.code == 2 and "unrecognized arguments: --resolve-all" in capsys.readouterr().err


def test_without_make_it_starts_again_in_makes_environment(tmp_path):
    """Seen by what a process that it starts is given: Python's seed of hashes holds from the start of a process on."""
    (tmp_path / "sitecustomize.py").write_text("import os, sys; print(os.environ.get('PYTHONHASHSEED'), file=sys.stderr)")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-m", "xtools", "--help"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.split() == ["None", "0"]
