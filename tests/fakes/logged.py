"""A log that a test reads: the root of `logging` is taken over for as long as the test lasts."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from node.sight.logs import Logs


class Clock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stream that says it is a terminal, or is not."""

    def __init__(self, *, is_terminal: bool = False) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    @property
    def lines(self) -> list[str]:
        """What was written."""
        return self.getvalue().splitlines()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What was written, as JSON lines."""
        return [json.loads(line) for line in self.lines]


@contextmanager
def logging_to(stream: Terminal, *, level: int = logging.DEBUG, **options: Any) -> Iterator[Logs]:
    """Logs that take everything of this process."""
    logs = Logs(stream, **options)
    logs.install(level)
    try:
        yield logs
    finally:
        logs.remove()
