"""What the documents promise: files, commands and modules that they name are there, and CONTRIBUTING's examples work as they stand."""

import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from xtools import ROOT

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "backbones/README.md", "CHANGELOG.md")
GUIDE = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
STEP = re.compile(
    r"(?:In|At the end of|A new file) `(?P<path>[^`]+)`(?:, (?P<where>[a-z ]+) `(?P<mark>[^`]+)`)?[^`\n]*:\n\n```\w+\n(?P<code>.*?)```\n",
    re.S,
)


def without_examples(text: str) -> str:
    """A document without its blocks of code and what examples make."""
    return re.sub(r"<!-- example: \w+ -->.*?<!-- end -->|```.*?```", "", text, flags=re.S)


def steps(name: str) -> list[dict]:
    """The steps of one of the guide's examples: in which file, where, what."""
    inside = re.search(rf"<!-- example: {name} -->(.*?)<!-- end -->", GUIDE, re.S)[1]
    found = [match.groupdict() for match in STEP.finditer(inside)]
    assert len(found) == inside.count("```") // 2 > 0, "a block of code without its place, or a place without code"
    return found


def apply(folder, name: str) -> None:
    """Do in a copy of the project what one of the guide's examples says."""
    for step in steps(name):
        path, mark, code = folder / step["path"], step["mark"], step["code"]
        text = path.read_text() if path.exists() else ""
        if mark is None:
            path.write_text(text + code)
            continue
        assert text.count(mark) == 1, f"{mark} stands {text.count(mark)} times in {step['path']}"
        edits = {"after the line": f"{mark}\n{code}", "before the line": f"{code}\n\n{mark}\n", "after the words": f"{mark}{code.strip()} "}
        end = "" if step["where"] == "after the words" else "\n"
        path.write_text(text.replace(mark + end, edits[step["where"]]))


EXAMPLES = re.findall(r"<!-- example: (\w+) -->", GUIDE)
ASK = """
import json
from xtools import encoder, sources, study, tasks
from xtools.report import claims
world = sources.Source("microworld")
names = ["mrpc", "americas_nli", "stsb"]
rows = {name: sources.rows(world, tasks.get(name), "train", "qab", 3) for name in names}
scores = {name: tasks.format_of(tasks.get(name)).score.__doc__ for name in names}
print(json.dumps({
    "formats": [*tasks.formats()], "rows": rows, "scores": scores,
    "claims": [claim.id for claim in claims.load()], "tests": [*claims.TESTS],
    "shape": encoder.config_of("intfloat/multilingual-e5-base").hidden_size,
    "studies": {name: len(study.load(name).cells()) for name in ("ours", "ours_wide", "ours_e5")},
}))
"""


def test_every_example_of_the_guide_works_as_it_stands(project):
    assert EXAMPLES == ["tasks", "study", "format", "encoder", "claim"]
    for name in EXAMPLES:
        apply(project.folder, name)
    asked = subprocess.run(
        [sys.executable, "-c", ASK], cwd=project.folder, env={"PYTHONPATH": str(project.folder)}, capture_output=True, text=True
    )
    assert asked.returncode == 0, asked.stderr
    told = json.loads(asked.stdout)
    assert "grading" in told["formats"] and all(len(rows) == 3 for rows in told["rows"].values())
    assert "hellaswag-harms-xnli" in told["claims"] and "harm" in told["tests"]
    assert told["studies"]["ours"] == 1 + 1 + 4 + 2  # a backbone, an intermediate task, two targets under two recipes, two timings
    assert told["shape"] == 768, "known without a download"
    for tool in (["check"], ["format", "--check"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *tool, "xtools"], cwd=project.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document):
    text = without_examples((ROOT / document).read_text())
    top = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.is_dir() and path.name not in (".git", ".venv", "runs"))
    paths = re.findall(rf"`((?:{top})/[^`\s{{<]*)`", text)
    paths += re.findall(r"`([A-Za-z_.]+\.(?:md|cff|toml|lock|yaml))`", text) + re.findall(r"\]\((?!\w+:)([^)#]+)\)", text)
    gone = {"xtools/grid.py", "xtools/claims.py", "xtools/answers.py"} if document == "CHANGELOG.md" else set()
    ours = {step["path"] for name in EXAMPLES for step in steps(name) if step["mark"] is None}
    beside = (ROOT / document).parent
    missing = [
        path
        for path in paths
        if not (any(ROOT.glob(path.rstrip("/"))) or (beside / path).exists() or any(ROOT.glob(f"backbones/*/{path}")))
    ]
    assert paths and not {*missing} - gone - ours


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(document):
    text = (ROOT / document).read_text()
    named = set(re.findall(r"(?:`|^    |: |; )make ([a-z]+)", text, re.M))
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_study_that_a_document_names_exists(document):
    profiles = set(re.findall(r"PROFILE=([a-z_0-9]+)", (ROOT / document).read_text()))
    made = {"ours", "ours_wide", "ours_e5"} if document == "CONTRIBUTING.md" else set()
    assert profiles <= {path.stem for path in (ROOT / "params").glob("*.yaml")} | made


def test_the_readmes_map_names_every_module_once():
    map_ = re.search(r"## Where things are\n(.*?)\n## ", (ROOT / "README.md").read_text(), re.S)[1]
    block = "\n".join(line for line in map_.splitlines() if line.startswith("    "))
    parts = re.split(r"^ +(xtools|tasks|sources|run|report|tests)/ ", block, flags=re.M)
    named = {folder: re.findall(r"\w+", "\n".join(_names(part))) for folder, part in zip(parts[1::2], parts[2::2], strict=True)}
    for folder in ("xtools", "tasks", "sources", "run", "report"):
        path = ROOT / "xtools" if folder == "xtools" else ROOT / "xtools" / folder
        assert sorted(named[folder]) == sorted(module.stem for module in path.glob("*.py") if module.stem != "__init__"), folder


def _names(part: str) -> list[str]:
    """The left column of a part of the map: what stands before two spaces."""
    return [re.split(r" {2,}", line.strip())[0] for line in part.splitlines()]


def test_the_card_of_the_published_encoders_says_what_their_cards_say():
    told = (ROOT / "backbones" / "README.md").read_text()
    cards = {path.parent.name: json.loads(path.read_text()) for path in (ROOT / "backbones").glob("*/card.json")}
    assert set(re.findall(r"^\| `([\w-]+)` \|", told, re.M)) == {*cards}
    for name, card in cards.items():
        shape = " x ".join(str(card["shape"][key]) for key in ("layers", "hidden", "heads"))
        row = [name, shape, f"{card['parameters']:,}", str(card["seed"]), f"{card['tokens']:,}", f"{card['curve']['loss'][-1]:.3f}"]
        assert f"| `{row[0]}` | {' | '.join(row[1:])} |" in told


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0" and {"message", "title", "authors", "abstract"} <= {*citation}
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    assert [len(reference["authors"]) for reference in citation["references"]] == [8, 6, 11]
    assert all({"type", "title", "authors"} <= {*reference} for reference in citation["references"])
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_workflow_and_the_hooks_run_what_the_project_runs():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["test"]
    assert {"run": ".ci/run"} in job["steps"]
    assert job["strategy"]["matrix"]["python"][0] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"][2:]
    assert re.search(r"make lint\n(.*\n)*make test\n", (ROOT / ".ci" / "run").read_text())
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"], "nothing is downloaded"
    tools = {hook["entry"].split()[0] for repo in hooks for hook in repo["hooks"]}
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)[1]
    assert tools == set(re.findall(r"\.venv/bin/\w+", lint))
