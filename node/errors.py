"""What can go wrong on this machine, told to the person who runs it.

NodeError
├── NoHomeDirectory       there is no place for this user's files
├── ConfigError           what the host was told cannot be used
│   ├── ConfigUnreadable  the configuration file cannot be read, or is not TOML
│   └── UnknownKey        the file or the environment holds a name that means nothing
└── KeyFileError          the identity file cannot be used; `path` says which
    ├── KeyFileUnreadable the system does not let us read it
    ├── KeyFileUnsafe     someone else can read, replace or own it
    ├── KeyFileDamaged    it does not hold an identity
    └── KeyFileUnwritable a new one cannot be stored
"""

from __future__ import annotations

from pathlib import Path


class NodeError(Exception):
    """Something on this machine stands in the way: `cause` says what, `next_step` what to do about it."""

    def __init__(self, cause: str, next_step: str) -> None:
        super().__init__(f"{cause}; {next_step}")
        self.cause = cause
        self.next_step = next_step


class NoHomeDirectory(NodeError):
    """Neither the environment nor the user database names a home directory."""


class ConfigError(NodeError):
    """What the file, the environment or the command line says cannot be used."""


class ConfigUnreadable(ConfigError):
    """The configuration file cannot be read, or is not TOML."""


class UnknownKey(ConfigError):
    """The file or the environment names a setting that does not exist."""


class KeyFileError(NodeError):
    """The identity file cannot be used."""

    def __init__(self, path: Path, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.path = path


class KeyFileUnreadable(KeyFileError):
    """The system does not let us read the identity file."""


class KeyFileUnsafe(KeyFileError):
    """Someone other than this user could read or replace the identity."""


class KeyFileDamaged(KeyFileError):
    """The file does not hold an identity."""


class KeyFileUnwritable(KeyFileError):
    """A new identity cannot be stored."""
