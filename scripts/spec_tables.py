"""The tables of `specs/*.md` and `docs/configuration.md`, made from the classes and constants they describe.

`tables()` names every table and renders it; `scripts.check_specs` puts them between their markers. Descriptions are the
docstrings under fields and constants, which Python does not keep, so they are read from the source.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar

import wire.messages
from wire import codes, connection_table, limits, session_table
from wire.fields import Field, Maybe, Nested, Several
from wire.messages.base import REGISTRY, Declaration

_TENSOR: Final = "The tensor `dtype` and `shape` describe."
KIB: Final = 1024
MIB: Final = 1024 * KIB

State = TypeVar("State", bound=Enum)
Input = TypeVar("Input", bound=Enum)


def tables() -> dict[str, Callable[[], str]]:
    """Every table of the specifications: its name in the markers, and what renders it."""
    found: dict[str, Callable[[], str]] = {"errors": errors, "session": sessions, "connection": connection}
    for module in _message_modules():
        found[f"messages/{module.rpartition('.')[2]}"] = partial(messages, module)
    for spec in limit_groups():
        found[f"limits/{spec}"] = partial(limit_table, spec)
    # Late, since those are rendered by what is here.
    from scripts import control_tables, settings_table, sight_tables

    return found | control_tables.tables() | settings_table.tables() | sight_tables.tables()


def errors() -> str:
    """The error codes, in order."""
    rows = []
    for code in codes.Code:
        said = code.explanation
        rows.append((str(code.value), f"`{code.text}`", said.meaning, said.actor, said.advice))
    return markdown(("code", "name", "meaning", "who acts", "next step"), rows)


def messages(module: str) -> str:
    """The messages one module of `wire.messages` declares, then the maps they hold."""
    docs = field_docs(_source(module))
    rows = []
    nested: dict[str, Nested] = {}
    for declaration in _declarations(module):
        head = (str(declaration.id), f"`{declaration.name}`", declaration.sender)
        said = _sentence(inspect.getdoc(declaration.cls) or "")
        rows.append((*head, "", "", said))
        for name, field in declaration.fields.items():
            said = docs.get((declaration.cls.__name__, name), "")
            rows.append(("", "", "", f"`{name}`", _kind(field, nested), said))
        if declaration.has_body:
            said = docs.get((declaration.cls.__name__, "body"), _TENSOR)
            rows.append(("", "", "", "body", "raw bytes after the header", said))
    parts = [markdown(("id", "message", "sender", "field", "type and bounds", "meaning"), rows)]
    parts += [_nested_table(name, field) for name, field in nested.items()]
    return "\n\n".join(parts)


def connection() -> str:
    """The legal orders of a connection."""
    return _transitions(connection_table.TABLE, connection_table.State, connection_table.Input)


def sessions() -> str:
    """The legal orders of a session, on the host and at the client."""
    host = _transitions(session_table.HOST, session_table.HostState, session_table.HostInput)
    client = _transitions(session_table.CLIENT, session_table.ClientState, session_table.ClientInput)
    return f"On a host:\n\n{host}\n\nAt the client, for each hop:\n\n{client}"


def limit_groups() -> dict[str, dict[str, list[str]]]:
    """Constants of `wire.limits` by specification, then by group.

    A group is a `# Title (specs/x.md ...)` comment and belongs to the last specification it names; a group that names
    none belongs to `wire`.
    """
    groups: dict[str, dict[str, list[str]]] = {}
    current: list[str] | None = None
    for line in _source("wire.limits").splitlines():
        if heading := re.fullmatch(r"# ([^(]+?)(?: \((.*)\))?", line):
            named = re.findall(r"specs/(\w+)\.md", heading[2] or "")
            current = groups.setdefault(named[-1] if named else "wire", {}).setdefault(heading[1], [])
        elif constant := re.match(r"([A-Z][A-Z0-9_]*): Final", line):
            if current is None:
                raise ValueError(f"{constant[1]} in wire/limits.py stands above every group comment")
            current.append(constant[1])
    return groups


def limit_table(spec: str) -> str:
    """The limits that belong to one specification, a table for each group."""
    docs = constant_docs(_source("wire.limits"))
    parts = []
    for title, names in limit_groups()[spec].items():
        rows = [(f"`{name}`", amount(name, getattr(limits, name)), docs.get(name, "")) for name in names]
        parts.append(f"{title}:\n\n{markdown(('limit', 'value', 'reason'), rows)}")
    return "\n\n".join(parts)


def field_docs(source: str) -> dict[tuple[str, str], str]:
    """Docstrings under the fields of classes, by class and field name."""
    docs = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            docs.update({(node.name, name): text for name, text in _documented(node.body)})
    return docs


def constant_docs(source: str) -> dict[str, str]:
    """Docstrings under the constants of a module, by name."""
    return dict(_documented(ast.parse(source).body))


def _documented(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for statement, below in pairwise(body):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, " ".join(text.split())


def _message_modules() -> list[str]:
    folder = Path(inspect.getfile(wire.messages)).parent
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem not in {"__init__", "base"})
    for name in names:
        importlib.import_module(f"wire.messages.{name}")
    return [f"wire.messages.{name}" for name in names if _declarations(f"wire.messages.{name}")]


def _declarations(module: str) -> list[Declaration]:
    return [one for _, one in sorted(REGISTRY.items()) if one.cls.__module__ == module]


def _kind(field: Field, nested: dict[str, Nested]) -> str:
    """Type and bounds in words; maps go by the name of their class and are collected in `nested`."""
    if isinstance(field, Maybe):
        return f"{_kind(field.of, nested)}; optional"
    if isinstance(field, Several):
        count = f"{field.least} to {field.most}" if field.least else f"at most {field.most}"
        return f"array of {count}: {_kind(field.of, nested)}"
    if isinstance(field, Nested):
        nested.setdefault(field.cls.__name__, field)
        for part in field.parts.values():
            _kind(part, nested)
        return f"map `{field.cls.__name__}`"
    return field.kind


def _nested_table(name: str, field: Nested) -> str:
    docs = field_docs(_source(field.cls.__module__))
    inner: dict[str, Nested] = {}
    rows = [(f"`{key}`", _kind(part, inner), docs.get((name, key), "")) for key, part in field.parts.items()]
    about = _sentence(inspect.getdoc(field.cls) or "")
    return f"Map `{name}`. {about}\n\n{markdown(('field', 'type and bounds', 'meaning'), rows)}"


def _transitions(table: Mapping[tuple[State, Input], State], states: type[State], inputs: type[Input]) -> str:
    """A row for each input, a column for each state; a dash where the input is illegal."""
    rows = []
    for one in inputs:
        following = [table.get((state, one)) for state in states]
        rows.append((str(one.value), *("—" if state is None else str(state.value) for state in following)))
    return markdown(("input", *(f"in {state.value}" for state in states)), rows)


def amount(name: str, value: float) -> str:
    """A limit in the unit its name says."""
    number = f"{value:,}" if isinstance(value, int) else f"{value:g}"
    if name.endswith(("_S", "_SECONDS")):
        return f"{number} s"
    if not name.endswith("_BYTES"):
        return number
    if value >= MIB and value % MIB == 0:
        return f"{int(value) // MIB} MiB"
    if value >= KIB and value % KIB == 0:
        return f"{int(value) // KIB} KiB"
    return f"{number} bytes"


def _sentence(text: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(text.split("\n\n", maxsplit=1)[0].split())


def _source(module: str) -> str:
    loaded: ModuleType = importlib.import_module(module)
    return inspect.getsource(loaded)


def markdown(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table."""
    ruled = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in ruled)


def _cell(text: str) -> str:
    """Text that cannot end its cell; a pipe that is escaped already stays as it is."""
    return re.sub(r"(?<!\\)\|", r"\\|", text)
