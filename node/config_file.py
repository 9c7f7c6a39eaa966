"""The configuration file of a host, as the values that stand in it; what they mean is for `node.settling`."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any, Final

from node import paths
from node.errors import ConfigError, ConfigUnreadable, NoHomeDirectory

NAME: Final = "node.toml"
MOST_BYTES: Final = 1 << 20
"""Security limit: a file of this size is nothing that a person wrote."""


def usual_file() -> Path | None:
    """Return where the file is when nobody names one; None for a user without a home."""
    try:
        return paths.config_dir() / NAME
    except NoHomeDirectory:
        return None


def read_table(path: Path, *, required: bool) -> dict[str, Any]:
    """Return what stands in the file, by names with underscores; nothing when it is missing. Blocks on the disk.

    Args:
        required: whether it must exist.

    Raises:
        ConfigUnreadable: it cannot be read, or is not TOML.
        ConfigError: a key stands there in both its spellings.
    """
    data = _data(path, required=required)
    try:
        raw = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        # `TOMLDecodeError`, `UnicodeDecodeError`, or a number or nesting that Python does not take.
        reason = " ".join(str(error).split())
        raise ConfigUnreadable(f"{path} is not TOML ({reason})", "correct it there") from error
    table: dict[str, Any] = {}
    for key, value in raw.items():
        name = underscored(key)
        if name in table:
            raise ConfigError(f"{path} says {key!r} twice", "leave out one of them")
        table[name] = value
    return table


def underscored(key: str) -> str:
    """Return the name of a setting, whose key may be written with dashes or underscores."""
    return key.replace("-", "_")


def _data(path: Path, *, required: bool) -> bytes:
    try:
        # Not to wait for whoever writes into a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ConfigUnreadable(f"{path} is not a file", "name a file of TOML with --config")
            data = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        if required:
            raise ConfigUnreadable(
                f"there is no configuration file {path}", "check the path, or leave out --config"
            ) from error
        return b""
    except OSError as error:
        raise ConfigUnreadable(
            f"the configuration file {path} cannot be read ({error.strerror or error})",
            "check its permissions",
        ) from error
    if len(data) > MOST_BYTES:
        raise ConfigUnreadable(
            f"{path} is longer than {MOST_BYTES >> 20} MiB", "name the right file with --config"
        )
    return data
