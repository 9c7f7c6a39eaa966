"""Reads the file of machines: TOML with a `[[machine]]` each, and a `[[link]]` where one is unlike the others.

Strict: a key that is not known is an error, since a misspelt one would be a plan for machines that are not there.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.planning import machines
from node.planning.errors import BadMachineFile
from node.planning.machines import Fleet, Link, Machine
from node.slices.spec import CPU, is_device

MAX_BYTES: Final = 256 * 1024
"""Security limit: far more than `machines.MOST_MACHINES` and the links between them take."""
MOST_LINKS: Final = machines.MOST_MACHINES * (machines.MOST_MACHINES - 1) // 2
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)
_MOST_MEMORY: Final = 1 << 50
_HEADER: Final = re.compile(r"^\s*\[\[?\s*([\w-]+)\s*\]\]?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Where:
    """A table of the file, for complaints."""

    path: Path
    words: str
    """As in `machine 2 ("desk")`; empty for what is above all tables."""
    lines: Mapping[str, int]
    """The line of each key; of the table itself under the empty name."""

    def error(self, problem: str, next_step: str, key: str = "") -> BadMachineFile:
        """The error about `key` of this table, or about all of it."""
        line = self.lines.get(key, self.lines.get(""))
        place = f"{self.path}" + (f", line {line}" if line is not None else "")
        subject = f"{self.words}: " if self.words else ""
        return BadMachineFile(f"{place}: {subject}{problem}", next_step)


def read(path: Path) -> Fleet:
    """Read a file of machines. Raises `BadMachineFile`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadMachineFile(
            f"{path} cannot be read ({error.strerror})", "give the file of machines"
        ) from error
    if len(data) > MAX_BYTES:
        raise BadMachineFile(f"{path} is larger than {MAX_BYTES} bytes", "give the file of machines")
    try:
        return parse(data.decode("utf-8"), path)
    except UnicodeDecodeError as error:
        raise BadMachineFile(f"{path} is not UTF-8 text", "save it as UTF-8") from error


def parse(text: str, path: Path) -> Fleet:
    """Read the text of a file of machines; `path` is for complaints. Raises `BadMachineFile`."""
    try:
        top = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # the first also for numbers too long for Python to read
        raise BadMachineFile(f"{path} is not TOML: {error}", "see `lamella plan --help`") from error
    lines = _lines(text)
    where = _Where(path, "", lines.get(("", 0), {}))
    tables = _tables(where, top, "machine", machines.MOST_MACHINES)
    values = _values(where, {key: one for key, one in top.items() if key not in {"machine", "link"}}, _TOP)
    found: list[Machine] = []
    for number, table in enumerate(tables):
        named = f'machine {number + 1} ("{table["name"]}")' if _is_name(table.get("name")) else ""
        place = _Where(path, named or f"machine {number + 1}", lines.get(("machine", number), {}))
        found.append(_machine(place, table, found))
    if not found:
        raise where.error("there is no [[machine]]", "see `lamella plan --help` for an example")
    links: dict[frozenset[str], Link] = {}
    usual = Link(**values)
    for number, table in enumerate(_tables(where, top, "link", MOST_LINKS)):
        place = _Where(path, f"link {number + 1}", lines.get(("link", number), {}))
        pair, link = _link(place, table, [one.name for one in found], usual)
        if pair in links:
            raise place.error(f"{_and(pair)} have a link already", "keep one of the two", "between")
        links[pair] = link
    client = next((one for one in found if one.client), None)
    return Fleet(
        client=client or _assumed([one.name for one in found]),
        hosts=tuple(one for one in found if not one.client),
        links=links,
        usual=usual,
        assumed_client=client is None,
    )


def _assumed(names: Sequence[str]) -> Machine:
    """A client, where no machine of the file is one, by a name that none of them has."""
    name = "client"
    while name in names:
        name += "'"
    return Machine(name=name, memory=machines.ASSUMED_MEMORY, client=True)


def _machine(where: _Where, table: Mapping[str, Any], before: Sequence[Machine]) -> Machine:
    values = _values(where, table, _MACHINE)
    for key in ("name", "memory"):
        if key not in values:
            raise where.error(f"there is no {key}", f"add one, as in {_NEEDED[key]}")
    if values["name"] in [one.name for one in before]:
        raise where.error("another machine has this name", "give each its own", "name")
    if values.get("client") and any(one.client for one in before):
        raise where.error("another machine is the client already", "mark one of them", "client")
    if values.get("device", CPU) != CPU:
        values.setdefault("bandwidth", machines.DEFAULT_GPU_BANDWIDTH)
    return Machine(**values)


def _link(
    where: _Where, table: Mapping[str, Any], names: Sequence[str], usual: Link
) -> tuple[frozenset[str], Link]:
    values = _values(where, table, _LINK)
    between = values.pop("between", None)
    if between is None:
        raise where.error("there is no between", 'add the two machines, as in between = ["desk", "attic"]')
    for name in between:
        if name not in names:
            raise where.error(f"there is no machine {name!r}", _nearest(name, names), "between")
    rate, latency = values.get("rate", usual.rate), values.get("latency_ms", usual.latency_ms)
    return between, Link(latency_ms=latency, rate=rate)


def _tables(where: _Where, top: Mapping[str, Any], name: str, most: int) -> list[dict[str, Any]]:
    tables = top.get(name, [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise where.error(f"{name} is not a list of tables", f"write [[{name}]] above each")
    if len(tables) > most:
        raise where.error(f"there are {len(tables)} {name}s", f"describe at most {most}")
    return tables


@dataclass(frozen=True, slots=True)
class _Key:
    """One key that a table may have."""

    field: str
    """What it is called in the value that is made."""
    read: Callable[[object], object]
    """Checks and converts; raises `ValueError` with what is expected."""


def _values(where: _Where, table: Mapping[str, Any], keys: Mapping[str, _Key]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, raw in table.items():
        if key not in keys:
            raise where.error(f"there is no key {key[:60]!r}", _nearest(key, list(keys)), key)
        try:
            values[keys[key].field] = keys[key].read(raw)
        except ValueError as error:
            raise where.error(f"{key} is {str(raw)[:60]!r}", f"write {error}", key) from error
    return values


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 40 and value.isprintable() and value == value.strip()


def _name(value: object) -> object:
    if not _is_name(value):
        raise ValueError("a name of 1 to 40 printable characters")
    return value


def size(value: object) -> int:
    """A size in bytes, written as `512M` or `8G`. Raises `ValueError` with what is expected."""
    expected = "a size from 1M to 1024T, as in '512M' or '8G'"
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(expected)
    count = int(float(found[1]) * _UNITS[found[2].upper()])
    if not 1 << 20 <= count <= _MOST_MEMORY:
        raise ValueError(expected)
    return count


def _number(low: float, high: float, unit: str) -> Callable[[object], float]:
    def read(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"a number of {unit} from {low:g} to {high:g}")
        if not low <= value <= high:
            raise ValueError(f"a number of {unit} from {low:g} to {high:g}")
        return float(value)

    return read


def _switch(value: object) -> object:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _device(value: object) -> object:
    if not isinstance(value, str) or not is_device(value):
        raise ValueError("cpu, cuda, or cuda:0")
    return value


def _pair(value: object) -> frozenset[str]:
    if isinstance(value, list) and len(value) == 2 and all(map(_is_name, value)) and value[0] != value[1]:
        return frozenset(value)
    raise ValueError("the names of two machines, as in ['desk', 'attic']")


_LATENCY: Final = _Key("latency_ms", _number(0, 10_000, "milliseconds"))
_RATE: Final = _number(0.01, 1e6, "Mbit/s")
_TOP: Final = {"latency_ms": _LATENCY, "rate": _Key("rate", _RATE)}
_LINK: Final = {"between": _Key("between", _pair), **_TOP}
_MACHINE: Final = {
    "name": _Key("name", _name),
    "memory": _Key("memory", size),
    "memory_bandwidth": _Key("bandwidth", _number(0.1, 100_000, "GB/s")),
    "device": _Key("device", _device),
    "uplink": _Key("uplink", _RATE),
    "downlink": _Key("downlink", _RATE),
    "client": _Key("client", _switch),
}
_NEEDED: Final = {"name": 'name = "desk"', "memory": 'memory = "8G"'}


def _lines(text: str) -> dict[tuple[str, int], dict[str, int]]:
    """The line of every key of every table, by the table's name and its number among those of that name.

    For complaints only: what is not written in the usual way has no line.
    """
    found: dict[tuple[str, int], dict[str, int]] = {}
    table, counts = ("", 0), dict[str, int]()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header is not None:
            table = (header[1], counts.get(header[1], 0))
            counts[header[1]] = table[1] + 1
            found[table] = {"": number}
        elif "=" in line:
            found.setdefault(table, {}).setdefault(line.partition("=")[0].strip().strip("\"'"), number)
    return found


def _and(names: frozenset[str]) -> str:
    return " and ".join(sorted(names))
