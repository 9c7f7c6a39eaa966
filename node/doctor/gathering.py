"""Collects what is put into a report, each part by itself: what cannot be had is said, and the others are told.

What is here is as it was found. `bundle` redacts all of it before anything is written.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import sys
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from node import inventory
from node.control.arguments import LogsArguments, NoArguments
from node.control.client import ControlClient, connected
from node.control.commands import HOSTING, LOGS, METRICS, PEERS, STATUS
from node.control.results import LogRecord
from node.control.shapes import plain
from node.doctor.bundle import Absent, Part
from node.doctor.examining import aside
from node.doctor.finding import Examined
from node.errors import NodeError
from node.service.installing import NAME
from node.service.programs import Programs
from node.store.chunks import ChunkStore

CONFIGURATION: Final = "configuration.json"
LOG_LINES: Final = 500
_ANSWER_S: Final = 10.0
_MOST_CONFIG_BYTES: Final = 1 << 20
_LIBRARIES: Final = (
    "aiohttp", "cbor2", "cryptography", "huggingface_hub", "kademlia", "numpy", "PyNaCl", "safetensors", "tokenizers",
    "torch", "torchao", "transformers", "uvloop", "zeroconf",
)  # fmt: skip
_OURS: Final = "LAMELLA_"
_SET: Final = (
    "OMP_NUM_THREADS",
    "XDG_RUNTIME_DIR",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "HF_HOME",
)
"""Variables of others that change what a host does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where to look."""

    config: Path
    """Lamella's own folder of configuration."""
    weights: Path
    socket: Path | None = None
    environ: Mapping[str, str]


@dataclass(slots=True)
class Gathered:
    """What was found, and what was not."""

    parts: list[Part]
    absent: list[Absent]


async def gather(places: Places, programs: Programs, examined: list[Examined]) -> Gathered:
    """Collect all parts."""
    found = Gathered([], [])
    found.parts.append(
        Part(
            name="doctor.json",
            about="what `lamella-node doctor` found",
            value=[one.facts() for one in examined],
        )
    )
    found.parts.append(Part(name="build.json", about="versions and the system", value=build_facts()))
    await _add(found, CONFIGURATION, "configuration files and variables", lambda: _config(places))
    await _add(found, "service.log", f"the last {LOG_LINES} lines of the service", lambda: journal(programs))
    await _add(found, "store.json", "which weights are here", lambda: _store(places.weights))
    await _hear(found, places.socket)
    return found


def build_facts() -> dict[str, Any]:
    """Versions of the program, its libraries and the system."""
    versions: dict[str, str | None] = {}
    for name in ("lamella", *_LIBRARIES):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "versions": versions,
        "python": sys.version,
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": " ".join(platform.libc_ver()),
        "cores": os.cpu_count(),
    }


def configuration(folder: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The configuration files of a folder, read as TOML, and the variables that matter. Raises `OSError`."""
    files: dict[str, Any] = {}
    for path in sorted(folder.glob("*.toml")) if folder.is_dir() else []:
        with path.open("rb") as file:
            data = file.read(_MOST_CONFIG_BYTES)
        try:
            files[path.name] = tomllib.loads(data.decode())
        except ValueError as error:
            # Its text is not told: what cannot be read cannot be searched for what is called a secret.
            files[path.name] = f"not TOML: {type(error).__name__}"
    variables = {name: value for name, value in environ.items() if name.startswith(_OURS) or name in _SET}
    return {"files": files, "variables": variables}


async def journal(programs: Programs) -> str:
    """The end of what the service wrote. Raises `ServiceError`."""
    words = ("--user", "--unit", NAME, "--lines", str(LOG_LINES), "--output", "short-iso", "--no-hostname")
    answer = programs.judged(await programs.run("journalctl", *words, "--no-pager", "--quiet"))
    if not answer.out.strip():
        raise Nothing("the service wrote nothing, or is not installed", "`lamella-node service install`")
    return answer.out


class Nothing(NodeError):
    """There is nothing to tell."""


async def _config(places: Places) -> dict[str, Any]:
    return await aside(lambda: configuration(places.config, places.environ))


async def _store(weights: Path) -> dict[str, Any]:
    return await aside(lambda: stored(weights))


def stored(weights: Path) -> dict[str, Any]:
    """What a store holds; makes none. Raises `Nothing` or `StoreUnusable`."""
    if not weights.is_dir():
        raise Nothing("no weights were fetched yet", "a host fetches what it serves")
    return inventory.take(ChunkStore(weights)).as_json()


async def _hear(found: Gathered, socket: Path | None) -> None:
    """Add what a running host says of itself."""
    try:
        async with connected(socket) as client:
            for command in (STATUS, HOSTING, METRICS, PEERS):
                await _add(
                    found,
                    f"{command.name}.json",
                    f"what the running host answers to `ctl {command.name}`",
                    lambda asked=command: _asked(client, asked),  # type: ignore[misc]  # mypy cannot infer a default's type
                )
            await _add(
                found, "host.log", "the last log records of the running host", lambda: _records(client)
            )
    except NodeError as error:
        found.absent.append(Absent(name="status, metrics and log of a running host", why=error.cause))


async def _asked(client: ControlClient, command: Any) -> dict[str, Any]:
    return plain(await client.call(command, NoArguments(), timeout_s=_ANSWER_S))


async def _records(client: ControlClient) -> str:
    lines: list[str] = []

    def told(record: LogRecord) -> None:
        lines.append(json.dumps(plain(record), ensure_ascii=False))

    await client.call(LOGS, LogsArguments(lines=LOG_LINES), told=told, timeout_s=_ANSWER_S)
    return "\n".join(lines)


async def _add(found: Gathered, name: str, about: str, work: Callable[[], Awaitable[Any]]) -> None:
    try:
        async with asyncio.timeout(2 * _ANSWER_S):
            value = await work()
    except NodeError as error:
        found.absent.append(Absent(name=name, why=error.cause))
    except (OSError, ValueError) as error:
        found.absent.append(Absent(name=name, why=f"{type(error).__name__}: {error}"))
    else:
        found.parts.append(Part(name=name, about=about, value=value))
