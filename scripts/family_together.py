"""Whether a family's sessions may share forwards: several of unequal length, joining and leaving, against each alone.

A product of several rows is summed in another order than one of a single row, so logits are compared within a tolerance
that such an order explains and a token of another session does not; the likeliest tokens must be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from node.slices.cache import SliceCache
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.slices.together import Step
from wire.types import LayerRange

TOLERANCE: Final = 1e-3
"""Of the largest logit. Seen: 1e-6; with the tokens of a wrong session: more than 0.1."""
PROMPTS: Final = (13, 5, 21, 1)
"""Lengths of the sessions' prompts; the tiny models' sliding window is 8."""
PRESENCE: Final = ((0, 1), (0, 1, 2), (0, 1, 2, 3), (1, 3), (0, 1, 2, 3), (0, 2), (1, 2, 3), (0, 1, 2, 3))
"""Which sessions take part in each step."""


def steps_together(folder: Path, num_layers: int) -> bool:
    """Whether sessions of the checkpoint in `folder` are computed in one forward and get what each gets alone."""
    whole = load_slice(
        SliceSpec(checkpoint=folder, layers=LayerRange(0, num_layers), embed=True, head=True, dtype="float32")
    )
    if not whole.steps_together:
        return False
    alone, joined = _Sessions(whole), _Sessions(whole)
    for present in PRESENCE:
        expected = [alone.step((one,))[0] for one in present]
        for got, wanted in zip(joined.step(present), expected, strict=True):
            if not torch.allclose(got, wanted, rtol=0, atol=TOLERANCE * float(wanted.abs().max())):
                return False
            if int(got.argmax()) != int(wanted.argmax()):
                return False
    return whole.last_forward_was_shared


class _Sessions:
    """Sessions that have read their prompts."""

    def __init__(self, whole: Slice) -> None:
        self.whole = whole
        self.caches: list[SliceCache] = []
        self.tokens: list[int] = []
        random = torch.Generator().manual_seed(11)
        for count in PROMPTS:
            self.caches.append(whole.new_cache(whole.spec.layers))
            ids = torch.randint(3, 131, (1, count), generator=random)
            logits = whole.forward(ids, cache=self.caches[-1], position=0, want=Want.LOGITS)
            self.tokens.append(int(logits.argmax()))

    def step(self, present: Sequence[int]) -> list[torch.Tensor]:
        """One token of each of these sessions; returns their logits `[V]`."""
        steps = [
            Step(torch.tensor([[self.tokens[one]]]), self.caches[one], self.caches[one].length, Want.LOGITS)
            for one in present
        ]
        results = self.whole.forward_all(steps)
        for one, result in zip(present, results, strict=True):
            if not isinstance(result, torch.Tensor):
                raise result
            self.tokens[one] = int(result.argmax())
        return [one for one in results if isinstance(one, torch.Tensor)]
