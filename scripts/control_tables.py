"""The tables of `specs/control.md`, made from `node/control/`: commands, their arguments, results, codes and limits."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from node.control import codes, limits, results
from node.control.commands import COMMANDS, Command, Nothing
from node.control.kinds import Maybe, Several
from node.control.shapes import Record, parts
from scripts.spec_tables import amount, constant_docs, field_docs, markdown


def tables() -> dict[str, Callable[[], str]]:
    """Every table: its name in the markers, and what renders it."""
    return {
        "control/commands": commands,
        "control/arguments": arguments,
        "control/records": records,
        "control/errors": errors,
        "control/limits": limit_table,
    }


def commands() -> str:
    """A row for each command."""
    rows = [
        (
            f"`{one.name}`",
            f"{one.summary}.",
            "—" if one.progress is Nothing else f"`{one.progress.__name__}`",
            f"`{one.result.__name__}`",
            one.cancelled,
        )
        for one in COMMANDS.values()
    ]
    return markdown(("command", "what it does", "progress", "result", "when cancelled"), rows)


def arguments() -> str:
    """A row for each argument of each command."""
    rows = []
    for one in COMMANDS.values():
        for part in parts(one.arguments).values():
            given = "yes" if part.required else "no"
            rows.append((f"`{one.name}`", f"`{part.name}`", part.kind.words, given, part.meaning))
    return markdown(("command", "argument", "type and bounds", "required", "meaning"), rows)


def records() -> str:
    """The fields of every record that is answered, a table for each."""
    return "\n\n".join(_record(one) for one in _answered())


def errors() -> str:
    """The codes of `error` answers, in order."""
    source = inspect.getsource(codes)
    docs = field_docs_of_enum(source)
    return markdown(("code", "meaning"), [(f"`{one.value}`", docs[one.name]) for one in codes.ErrorCode])


def limit_table() -> str:
    """The bounds of both sides."""
    docs = constant_docs(inspect.getsource(limits))
    rows = [(f"`{name}`", amount(name, getattr(limits, name)), reason) for name, reason in docs.items()]
    return markdown(("limit", "value", "reason"), rows)


def field_docs_of_enum(source: str) -> dict[str, str]:
    """Docstrings under the values of enumerations, by name."""
    annotated = "\n".join(_as_field(line) for line in source.splitlines())
    return {name: text for (_, name), text in field_docs(annotated).items()}


def _as_field(line: str) -> str:
    """`    NAME = value` as an annotated field, whose docstring `field_docs` knows."""
    name, equals, value = line.partition(" = ")
    return f"{name}: str = {value}" if equals and name.strip().isupper() else line


def _record(record: type[Any]) -> str:
    docs = field_docs(inspect.getsource(results))
    rows = [
        (f"`{part.name}`", part.kind.words, docs.get((record.__name__, part.name), ""))
        for part in parts(record).values()
    ]
    about = (inspect.getdoc(record) or "").split("\n\n")[0]
    return f"`{record.__name__}`: {about}\n\n{markdown(('field', 'type', 'meaning'), rows)}"


def _answered() -> list[type[Any]]:
    """Every record of every answer, each before those within it, once."""
    found: dict[type[Any], None] = {}

    def take(record: type[Any]) -> None:
        found.setdefault(record)
        for part in parts(record).values():
            inner = part.kind
            while isinstance(inner, Maybe | Several):
                inner = inner.of
            if isinstance(inner, Record):
                take(inner.of)

    for command in COMMANDS.values():
        for record in _of(command):
            take(record)
    return list(found)


def _of(command: Command[Any, Any, Any]) -> list[type[Any]]:
    return [one for one in (command.progress, command.result) if one is not Nothing]
