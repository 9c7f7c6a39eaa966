"""What a hub said once and will say again: which commit a revision was, what is in a commit, small files and headers.

All but the first is named by the commit and never changes. So a start without a connection can go on, and another start
asks little. A cache that cannot be written (full disk, read-only) only costs time; what cannot be read is not there.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

from node.small_file import remember
from node.store.hub_library import Listing, RemoteFile
from node.store.hub_name import HubName, is_commit

_MAX_JSON_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Which commit a revision was, and when."""

    commit: str
    when: float
    """Seconds since 1970."""

    @property
    def date(self) -> str:
        """The day, for a person."""
        return datetime.fromtimestamp(self.when, tz=UTC).strftime("%Y-%m-%d")


class HubCache:
    """One repository's part of the cache."""

    def __init__(
        self, folder: Path, endpoint: str, repo: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Use `folder`, which is shared by all repositories of all hubs."""
        # Apart by endpoint: one hub's word must not become another's.
        self._folder = folder / "hub" / quote(endpoint, safe="") / repo.replace("/", "--")
        self._clock = clock

    def pin(self, name: HubName, commit: str) -> None:
        """Remember which commit a revision is."""
        remember(
            self._path("pins", name.revision), json.dumps({"commit": commit, "when": self._clock()}).encode()
        )

    def pinned(self, name: HubName) -> Pin | None:
        """Return which commit a revision was."""
        try:
            value = json.loads(self._read("pins", name.revision, _MAX_JSON_BYTES) or b"")
            pin = Pin(commit=value["commit"], when=float(value["when"]))
            return pin if is_commit(pin.commit) and pin.date else None
        except (ValueError, KeyError, TypeError, OverflowError, OSError, RecursionError):
            return None

    def keep_listing(self, listing: Listing) -> None:
        """Remember what a commit holds."""
        rows = [[one.name, one.size, one.oid] for one in listing.files.values()]
        remember(self._path(listing.commit, "listing"), json.dumps(rows).encode())

    def listing(self, commit: str) -> Listing | None:
        """Return what a commit holds."""
        try:
            rows = json.loads(self._read(commit, "listing", _MAX_JSON_BYTES) or b"")
            files = {
                str(name): RemoteFile(name=str(name), size=int(size), oid=str(oid))
                for name, size, oid in rows
            }
        except (ValueError, TypeError, RecursionError):
            return None
        return Listing(commit=commit, files=files)

    def keep(self, commit: str, kind: str, file: str, data: bytes) -> None:
        """Remember bytes of a commit: `kind` says which of `file`."""
        remember(self._path(commit, f"{kind} {file}"), data)

    def kept(self, commit: str, kind: str, file: str, most: int) -> bytes | None:
        """Return bytes that were kept, when they are at most so many."""
        return self._read(commit, f"{kind} {file}", most)

    def drop(self, commit: str, kind: str, file: str) -> None:
        """Forget bytes that were kept."""
        with suppress(OSError):
            self._path(commit, f"{kind} {file}").unlink()

    def _path(self, group: str, name: str) -> Path:
        # A digest, for names are a hub's and can be as long as a path or equal but for their case.
        return self._folder / group / hashlib.sha256(name.encode()).hexdigest()

    def _read(self, group: str, name: str, most: int) -> bytes | None:
        try:
            with self._path(group, name).open("rb") as file:
                data = file.read(most + 1)
        except OSError:
            return None
        return data if len(data) <= most else None
