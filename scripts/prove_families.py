"""Proves every decoder-only family of the installed transformers and writes the table of verdicts.

    python -m scripts.prove_families                    # all; compares with the table
    python -m scripts.prove_families --only llama gpt2  # some
    python -m scripts.prove_families --write            # writes what was found into the table and docs/families.md

Each family runs in a process of its own, with a bound on its time and memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from node.slices import threads

threads.prepare(1)

import torch  # noqa: E402 - the environment comes first
from huggingface_hub.errors import StrictDataclassError  # noqa: E402 - the environment comes first
from transformers import logging as transformers_logging  # noqa: E402 - the environment comes first
from transformers.models.auto.modeling_auto import (  # noqa: E402 - the environment comes first
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
)

from node.slices.errors import SliceError  # noqa: E402 - the environment comes first
from node.slices.families import TABLE_PATH, read_table  # noqa: E402 - the environment comes first
from scripts.family_proof import NotExact, prove, row_of  # noqa: E402 - the environment comes first
from scripts.family_reasons import NOT_DECODERS, NOT_TRIED, REASONS, TEXT_PARTS  # noqa: E402 - as above
from scripts.family_summary import PAGE, render  # noqa: E402 - the environment comes first

_FAULTS: Final = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ImportError,
    ArithmeticError,
    NotImplementedError,  # by a family's own code, where it cannot run
    StrictDataclassError,
    SliceError,
)
TIMEOUT_S: Final = 90
MEMORY_BYTES: Final = 16 << 30


def candidates() -> list[str]:
    """Every `model_type` that the table has a verdict for."""
    return sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *TEXT_PARTS, *REASONS, *NOT_TRIED} - NOT_DECODERS)


def verdict(model_type: str) -> dict[str, Any]:
    """The family's row, found in this process."""
    torch.set_num_threads(1)
    transformers_logging.set_verbosity(50)
    transformers_logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        try:
            return row_of(prove(model_type, Path(folder)))
        except NotExact as error:
            found = str(error)
        except _FAULTS as error:
            found = f"a tiny model of it cannot be run ({type(error).__name__}: {error})"
    return {"verdict": "refused", "reason": REASONS.get(model_type, found), "found": found}


class Child:
    """A family's proof, in a process of its own."""

    def __init__(self, model_type: str, folder: str) -> None:
        self.model_type = model_type
        self.started = time.monotonic()
        self._answer = Path(folder) / f"{model_type}.json"
        self.pid = os.fork()
        if self.pid == 0:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            signal.alarm(TIMEOUT_S)
            self._answer.write_text(json.dumps(verdict(model_type)))
            os._exit(0)

    def row(self) -> dict[str, Any]:
        """What was found, once the process has ended."""
        if self._answer.exists():
            row: dict[str, Any] = json.loads(self._answer.read_text())
            return row
        found = f"its proof does not end within {TIMEOUT_S} s and {MEMORY_BYTES >> 30} GiB"
        return {"verdict": "refused", "reason": REASONS.get(self.model_type, found), "found": found}


def prove_all(model_types: Iterable[str], jobs: int) -> Iterator[tuple[str, dict[str, Any], float]]:
    """Each family's name, row and seconds, as they are found; `jobs` families at a time."""
    waiting = list(model_types)[::-1]
    children: dict[int, Child] = {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or children:
            while waiting and len(children) < jobs:
                name = waiting.pop()
                if name in NOT_TRIED:
                    yield name, {"verdict": "refused", "reason": NOT_TRIED[name], "found": "not tried"}, 0.0
                else:
                    child = Child(name, folder)
                    children[child.pid] = child
            if children:
                ended, _ = os.wait()
                child = children.pop(ended)
                yield child.model_type, child.row(), time.monotonic() - child.started


def main() -> None:
    """Read the command line, prove, and compare with the table or write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these families only")
    parser.add_argument("--jobs", type=int, default=2, help="families at a time")
    parser.add_argument("--write", action="store_true", help="put the verdicts into the table")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    before = read_table()
    gc.freeze()
    rows: dict[str, dict[str, Any]] = {}
    for model_type, row, took in prove_all(options.only or candidates(), options.jobs):
        found = row.pop("found", "")
        rows[model_type] = row
        words = ", ".join(row["state"]) if row["verdict"] == "exact" else found
        print(f"{row['verdict']:8} {took:5.1f} s  {model_type:24} {words}", file=sys.stderr, flush=True)
    after = dict(sorted({**(before if options.only else {}), **rows}.items()))
    exact = sum(row["verdict"] == "exact" for row in rows.values())
    print(f"{exact} exact, {len(rows) - exact} refused", file=sys.stderr)
    if options.json:
        print(json.dumps(rows, indent=1, sort_keys=True))
    if options.write:
        lines = (f" {json.dumps(name)}: {json.dumps(row, sort_keys=True)}" for name, row in after.items())
        TABLE_PATH.write_text("{\n" + ",\n".join(lines) + "\n}\n")
        PAGE.write_text(render(PAGE.read_text(), after))
    elif after != before:
        changed = sorted(name for name in {*after, *before} if after.get(name) != before.get(name))
        print(f"differs from the table: {', '.join(changed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
