"""The whole model in this process: what any chain of its layers has to answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from chat.prefill import PIPELINED_TOKENS
from wire.tensors import WeightFormat
from wire.types import LayerRange, Sampling

if TYPE_CHECKING:
    from node.slices.slice import Slice


def load(folder: Path, dtype: str, weights: WeightFormat = WeightFormat.NATIVE) -> Slice:
    """Load all layers, embedding and head, on this thread and for one thread."""
    from node.slices import threads

    threads.prepare(1)
    threads.apply()
    from node.slices.facts import read_facts
    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec

    layers = LayerRange(0, read_facts(folder).num_layers)
    return load_slice(
        SliceSpec(checkpoint=folder, layers=layers, embed=True, head=True, dtype=dtype, weights=weights)
    )


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


def boundaries(folder: Path, cuts: Sequence[int], ids: Sequence[int], prompt: int) -> dict[int, list[bytes]]:
    """The hidden states that cross each cut, as float32 and as bfloat16 bytes, step by step.

    Args:
        cuts: layers before which hidden states travel; the model's number of layers for those after the last.
        ids: the prompt and what was answered.
        prompt: how many of `ids` are the prompt, which is one step; every other id is one.
    """
    import torch

    from node.slices import tensors
    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec, Want

    stages = [
        load_slice(
            SliceSpec(checkpoint=folder, layers=LayerRange(start, end), embed=start == 0, dtype="float32")
        )
        for start, end in zip((0, *cuts), cuts, strict=False)
    ]
    caches = [stage.new_cache(stage.spec.layers) for stage in stages]
    crossed: dict[int, list[bytes]] = {cut: [] for cut in cuts}
    for step in (ids[:prompt], *([one] for one in ids[prompt:])):
        hidden = tensors.from_ids(step)
        for stage, cache, cut in zip(stages, caches, cuts, strict=True):
            hidden = stage.forward(hidden, cache=cache, position=cache.length, want=Want.HIDDEN)
            for dtype in (torch.float32, torch.bfloat16):
                crossed[cut].append(bytes(tensors.to_wire(hidden.to(dtype))[1]))
    return crossed
