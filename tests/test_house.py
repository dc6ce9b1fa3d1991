"""The house: science in front, two wings behind a wall, no circle, nothing long."""

import ast
import graphlib
import statistics

import pytest

from xtools import ROOT

PATHS = sorted((ROOT / "xtools").rglob("*.py"))


def module_of(path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in PATHS}


def imports(path) -> set[str]:
    """The modules of the project that a file imports, inside functions too. Importing a name from a package imports that package, and
    the package's own file counts where the name is no module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xtools"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in MODULES}
    return found


IMPORTS = {name: imports(path) - {name} for name, path in MODULES.items()}


def wing(name: str) -> str:
    return name.split(".")[1] if name.startswith(("xtools.run", "xtools.report")) else "front"


DOORS = ("xtools.__main__", "xtools.api")  # the command line, and what code of one's own imports


@pytest.mark.parametrize("name", [name for name in MODULES if wing(name) == "front" and name not in DOORS])
def test_no_module_of_the_front_imports_a_wing(name):
    assert not {other for other in IMPORTS[name] if wing(other) != "front"}


def test_the_report_never_imports_what_runs():
    assert not {(name, other) for name in MODULES if wing(name) == "report" for other in IMPORTS[name] if wing(other) == "run"}


def test_nothing_imports_in_a_circle():
    assert len([*graphlib.TopologicalSorter(IMPORTS).static_order()]) == len(MODULES) > 50


def test_what_a_module_takes_from_another_can_be_read_off_its_imports():
    """As xtools/versions.py reads it: neither `import xtools.x`, nor relative imports, nor `*`."""
    nodes = [node for path in PATHS for node in ast.walk(ast.parse(path.read_text()))]
    assert not [alias for node in nodes if isinstance(node, ast.Import) for alias in node.names if alias.name.startswith("xtools")]
    assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and (node.level or node.names[0].name == "*")]


def test_nothing_imports_a_notebook():
    assert not [path for path in PATHS if "notebooks import" in path.read_text()]


def test_files_and_functions_are_short():
    assert {path.name: n for path in PATHS if (n := len(path.read_text().splitlines())) > 400} == {}
    functions = [
        node for path in PATHS for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert statistics.median(node.end_lineno - node.lineno + 1 for node in functions) <= 8
