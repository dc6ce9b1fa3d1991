"""What the documents promise: files, commands and modules that they name are there."""

import json
import re
import tomllib

import pytest
import yaml

from xtools import ROOT

HOME = (ROOT / "README.md").resolve().parent  # of the documents, where a test runs in a copy that has them by a link
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "backbones/README.md", "CHANGELOG.md")
GUIDE = (HOME / "CONTRIBUTING.md").read_text()
MADE = set(re.findall(r"A new file `([^`]+)`", GUIDE))  # by its examples
MAKEFILE = (HOME / "Makefile").read_text()


def without_examples(text: str) -> str:
    """A document without its blocks of code and what examples make."""
    return re.sub(r"<!-- example: \w+ -->.*?<!-- end -->|```.*?```", "", text, flags=re.S)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document):
    text = without_examples((HOME / document).read_text())
    top = "|".join(re.escape(path.name) for path in HOME.iterdir() if path.is_dir() and path.name not in (".git", ".venv", "runs"))
    paths = re.findall(rf"`((?:{top})/[^`\s{{<]*)`", text)
    paths += re.findall(r"`([A-Za-z_.]+\.(?:md|cff|toml|lock|yaml))`", text) + re.findall(r"\]\((?!\w+:)([^)#]+)\)", text)
    gone = {"xtools/grid.py", "xtools/claims.py", "xtools/answers.py"} if document == "CHANGELOG.md" else set()
    beside = (HOME / document).parent
    missing = [
        path
        for path in paths
        if not (any(HOME.glob(path.rstrip("/"))) or (beside / path).exists() or any(HOME.glob(f"backbones/*/{path}")))
    ]
    assert paths and not {*missing} - gone - MADE


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_that_a_document_names_exists(document):
    text = (HOME / document).read_text()
    named = set(re.findall(r"(?:`|^    |: |; )make ([a-z]+)", text, re.M))
    assert named <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.M))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_study_that_a_document_names_exists(document):
    profiles = set(re.findall(r"PROFILE=([a-z_0-9]+)", (HOME / document).read_text()))
    made = {path.removeprefix("params/").removesuffix(".yaml") for path in MADE}
    assert profiles <= {path.stem for path in (HOME / "params").glob("*.yaml")} | made


def test_the_readmes_map_names_every_module_once():
    map_ = re.search(r"## Where things are\n(.*?)\n## ", (HOME / "README.md").read_text(), re.S)[1]
    block = "\n".join(line for line in map_.splitlines() if line.startswith("    "))
    parts = re.split(r"^ +(xtools|tasks|sources|run|report|tests)/ ", block, flags=re.M)
    named = {folder: re.findall(r"\w+", "\n".join(_names(part))) for folder, part in zip(parts[1::2], parts[2::2], strict=True)}
    for folder in ("xtools", "tasks", "sources", "run", "report"):
        path = HOME / "xtools" if folder == "xtools" else HOME / "xtools" / folder
        assert sorted(named[folder]) == sorted(module.stem for module in path.glob("*.py") if module.stem != "__init__"), folder


def _names(part: str) -> list[str]:
    """The left column of a part of the map: what stands before two spaces."""
    return [re.split(r" {2,}", line.strip())[0] for line in part.splitlines()]


def test_the_card_of_the_published_encoders_says_what_their_cards_say():
    told = (HOME / "backbones" / "README.md").read_text()
    cards = {path.parent.name: json.loads(path.read_text()) for path in (HOME / "backbones").glob("*/card.json")}
    assert set(re.findall(r"^\| `([\w-]+)` \|", told, re.M)) == {*cards}
    for name, card in cards.items():
        shape = " x ".join(str(card["shape"][key]) for key in ("layers", "hidden", "heads"))
        row = [name, shape, f"{card['parameters']:,}", str(card["seed"]), f"{card['tokens']:,}", f"{card['curve']['loss'][-1]:.3f}"]
        assert f"| `{row[0]}` | {' | '.join(row[1:])} |" in told


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((HOME / "CITATION.cff").read_text())
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    assert citation["cff-version"] == "1.2.0" and {"message", "title", "authors", "abstract"} <= {*citation}
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    assert [len(reference["authors"]) for reference in citation["references"]] == [8, 6, 11]
    assert all({"type", "title", "authors"} <= {*reference} for reference in citation["references"])
    assert f"## [{project['version']}]" in (HOME / "CHANGELOG.md").read_text()


def test_the_workflow_and_the_hooks_run_what_the_project_runs():
    workflow = yaml.safe_load((HOME / ".github" / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["test"]
    assert {"run": ".ci/run"} in job["steps"]
    assert job["strategy"]["matrix"]["python"][0] == tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["requires-python"][2:]
    assert re.search(r"make lint\n(.*\n)*make test\n", (HOME / ".ci" / "run").read_text())
    hooks = yaml.safe_load((HOME / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in hooks] == ["local"], "nothing is downloaded"
    tools = {hook["entry"].split()[0] for repo in hooks for hook in repo["hooks"]}
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", MAKEFILE, re.M)[1]
    assert tools == set(re.findall(r"\.venv/bin/\w+", lint))
