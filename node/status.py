"""What `lamella-node` says of itself while it runs: JSON lines for scripts, sentences for people.

With `--json` each line on standard output is one object with `event`: `loading`, `ready`, `stopping`, `stopped` or
`error`. Everything else, logs included, goes to standard error.
"""

from __future__ import annotations

import json
import sys
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
            print(json.dumps({"event": event, **facts}), file=self._out, flush=True)
            return
        if self._open_line:
            print(file=self._err)
            self._open_line = False
        print(sentence, file=self._err, flush=True)

    def progress(self, what: str, fraction: float) -> None:
        """Show how far a long step is, on a terminal only; scripts get whole events."""
        if self._terminal and not self._json:
            print(f"\r{what} {fraction:4.0%}", end="", file=self._err, flush=True)
            self._open_line = True
