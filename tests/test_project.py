"""What a newcomer relies on: one set of dependencies in three files, a Makefile that explains itself, nothing of one machine."""

import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from xtools import ROOT


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(re.split("==", line.lower().replace("_", "-")) for line in lines if line and not line.startswith("#"))


def test_lock_satisfies_pyproject_exactly():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = locked()
    for text in [*project["dependencies"], *project["optional-dependencies"]["test"], *project["optional-dependencies"]["bench"]]:
        wanted = Requirement(text)
        assert wanted.name in lock, f"{wanted.name} is not in requirements.lock: run make lock"
        assert wanted.specifier.contains(lock[wanted.name]), f"{wanted.name} {lock[wanted.name]} does not fit {wanted}: run make lock"
    assert Version(lock["torch"]) == Version("2.13.0")


def test_conda_environment_installs_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert pip == ["-r requirements.lock", "-e ."]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f"python{wanted}" in environment["dependencies"]


def test_lock_names_no_place_but_the_index():
    assert not re.search(r"://|@|--", (ROOT / "requirements.lock").read_text())


def test_make_alone_prints_every_target_with_its_line():
    shown = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M):
        assert re.search(rf"^make {target} +\w", shown, re.M), target


@pytest.mark.parametrize("name", ["xtools", "notebooks", "params", "README.md", "Makefile", "Snakefile"])
def test_nothing_of_one_machine(name):
    path = ROOT / name
    files = [p for p in path.rglob("*") if p.suffix in {".py", ".yaml", ".md"}] if path.is_dir() else [path]
    for file in files:
        assert not re.search(r"(?<![\w.$}])/(home|root|Users|mnt)/", file.read_text()), file


def test_no_pickle_and_no_remote_code():
    for file in [*(ROOT / "xtools").rglob("*.py"), *(ROOT / "notebooks").glob("*.py")]:
        assert not re.search(r"pickle|torch\.load\(|trust_remote_code|torch\.save\(", file.read_text()), file
