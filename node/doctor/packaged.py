"""Whether the model that comes with the program is byte for byte the one that was released.

Its id is the digest of its manifest, which names a digest of each of its files and tensors (`specs/weights.md`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from node.doctor.examining import aside
from node.doctor.finding import Finding, ok, problem
from node.store import checkpoint
from node.store.errors import BadCheckpoint
from wire.types import ModelId

POCKET: Final = ModelId.parse("bafkreigbh4mypbr7yhfclf42v6wfuxn4gsjxo2jgcghtewbslazexv22o4")
"""The model of this release. Changes with the model; its test says what to."""
_AGAIN: Final = "install Lamella again: a file was changed, cut short or damaged on the disk"


async def look(folder: Path | None = None, expected: ModelId = POCKET) -> Finding:
    """Look at the packaged model, or the one in `folder`."""
    there = folder if folder is not None else checkpoint.resolve(checkpoint.POCKET)
    facts = {"folder": str(there), "expected": str(expected)}
    try:
        # Never from the cache of manifests, which would not see a disk that lies.
        found = (await aside(lambda: checkpoint.build_manifest(there))).model_id
    except BadCheckpoint as error:
        return problem(f"the packaged model cannot be read: {error.cause}", _AGAIN, **facts)
    if found != expected:
        return problem(
            f"the packaged model is {found.short}, not {expected.short} as released",
            _AGAIN,
            **facts,
            model=str(found),
        )
    return ok(f"the packaged model is as released ({found.short})", **facts, model=str(found))
