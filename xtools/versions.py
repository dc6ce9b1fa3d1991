"""What of the code can change a number: hashes of modules, of all that they import, and of a task's entry."""

import ast
import hashlib
from functools import cache

from xtools import ROOT

PRESENTATION = {"plots", "problems", "examples"}  # modules that can change how a page looks, but no number


def digest(*parts) -> str:
    """A short hash of any values."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def closure(source: str) -> str:
    """Hash of a piece of Python and of every xtools module that it imports, directly or not, save those of presentation."""
    return digest(source, sorted(_modules(_imports(ast.parse(source))).items()))


@cache
def _modules(names: tuple[str, ...]) -> dict[str, str]:
    seen, queue = {}, list(names)
    while queue:
        name = queue.pop()
        if name not in seen and name.rpartition(".")[2] not in PRESENTATION:
            seen[name], imports = _module(name)
            queue += imports
    return seen


@cache
def entry(task: str) -> str:
    """Hash of what a task's entry in its TASKS table says; of all tables, for an entry that does not spell its name out."""
    for call in (item for table in _tables() for item in table.value.elts):
        if isinstance(call, ast.Call) and call.args and getattr(call.args[0], "value", None) == task:
            return digest(ast.dump(call))
    return digest(*map(ast.dump, _tables()))


@cache
def _tables() -> list[ast.Assign]:
    paths = sorted((ROOT / "xtools" / "tasks").glob("*.py"))
    return [node for path in paths for node in ast.parse(path.read_text()).body if _is_tasks(node)]


def _is_tasks(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TASKS"


class _Strip(ast.NodeTransformer):
    """Drops what cannot change a number: docstrings, and the TASKS table, whose entries are counted task by task."""

    def visit(self, node):
        self.generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            node.body = body[1:] or [ast.Pass()]
        return ast.Pass() if _is_tasks(node) else node


@cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """Hash of a module's meaning (comments, layout and docstrings do not count), and the xtools modules that it imports."""
    path = ROOT / (name.replace(".", "/") + ".py")
    path = path if path.exists() else ROOT / name.replace(".", "/") / "__init__.py"
    tree = ast.parse(path.read_text())
    return digest(ast.dump(_Strip().visit(tree))), _imports(tree)


def _imports(tree: ast.AST) -> tuple[str, ...]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xtools"):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return tuple(sorted(n for n in found if _is_module(n)))


def _is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()
