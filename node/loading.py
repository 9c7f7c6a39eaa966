"""Brings what a slice needs to this machine and loads it, mending what turns out to be damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from node.slices.compute import ComputeThread
from node.slices.errors import DamagedChunk
from node.slices.load import wanted_tensors
from node.slices.spec import SliceSpec
from node.store.fetch import FetchReport
from node.stored_model import Model

log = logging.getLogger(__name__)

MOST_MENDED: Final = 64
"""Damaged chunks that are fetched anew for one load; a disk with more is not to be trusted."""

T = TypeVar("T")


async def bring(
    model: Model,
    specs: Sequence[SliceSpec],
    compute: ComputeThread,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> FetchReport | None:
    """Bring the tensors of slices to this machine. Returns what was fetched, None when nothing was missing.

    Raises:
        StoreError: they cannot be had.
        SliceError: the model has no such slices.
    """
    names = [name for spec in specs for name in await compute.run(wanted_tensors, spec)]
    return await model.need(dict.fromkeys(names), progress=progress)


async def load(model: Model, compute: ComputeThread, work: Callable[[], T]) -> T:
    """Load from a model on the compute thread, fetching anew each chunk that turns out to be damaged.

    Raises:
        StoreError: a damaged chunk cannot be had.
        SliceError: what `work` raised.
    """
    for _ in range(MOST_MENDED):
        try:
            return await compute.run(work)
        except DamagedChunk as error:
            log.warning("%s; fetching it anew", error.problem)
            await model.mend(error.digest)
    return await compute.run(work)
