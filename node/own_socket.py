"""Where this user's host has its control socket: for whoever asks it, by the same settings that tell the host."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from node import readers
from node.config_file import read_table, usual_file
from node.errors import ConfigError, ConfigUnreadable
from node.settings import BY_NAME

_CONTROL: Final = BY_NAME["control"]


def named(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Path | None:
    """Return the socket that the environment or the configuration file name; None for the usual place.

    A file that cannot be read says nothing here: the host that runs may have read what stood there before, and says
    what is wrong with it when it is asked to read it again. Blocks on the disk.

    Args:
        environ: the environment; this process's when None.
        file: the configuration file; the usual one when None.

    Raises:
        ConfigError: they say that the host has no socket, or name no path.
    """
    environ = os.environ if environ is None else environ
    file = usual_file() if file is None else file
    where, value = _said(environ, file)
    if value is None:
        return None
    try:
        path = readers.path(value) if _CONTROL.read(value) is not None else None
    except ValueError as error:
        raise ConfigError(
            f"{where} says control = {value!r}, which is not {error}", "correct it there"
        ) from error
    if path is None:
        raise ConfigError(
            f"{where} says that this user's host has no control socket (control = off)",
            "take that out and start the host anew, or name the socket of another host with --control",
        )
    return path


def _said(environ: Mapping[str, str], file: Path | None) -> tuple[object, object]:
    """Who says what, the one who wins; nobody says None."""
    for variable in reversed(_CONTROL.variables):
        if environ.get(variable):
            return variable, environ[variable]
    if file is not None:
        with suppress(ConfigUnreadable, ConfigError):
            return file, read_table(file, required=False).get(_CONTROL.name)
    return None, None
