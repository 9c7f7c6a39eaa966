"""What the service has on the disk: one unit file and what systemd keeps beside it.

Nothing is changed that is not ours. Functions here block on the disk; call them from a thread.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.paths import make_private
from node.service.errors import FileNotWritten, ForeignUnit
from node.service.unit import MARKER
from node.small_file import replace_file

_MAX_UNIT_BYTES: Final = 1 << 20
"""More than systemd would read of a line; a longer file is none of ours."""
_CONTROL: Final = "user.control"
"""Where `systemctl set-property` puts what it is told."""


@dataclass(frozen=True, slots=True)
class UnitFile:
    """The place of a unit in a user's own configuration."""

    folder: Path
    """`systemd/user` in the user's configuration."""
    name: str

    @property
    def path(self) -> Path:
        """The unit file."""
        return self.folder / self.name

    def read(self) -> str | None:
        """Return what we wrote; None when there is nothing.

        Raises:
            ForeignUnit: something is there that we did not write.
        """
        try:
            status = self.path.lstat()
            if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_UNIT_BYTES:
                raise self._foreign("it is a link, a mask or no plain file")
            found = self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._foreign(f"it cannot be read: {error.strerror}") from error
        if not found.startswith(MARKER):
            raise self._foreign("Lamella did not write it")
        return found

    def write(self, text: str) -> None:
        """Put a unit in its place. Raises `FileNotWritten`."""
        try:
            replace_file(self.path, text.encode(errors="surrogateescape"))
        except OSError as error:
            raise FileNotWritten(
                f"the unit file {self.path} cannot be written: {error.strerror}",
                "make room, or make the folder writable",
            ) from error

    def remove(self, runtime: Path | None, *, with_settings: bool = True) -> tuple[Path, ...]:
        """Remove the unit, the settings that were added to it, and links to it; returns what went.

        Args:
            runtime: the folder of this login session, where settings until the next boot are.
            with_settings: whether the settings go, too.

        Raises:
            FileNotWritten: something cannot be removed.
        """
        gone = []
        settings = self._settings(runtime) if with_settings else []
        for path in (self.path, *settings, *self._links()):
            try:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise FileNotWritten(
                    f"{path} cannot be removed: {error.strerror}", "remove it by hand, then run this again"
                ) from error
            gone.append(path)
        for folder in (self.folder, self.folder.parent / _CONTROL, self.folder.parent):
            # Others may have units there; then it is not empty, and stays.
            with suppress(OSError):
                folder.rmdir()
        return tuple(gone)

    def _settings(self, runtime: Path | None) -> list[Path]:
        config = self.folder.parent
        homes = [self.folder, config / _CONTROL]
        if runtime is not None:
            homes += [runtime / "systemd" / "user", runtime / "systemd" / _CONTROL]
        return [home / f"{self.name}.d" for home in homes]

    def _links(self) -> list[Path]:
        folders = [*self.folder.glob("*.wants"), *self.folder.glob("*.requires")]
        return [folder / self.name for folder in folders]

    def _foreign(self, why: str) -> ForeignUnit:
        return ForeignUnit(
            self.path,
            f"{self.path} is in the way: {why}",
            "look at it, and move it away if nothing needs it",
        )


def make(folders: Iterable[Path]) -> None:
    """Make the folders that the host writes to, for this user alone. Raises `FileNotWritten`."""
    for folder in folders:
        try:
            make_private(folder)
        except OSError as error:
            raise FileNotWritten(
                f"the folder {folder} cannot be made: {error.strerror}",
                "make room, or choose another one by XDG_DATA_HOME or XDG_CACHE_HOME",
            ) from error
        if not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise FileNotWritten(
                f"{folder} is no folder that can be written to",
                "remove it, or make it writable by `chmod u+w`",
            )
