"""Asks `node.slices.gauge` in a process of its own, which is ended when it takes too long or nobody waits any more.

Torch can end a process with a signal on a processor it was not compiled for, and a measurement can hang: neither may
take the other checks with it. And a program that only asks needs no torch in its own memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import node
from node.errors import NodeError

GAUGE: Final = "node.slices.gauge"
_MOST_BYTES: Final = 1 << 20
_SHOWN_CHARS: Final = 300
_ROOT: Final = Path(node.__file__).parent.parent


class GaugeFailed(NodeError):
    """Torch could not be asked."""


async def ask(*words: str, threads: int | None = None, module: str = GAUGE) -> dict[str, Any]:
    """Return the object that the process prints.

    Args:
        threads: for computing; chosen from the machine when None.

    Raises:
        GaugeFailed: it ended otherwise; the cause says how.
    """
    environ = dict(os.environ)
    # The very program that asks, wherever it was started from.
    environ["PYTHONPATH"] = os.pathsep.join([str(_ROOT), *filter(None, [environ.get("PYTHONPATH")])])
    if threads is not None:
        environ["OMP_NUM_THREADS"] = str(threads)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environ,
    )  # fmt: skip
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return _read(out, err, process.returncode or 0)


def _read(out: bytes, err: bytes, status: int) -> dict[str, Any]:
    if status < 0:
        name = signal.Signals(-status).name if -status in {one.value for one in signal.Signals} else -status
        step = (
            "install a build of torch for this processor"
            if -status == signal.SIGILL
            else "install torch again, in the version that Lamella asks for"
        )
        raise GaugeFailed(f"computing with torch was ended by {name}", step)
    lines = err.decode(errors="replace").strip().splitlines()
    if status:
        why = lines[-1][:_SHOWN_CHARS] if lines else f"it ended with {status}"
        raise GaugeFailed(
            f"torch cannot be used: {why}", "install Lamella again, in an environment of its own"
        )
    try:
        found = json.loads(out[:_MOST_BYTES])
    except ValueError as error:
        raise GaugeFailed(
            "what torch said cannot be read", "install Lamella again, in an environment of its own"
        ) from error
    if not isinstance(found, dict):
        raise GaugeFailed("what torch said is no answer", "install Lamella again")
    return found
