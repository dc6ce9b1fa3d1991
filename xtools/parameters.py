"""A study's file as people write it: YAML of YAML 1.2's plain values, read within limits, or in one line what is wrong with it, and where."""

import re
from pathlib import Path

import yaml

from xtools import ROOT
from xtools.problems import Problem

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")  # of a study or a backbone: a folder's name, and a word of commands
NAMED = "not a name; take up to 60 letters, digits, '_', '.' and '-', the first of them a letter or digit"
BYTES, VALUES, DEPTH, LENGTH = 100_000, 10_000, 20, 1_000  # the most of a file, of its values, of their nesting, and of a text's characters
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
PLAIN = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(0|[1-9][0-9]*)",
    "float": r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?([eE][-+]?[0-9]+)?|\.[0-9]+)|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}


class Loader(yaml.SafeLoader):
    """YAML in which 5e-4 is a number, as everyone expects, and 010, 1:30, 1_000, no and 2001-01-01 are text, as YAML 1.2 has it."""

    yaml_implicit_resolvers: dict = {}


class Dumper(yaml.SafeDumper):
    """Writes what `Loader` reads: text that looks like 5e-4, or that has characters which cannot be printed, in quotes."""


def _text(dumper: Dumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"')


Dumper.add_representer(str, _text)

for kind in (Loader, Dumper):
    for tag, form in PLAIN.items():
        kind.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{form})\Z"), None)


class _Refused(yaml.MarkedYAMLError):
    """YAML as it should be, and more than a study's file may hold."""


class _Limited(Loader):
    """Raises _Refused at what no study's file needs: aliases (which may stand for billions of values), tags, repeated keys and keys that
    are no text, control characters, and more than the limits."""

    values = depth = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        self.values, self.depth = self.values + 1, self.depth + 1
        if isinstance(event, yaml.AliasEvent):
            raise _at(event, f"*{event.anchor}: aliases are not followed; write the value out")
        if event.tag is not None:
            raise _at(event, f"{event.tag}: tags are not read; take it out")
        if self.values > VALUES or self.depth > DEPTH:
            raise _at(event, f"more than {VALUES:,} values, or more than {DEPTH} within each other; a study's file holds parameters alone")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def compose_scalar_node(self, anchor):
        node = super().compose_scalar_node(anchor)
        if len(node.value) > LENGTH:
            raise _at(node, f"{node.value[:20]}...: longer than {LENGTH:,} characters; shorten it")
        if found := CONTROL.search(node.value):
            raise _at(node, f"a line break or control character ({found[0]!a}) in a value; take it out")
        return node

    def compose_mapping_node(self, anchor):
        node, seen = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if not key.tag.endswith(":str"):
                name = key.value if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise _at(key, f"{name}: a key must be text; put it in quotes")
            if key.value in seen:
                raise _at(key, f"{key.value}: the key stands twice; keep one")
            seen.add(key.value)
        return node


def _at(where, told: str) -> _Refused:
    return _Refused(problem=told, problem_mark=where.start_mark)


def shown(path: Path) -> Path:
    """A file's path from the project's folder."""
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def read(path: Path) -> dict:
    """The keys and values of a study's file as they stand there.

    Raises Problem, one line that names file and line, for a file that cannot be read or is not YAML with keys.
    """
    try:
        if not path.is_file():  # of a pipe or device no end may come
            raise Problem(f"{shown(path)}: not a file; a study is a file of keys and values")
        with open(path, "rb") as file:
            content = file.read(BYTES + 1)
    except OSError as error:
        raise Problem(f"{shown(path)}: cannot be read ({error.strerror})") from error
    if len(content) > BYTES:
        raise Problem(f"{shown(path)}: larger than {BYTES:,} bytes; a study's file holds parameters alone")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise Problem(f"{shown(path)}, line {line}: not text in UTF-8; save it as UTF-8") from error
    try:
        values = yaml.load(text, _Limited)
    except yaml.reader.ReaderError as error:
        told = f"a control character (#x{error.character:04x}); take it out, or save the file as UTF-8"
        line = text.count("\n", 0, error.position) + 1
        raise Problem(f"{shown(path)}, line {line}: not valid YAML ({told})") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        told = str(error.problem) if isinstance(error, _Refused) else f"not valid YAML ({error.problem})"
        raise Problem(f"{shown(path)}, line {line}: {told}") from error
    if not isinstance(values, dict):
        raise Problem(f"{shown(path)}: must hold keys and values")
    return values
