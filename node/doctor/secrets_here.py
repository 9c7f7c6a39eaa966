"""Finds out what on this machine must not be told: the key, tokens, and what the person and the machine are called."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from node.doctor.redacting import Known, is_secret_name

_MOST_BYTES: Final = 64 * 1024
_PLACES: Final = ("_PATH", "_FILE", "_DIR")
"""Ends of names whose values say where something is."""
_MOST_DEPTH: Final = 32
"""Security limit: of a configuration that is looked through."""
_SHARED_HOMES: Final = frozenset({"/", ""})


def known(identity_file: Path, environ: Mapping[str, str], configured: object = None) -> Known:
    """Read what is secret here; a file that cannot be read has nothing that could be told.

    Args:
        configured: the configuration, whose values that are called secrets may stand in a log as well.
    """
    home = environ.get("HOME", "")
    homes = {home, os.path.realpath(home) if home else ""} - _SHARED_HOMES
    users = {environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER")} | {_login()}
    machine = platform.node()
    return Known(
        secrets=tuple(dict.fromkeys([*_secrets(identity_file, environ), *_named(configured)])),
        homes=tuple(homes),
        users=tuple({*users, *(Path(one).name for one in homes)} - {""}),
        hosts=tuple({machine, machine.partition(".")[0], environ.get("HOSTNAME", "")} - {"", "localhost"}),
    )


def _secrets(identity_file: Path, environ: Mapping[str, str]) -> Iterator[str]:
    for line in _lines(identity_file):
        # The seed is the last word; its line as a whole is none that stands elsewhere.
        yield from line.split()[-1:]
    for name, value in environ.items():
        if is_secret_name(name) and not name.endswith(_PLACES):
            yield value
        elif "://" in value and "@" in value:
            # A proxy's address, with its login.
            yield value.partition("://")[2].rpartition("@")[0]
    for file in _token_files(environ):
        for line in _lines(file):
            yield from (word for word in line.split() if len(word) > 12)


def _named(value: object, name: str = "", depth: int = 0) -> Iterator[str]:
    """Texts of a configuration whose names call them secrets."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(value, str) and is_secret_name(name):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _named(one, str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _named(one, name, depth + 1)


def _token_files(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME") or "/nonexistent")
    hub = Path(
        environ.get("HF_HOME") or Path(environ.get("XDG_CACHE_HOME") or home / ".cache") / "huggingface"
    )
    yield from (hub / "token", hub / "stored_tokens", home / ".huggingface" / "token")
    if path := environ.get("HF_TOKEN_PATH"):
        yield Path(path)


def _lines(file: Path) -> list[str]:
    try:
        # A pipe in its place would hang.
        if not file.is_file():
            return []
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
