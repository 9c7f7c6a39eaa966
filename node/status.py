"""What `lamella-node` says of itself while it runs: JSON lines for scripts, sentences for people.

With `--json` each line on standard output is one object with `event`: `loading`, `ready`, `waiting`, `stopping`,
`stopped` or `error`. Everything else, logs included, goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from typing import TextIO


class StatusLine:
    """Writes what happens, in the form that was asked for."""

    def __init__(self, *, as_json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._json = as_json
        self._out = out if out is not None else sys.stdout
        self._err = err if err is not None else sys.stderr
        self._terminal = self._err.isatty()
        self._open_line = False

    def say(self, event: str, sentence: str, **facts: object) -> None:
        """Report an event: `facts` to a script, the sentence to a person."""
        if self._json:
            _write(self._out, json.dumps({"event": event, **facts}) + "\n")
        else:
            self._tell(sentence)

    def print(self, text: str) -> None:
        """Write what a person asked to see to standard output."""
        if self._open_line:
            # Both are one terminal: what is asked for takes the place of how far it is.
            _write(self._err, "\r\x1b[K")
            self._open_line = False
        _write(self._out, text + "\n")

    def fail(self, message: str) -> None:
        """Report why the host ends: to a person in any case, and as the event `error` to a script."""
        if self._json:
            self.say("error", message, message=message)
        self._tell(f"lamella-node: {message}")

    def progress(self, what: str, fraction: float) -> None:
        """Show how far a long step is, on a terminal only; scripts get whole events."""
        if self._terminal and not self._json:
            _write(self._err, f"\r\x1b[K{what} {fraction:4.0%}")
            self._open_line = True

    def _tell(self, sentence: str) -> None:
        if self._open_line:
            _write(self._err, "\n")
            self._open_line = False
        _write(self._err, sentence + "\n")


def _write(stream: TextIO, text: str) -> None:
    """Write at once. That nobody reads it any more (a closed pipe, a full disk) is no reason to stop serving."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # What is buffered would fail again, at the latest when Python flushes it at its end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError:
        return
