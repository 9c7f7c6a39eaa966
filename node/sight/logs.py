"""The host's log: lines for people on a terminal, JSON otherwise, the latest records for whoever asks over the control
socket.

One handler at the root of `logging` takes every record, of other libraries too, makes of it what may be told
(`records`), holds floods back (`sparing`), keeps it (`ring`) and writes it out. Writing never raises: what cannot be
written is counted.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TextIO

from node.sight.facts import LogFacts
from node.sight.records import MAX_CHARS, Record, Stamps, told
from node.sight.ring import Ring
from node.sight.sparing import Sparing

_SUMMED_CHARS: Final = 200
"""Of the message that stands for those like it."""


class Logs(logging.Handler):
    """Takes all records of this process while it is installed."""

    def __init__(
        self,
        stream: TextIO,
        *,
        as_json: bool | None = None,
        max_chars: int = MAX_CHARS,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            as_json: one JSON object a line; when None, unless `stream` is a terminal.
            max_chars: of a message.
            wall: Unix time in seconds.
            clock: seconds that never go back.
        """
        super().__init__()
        self.ring = Ring()
        self._stream = stream
        self._as_json = not stream.isatty() if as_json is None else as_json
        self._max_chars = max_chars
        self._stamps = Stamps(wall)
        self._clock = clock
        self._sparing = Sparing()
        self._counts: Counter[str] = Counter()
        self._unwritten = 0
        self._replaced: tuple[list[logging.Handler], int] = ([], logging.WARNING)

    def install(self, level: int = logging.INFO) -> None:
        """Take the place of all other handlers at the root."""
        root = logging.getLogger()
        self._replaced = root.handlers[:], root.level
        root.handlers = [self]
        root.setLevel(level)

    def remove(self) -> None:
        """Sum up what was held back, and give the root back what it had."""
        self._settle(everything=True)
        root = logging.getLogger()
        if self in root.handlers:
            root.handlers, level = self._replaced
            root.setLevel(level)
        self.close()

    def settle(self) -> None:
        """Sum up floods that are over. To be called now and then, since a log that is silent has nobody to do it."""
        self._settle()

    def facts(self) -> LogFacts:
        """How much was logged."""
        return LogFacts(records=dict(self._counts), spared=self._sparing.spared, unwritten=self._unwritten)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; called by `logging`, under this handler's lock."""
        now = self._clock()
        for one in self._due(now, everything=False):
            self._tell(one)
        site = record.pathname, record.lineno
        # Who asked for debugging wants everything; it is off otherwise.
        if record.levelno < logging.INFO or self._sparing.admits(site, now):
            said = told(record, at=self._stamps.next(), max_chars=self._max_chars)
            self._tell(said)
            self._sparing.keep(site, said)

    def _settle(self, *, everything: bool = False) -> None:
        self.acquire()
        try:
            for one in self._due(self._clock(), everything=everything):
                self._tell(one)
        finally:
            self.release()

    def _due(self, now: float, *, everything: bool) -> list[Record]:
        summed = []
        for held in self._sparing.due(now, everything=everything):
            like = held.kept
            if isinstance(like, Record):
                words = like.message[:_SUMMED_CHARS]
                summed.append(
                    Record(
                        time=self._stamps.next(),
                        level=like.level,
                        number=like.number,
                        logger=like.logger,
                        message=f"{held.count} more like this within {self._sparing.window_s:.0f} s: {words}",
                    )
                )
        return summed

    def _tell(self, record: Record) -> None:
        self._counts[record.level] += 1
        self.ring.add(record)
        line = as_json(record) if self._as_json else as_line(record)
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # A terminal that is gone, a full disk, a closed file: the host goes on, and the ring still has it.
            self._unwritten += 1


def as_line(record: Record) -> str:
    """A record for people."""
    session = "" if record.session is None else f" [session {record.session}]"
    return f"{_utc(record.time, ' ')} {record.level.upper()} {record.logger}{session} {record.message}"


def as_json(record: Record) -> str:
    """A record for programs: one JSON object, in ASCII."""
    fields = {
        "time": _utc(record.time, "T"),
        "level": record.level,
        "logger": record.logger,
        "message": record.message,
    }
    if record.session is not None:
        fields["session"] = record.session
    return json.dumps(fields)


def _utc(unix_s: float, between: str) -> str:
    """RFC 3339 §5.6, to the millisecond."""
    stamp = datetime.fromtimestamp(unix_s, UTC).isoformat(between, "milliseconds")
    return stamp.removesuffix("+00:00") + "Z"
