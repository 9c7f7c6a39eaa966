"""Sources that sent wrong bytes, remembered for a while: they are not asked again, by any process of this user.

A small JSON file, replaced as a whole. A file that is damaged is as good as none, and is written anew with the next
entry: losing it costs one more lie, which is found out again. Two processes that write at the same moment may lose one
of both entries, at the same price.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from time import time
from typing import Final

from node.small_file import read_object, remember

KEPT_S: Final = 7 * 86_400
"""A week: long enough to matter to who lies, and an honest host with a bad disk comes back."""
MAX_ENTRIES: Final = 1_000
"""Security limit: names are cheap for who lies; the oldest entries go."""
MAX_LABEL_CHARS: Final = 128
_MAX_FILE_BYTES: Final = 1024 * 1024
_VERSION: Final = 1


class Distrust:
    """Which sources have sent wrong bytes."""

    def __init__(self, path: Path, now: Callable[[], float] = time) -> None:
        """Read the file at `path`, if there is one. `now` is Unix time in seconds. Blocks on the disk."""
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._entries = self._read()

    def __contains__(self, label: object) -> bool:
        """Whether a source lied within the last week."""
        since = self._entries.get(label) if isinstance(label, str) else None
        return since is not None and self._fresh(since)

    def remember(self, label: str) -> None:
        """Distrust a source from now on. Blocks on the disk; if that cannot be written, it is remembered in memory."""
        with self._lock:
            entries = self._read() | self._entries | {label[:MAX_LABEL_CHARS]: self._now()}
            fresh = {one: since for one, since in entries.items() if self._fresh(since)}
            latest = sorted(fresh, key=lambda one: fresh[one])[-MAX_ENTRIES:]
            self._entries = {one: fresh[one] for one in latest}
            self._write()

    def _fresh(self, since: float) -> bool:
        # An entry from the future is a clock that was set back since.
        return abs(self._now() - since) < KEPT_S

    def _read(self) -> dict[str, float]:
        raw = read_object(self._path, _MAX_FILE_BYTES)
        if raw.get("version") != _VERSION:
            return {}
        entries = raw.get("sources")
        if not isinstance(entries, dict) or len(entries) > MAX_ENTRIES:
            return {}
        return {
            label: float(since)
            for label, since in entries.items()
            if len(label) <= MAX_LABEL_CHARS and type(since) in {int, float} and self._fresh(since)
        }

    def _write(self) -> None:
        text = json.dumps({"version": _VERSION, "sources": self._entries}, indent=1)
        remember(self._path, text.encode())
