"""The options that benchmarks have in common."""

from __future__ import annotations

import argparse

from node.slices import threads
from scripts.bench import shapes


def parser(doc: str | None, *, rounds: int | None = None, computes: bool = False) -> argparse.ArgumentParser:
    """A parser with `--json`, described by the first line of a module's text.

    Args:
        rounds: adds `--rounds` with this default.
        computes: adds `--model` and `--threads`.
    """
    made = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    if computes:
        made.add_argument(
            "--model",
            default=shapes.DEFAULT,
            help="a folder, `pocket`, or a shape (default: 0.5B, random weights)",
        )
        made.add_argument("--threads", type=int, default=threads.usable_cores(), help="threads for computing")
    if rounds is not None:
        made.add_argument("--rounds", type=int, default=rounds, help="times that everything is measured")
    made.add_argument("--json", action="store_true", help="figures as JSON")
    return made
