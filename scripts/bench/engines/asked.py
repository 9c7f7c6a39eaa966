"""What every engine's process does: read a measurement to take, take it, write the times.

A request is one JSON object a line, `{"prompt": 512, "tokens": 32, "chunk": 0}`. The answer has the seconds of the
prefill (to the first token), of each decode step with its sampling, and the tokens.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Protocol


class Engine(Protocol):
    """A loaded model. Its tokens are the likeliest ones."""

    def begin(self, ids: list[int], chunk: int) -> int:
        """Forget everything, read a prompt (`chunk` tokens at a time; 0 is all at once), return the first token."""
        ...

    def step(self, token: int) -> int:
        """Read one token, return the next."""
        ...


def answer(engine: Engine) -> None:
    """Answer measurements until standard input ends."""
    print(json.dumps({"event": "ready"}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        ids = [index % 250 for index in range(asked["prompt"])]
        started = perf_counter()
        tokens = [engine.begin(ids, asked["chunk"])]
        prefill_s = perf_counter() - started
        steps = []
        for _ in range(asked["tokens"]):
            started = perf_counter()
            tokens.append(engine.step(tokens[-1]))
            steps.append(perf_counter() - started)
        print(json.dumps({"prefill_s": prefill_s, "steps_s": steps, "tokens": tokens}), flush=True)
