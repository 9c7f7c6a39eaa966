"""The whole model in this process: what any chain of its layers has to answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chat.prefill import PIPELINED_TOKENS
from wire.types import LayerRange, Sampling

if TYPE_CHECKING:
    from node.slices.slice import Slice


def load(folder: Path, dtype: str) -> Slice:
    """Load all layers, embedding and head, on this thread and for one thread."""
    from node.slices import threads

    threads.prepare(1)
    threads.apply()
    from node.slices.facts import read_facts
    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec

    layers = LayerRange(0, read_facts(folder).num_layers)
    return load_slice(SliceSpec(checkpoint=folder, layers=layers, embed=True, head=True, dtype=dtype))


def tokens(model: Slice, ids: Sequence[int], count: int, sampling: Sampling) -> list[int]:
    """The `count` tokens that follow `ids`, with the prompt cut into chunks as a client cuts it."""
    from node.slices import sampling as sampler
    from node.slices import tensors
    from node.slices.spec import Want

    cache = model.new_cache(model.spec.layers)
    drawn: list[int] = []
    fresh = list(ids)
    while True:
        for at in range(0, len(fresh), PIPELINED_TOKENS):
            part = tensors.from_ids(fresh[at : at + PIPELINED_TOKENS])
            logits = model.forward(part, cache=cache, position=cache.length, want=Want.LOGITS)
        drawn.append(sampler.draw(tensors.to_numpy(logits), sampling, cache.length))
        if len(drawn) == count:
            return drawn
        fresh = drawn[-1:]
