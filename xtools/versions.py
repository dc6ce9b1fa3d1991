"""What a number hangs on: the definitions in the code that its cell reaches, and the content of files.

Code counts by definition, not by file: of the modules that a notebook imports, the functions, classes and constants that it reaches from
its own lines, and nothing else that stands beside them. Comments, layout, docstrings and the words of a Problem do not count.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from xtools import ROOT
from xtools.disk import whole

# What runs and shows cells changes no number, nor does how a study is read: what it says is counted as the cell's parameters.
APART = (
    "xtools.run",
    "xtools.report",
    "xtools.study",
    "xtools.settings",
    "xtools.parameters",
    "xtools.records",
    "xtools.results",
    "xtools.versions",
    "xtools.problems",
    "xtools.disk",
)
TABLES = ("TASKS", "MAKERS")  # tables of entries: a cell counts those that it uses
WHOLE = "*"  # in place of a name: all of a module


def digest(*parts) -> str:
    """A short hash of any values, told apart by their text."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


# ---------------------------------------------------------------- code


@dataclass(frozen=True)
class Definition:
    """What a definition says, and the (module, name) pairs that it names."""

    text: str
    names: frozenset[tuple[str, str]]


@dataclass
class Module:
    """The parts of a module: definitions by name, statements that run when it is imported, the entries of its tables, its imports."""

    definitions: dict[str, list[Definition]] = field(default_factory=dict)
    statements: list[Definition] = field(default_factory=list)
    entries: dict[tuple[str, str], Definition] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)


def code(source: str, entries: Iterable[tuple[str, str]] = (), names: Iterable[tuple[str, str]] = (), apart: Iterable[str] = ()) -> str:
    """Hash of a piece of Python and of all that it reaches in this project.

    `entries` are the (table, key) pairs and `names` the (module, name) pairs that it reaches by a name which only a parameter says;
    `apart` are modules that it cannot reach with its parameters.
    """
    start = _parsed(source, "")
    queue = [pair for definition in _all(start) for pair in definition.names] + list(names)
    queue += [(module, f"{table}[{key}]") for table, key in entries for module in _holders(table, key)]
    reached: dict[tuple[str, str], str] = {}
    while queue:
        module, name = queue.pop()
        if (module, name) in reached or module.startswith(APART) or module in apart:
            continue
        definitions = _named(module, name)
        reached[module, name] = digest(*(definition.text for definition in definitions))
        queue += [pair for definition in definitions for pair in definition.names] + [(module, "")]
    return digest(*(definition.text for definition in _all(start)), sorted(reached.items()))


def _named(module: str, name: str) -> list[Definition]:
    """The definitions behind a name; all of the module where it is not known what the name stands for."""
    parts = parsed(module)
    if name == "":
        return parts.statements
    if name in parts.definitions:
        return parts.definitions[name]
    if name in parts.imports:
        return [Definition("", frozenset([parts.imports[name]]))]
    table, _, key = name.removesuffix("]").partition("[")
    if (table, key) in parts.entries:
        return [parts.entries[table, key]]
    return [] if name in TABLES else _all(parts)


def _all(parts: Module) -> list[Definition]:
    return [*parts.statements, *(definition for same in parts.definitions.values() for definition in same)]


def _holders(table: str, key: str) -> list[str]:
    """The modules whose table has an entry of that name; all that have the table, where none spells the name out."""
    paths = [path for folder in ("tasks", "sources") for path in sorted((ROOT / "xtools" / folder).glob("*.py"))]
    modules = [f"xtools.{path.parent.name}.{path.stem}" for path in paths]
    return [module for module in modules if (table, key) in parsed(module).entries]


@cache
def parsed(module: str) -> Module:
    """A module of the project, taken apart."""
    return _parsed(_file(module).read_text(), module)


def _file(module: str) -> Path:
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _is_module(name: str) -> bool:
    return name.startswith("xtools") and _file(name).exists()


@cache
def _parsed(source: str, module: str) -> Module:
    tree = ast.parse(source)
    parts = Module(imports=_imports(tree))
    statements = [node for node in _Meaning().visit(tree).body if not isinstance(node, ast.Import | ast.ImportFrom)]
    defined = {name for node in statements for name in _defined(node)}
    for node in statements:
        names = _defined(node)
        if set(names) & set(TABLES):
            parts.entries |= {(names[0], key): _definition(value, module, defined, parts.imports) for key, value in _entries(node.value)}
            continue
        definition = _definition(node, module, defined, parts.imports)
        for name in names:
            parts.definitions.setdefault(name, []).append(definition)
        if not names:
            parts.statements.append(definition)
    return parts


def _imports(tree: ast.AST) -> dict[str, tuple[str, str]]:
    """What imported names of the project stand for, wherever they are imported: a module, (module, WHOLE), or a name in one."""
    stands_for = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xtools"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                stands_for[alias.asname or alias.name] = (whole, WHOLE) if _is_module(whole) else (node.module, alias.name)
    return stands_for


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []
    stored = [name for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return [name.id for name in stored if isinstance(name.ctx, ast.Store)]


def _entries(table) -> list[tuple[str, ast.expr]]:
    """The entries of a table: a list of calls whose first argument is their name, or a dict."""
    if isinstance(table, ast.Dict):
        return [(ast.literal_eval(key), value) for key, value in zip(table.keys, table.values, strict=True)]
    return [(call.args[0].value, call) for call in table.elts]


def _definition(node: ast.AST, module: str, defined: set[str], imports: dict) -> Definition:
    names = _Names(module, defined, imports)
    names.visit(node)
    return Definition(ast.dump(node), frozenset(names.found))


class _Meaning(ast.NodeTransformer):
    """Drops what says something to people alone: docstrings, and the words of a Problem."""

    def visit(self, node):
        self.generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:] or [ast.Pass()]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem":
            node.args = []
        return node


class _Names(ast.NodeVisitor):
    """Collects what a definition names of its own module and of others."""

    def __init__(self, module: str, defined: set[str], imports: dict[str, tuple[str, str]]):
        self.module, self.defined, self.imports = module, defined, imports
        self.found: set[tuple[str, str]] = set()

    def visit_Attribute(self, node):
        module, whole = self.imports.get(getattr(node.value, "id", ""), ("", ""))
        if whole == WHOLE:
            deeper = f"{module}.{node.attr}"
            self.found.add((deeper, WHOLE) if _is_module(deeper) else (module, node.attr))
        else:
            self.generic_visit(node)

    def visit_Name(self, node):
        if node.id in self.defined and self.module:
            self.found.add((self.module, node.id))
        elif node.id in self.imports:
            self.found.add(self.imports[node.id])


# ---------------------------------------------------------------- files


@cache
def _kept() -> dict[str, list]:
    """Digests of files by path, each with the size and time stamp that the file had then."""
    try:
        return json.loads((ROOT / "runs" / "digests.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}


def file_digest(path: Path) -> str:
    """Hash of a file's content; read again only where size or time stamp have changed since the last time."""
    state, known = path.stat(), _kept().get(str(path), [])
    if known[:2] != [state.st_size, state.st_mtime_ns]:
        with open(path, "rb") as file:
            known = _kept()[str(path)] = [state.st_size, state.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()]
    return known[2]


def folder_digest(folder: Path, patterns: tuple[str, ...] = ("**/*",), apart: tuple[str, ...] = ()) -> str:
    """Hash of the names and content of a folder's files that fit one of some patterns, save those of certain names."""
    files = sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file() and path.name not in apart})
    return digest(*(f"{path.relative_to(folder)} {file_digest(path)}" for path in files))


def keep_digests() -> None:
    """Keep the digests of files for the next time."""
    path = ROOT / "runs" / "digests.json"
    if path.parent.is_dir():
        with whole(path) as partial:
            partial.write_text(json.dumps(_kept()))
