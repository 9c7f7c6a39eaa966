"""What was asked of this host, on disk: which slices it is to hold, and which of them are drained, paused or left.

One small JSON file, replaced as a whole and flushed, file and folder, before a command is acknowledged; so it says what
was acknowledged, or a command more, after a `kill -9` and after a loss of power. It has one writer, the process that
holds the control socket.

A file that is damaged is not taken for none: that would serve again what a person drained. It is safe to read it as
"everything is drained", so that nothing is served until a person says so; `recovery` does that. A file of a later
version is read the same way, since what it asks cannot be known.

`until` is Unix time, and clocks are set: it is told and never acted on. What ends a grace is the clock of the
process that granted it, and no session outlives that process.
"""

from __future__ import annotations

import contextlib
import glob
import json
import math
import os
import stat
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from node.lifecycle.errors import IntentsDamaged, IntentsUnreadable, IntentsUnwritable
from node.lifecycle.happenings import Aim, Intent
from node.lifecycle.wishes import MAX_MODEL_CHARS, SliceKey, Wish
from node.small_file import replace_file
from wire.errors import InvalidValue
from wire.tensors import WeightFormat
from wire.types import LayerRange

MAX_INTENTS: Final = 128
"""Twice the slices of a host: those it holds, and those of the configuration that it was asked to leave."""
_MAX_FILE_BYTES: Final = MAX_INTENTS * (4 * MAX_MODEL_CHARS + 512)
"""What the longest file takes: a character is up to four bytes in UTF-8."""
_VERSION: Final = 1
_MAX_TIME: Final = 1 << 40
_KEYS: Final = frozenset({"model", "layers", "weights", "aim", "joined", "paused", "until"})


class IntentFile:
    """What was asked of one host. Every method blocks on the disk; threads may share it."""

    def __init__(self, path: Path) -> None:
        """Name the file; neither it nor its folder needs to exist."""
        self.path = path
        self._lock = threading.Lock()
        self._kept: dict[SliceKey, Intent] = {}
        self._unsure = False
        """Whether the disk may hold something else than `_kept`, since writing failed."""

    def load(self) -> tuple[Intent, ...]:
        """Read what was asked; nothing when there is no file.

        Raises:
            IntentsDamaged: the file does not say what was asked.
            IntentsUnreadable: the system does not let us read it.
        """
        with self._lock:
            self._sweep()
            data = self._read()
            self._kept = {} if data is None else {one.wish.key: one for one in self._parsed(data)}
            return tuple(self._kept.values())

    def put(self, key: SliceKey, intent: Intent | None) -> None:
        """Keep what was asked about one slice, or forget it. When this returns it lasts.

        Raises:
            IntentsUnwritable: the disk did not take it; what was asked before stays.
        """
        with self._lock:
            kept = {one: held for one, held in self._kept.items() if one != key}
            if intent is not None:
                kept[key] = intent
            if kept != self._kept or self._unsure:
                self._write(kept)

    def start_over(self, intents: Iterable[Intent]) -> Path:
        """Put a new file in place of a damaged one, which is kept beside it; returns where.

        Raises:
            IntentsUnwritable: the disk did not take it, and the damaged file is where it was.
        """
        aside = self.path.with_name(f"{self.path.name}.damaged")
        with self._lock:
            try:
                aside.unlink(missing_ok=True)
                # A second name first: at no moment is there no file, which would mean that nothing was asked.
                os.link(self.path, aside, follow_symlinks=False)
            except OSError as error:
                raise self._unwritable(error) from error
            self._write({one.wish.key: one for one in intents})
        return aside

    def _write(self, kept: Mapping[SliceKey, Intent]) -> None:
        if len(kept) > MAX_INTENTS:
            raise IntentsUnwritable(
                self.path, f"{self.path} holds no more than {MAX_INTENTS} slices", "leave some of them first"
            )
        whole = {"version": _VERSION, "slices": [_row(one) for one in kept.values()]}
        text = json.dumps(whole, indent=1, ensure_ascii=False)
        self._unsure = True
        try:
            replace_file(self.path, text.encode(), lasting=True)
        except OSError as error:
            raise self._unwritable(error) from error
        self._kept, self._unsure = dict(kept), False

    def _read(self) -> bytes | None:
        try:
            # O_NONBLOCK: a named pipe in its place must not hang the start.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise self._damaged("it is no file")
                data = file.read(_MAX_FILE_BYTES + 1)
        except FileNotFoundError:
            return None
        except IsADirectoryError as error:
            raise self._damaged("it is no file") from error
        except OSError as error:
            raise IntentsUnreadable(
                self.path,
                f"{self.path} cannot be read ({error.strerror})",
                "let this user read it, since it says what this host is to serve",
            ) from error
        if len(data) > _MAX_FILE_BYTES:
            raise self._damaged(f"it is longer than {_MAX_FILE_BYTES} bytes")
        return data

    def _sweep(self) -> None:
        """Remove what writers left that were killed in the middle; there is one at a time, and it has not begun."""
        for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*"):
            with contextlib.suppress(OSError):
                left.unlink()

    def _parsed(self, data: bytes) -> list[Intent]:
        try:
            raw: Any = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise self._damaged("it is no JSON") from error
        version = raw.get("version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > _VERSION:
            raise self._damaged(f"it was written by a later version of this program ({version})")
        rows = raw.get("slices") if isinstance(raw, dict) else None
        if version != _VERSION or not isinstance(rows, list) or len(rows) > MAX_INTENTS:
            raise self._damaged("it is no list of slices")
        intents = [_intent(row) for row in rows]
        found = [one for one in intents if one is not None]
        if len(found) != len(intents) or len({one.wish.key for one in found}) != len(found):
            raise self._damaged("one of its slices cannot be read, or stands there twice")
        return found

    def _damaged(self, problem: str) -> IntentsDamaged:
        return IntentsDamaged(
            self.path,
            f"{self.path} does not say what was asked of this host: {problem}",
            "every slice counts as drained; undrain those that are to serve, and join again what the configuration"
            " does not name",
        )

    def _unwritable(self, error: OSError) -> IntentsUnwritable:
        return IntentsUnwritable(
            self.path,
            f"{self.path} cannot be written ({error.strerror}), so nothing was changed",
            "make room on that disk, or let this user write there, and ask again",
        )


def _row(intent: Intent) -> dict[str, object]:
    key, weights = intent.wish.key, intent.wish.weights
    return {
        "model": key.model,
        "layers": None if key.layers is None else str(key.layers),
        "weights": None if weights is None else weights.value,
        "aim": intent.aim.value,
        "joined": intent.joined,
        "paused": intent.paused,
        "until": intent.until,
    }


def _intent(row: Any) -> Intent | None:
    """Read one row; None when it is not one. Nothing is guessed: what is half understood is not obeyed by half."""
    if not isinstance(row, dict) or row.keys() != _KEYS:
        return None
    model, layers, weights, until = row["model"], row["layers"], row["weights"], row["until"]
    if not (isinstance(model, str) and (layers is None or isinstance(layers, str))):
        return None
    if not (isinstance(row["joined"], bool) and isinstance(row["paused"], bool) and _is_time(until)):
        return None
    try:
        key = SliceKey(model, None if layers is None else LayerRange.parse(layers))
        return Intent(
            wish=Wish(key=key, weights=None if weights is None else WeightFormat(weights)),
            aim=Aim(row["aim"]),
            joined=row["joined"],
            paused=row["paused"],
            until=until,
        )
    except (InvalidValue, ValueError):
        return None


def _is_time(value: Any) -> bool:
    if value is None:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 <= value < _MAX_TIME
