from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from node.slices.errors import BadInput
from node.slices.inputs import Takes
from wire.types import LayerRange

PLAIN = Takes(layers=LayerRange(2, 4), width=8, vocab_size=100, embeds=False, needs_ids=False)
FIRST = replace(PLAIN, layers=LayerRange(0, 2), embeds=True)
BOTH = replace(PLAIN, needs_ids=True)
IDS = torch.tensor([[1, 99, 0]])
STATES = torch.zeros(1, 3, 8)


@pytest.mark.parametrize(
    ("takes", "x", "ids"),
    [
        (PLAIN, STATES, None),
        (PLAIN, STATES.bfloat16(), None),
        (FIRST, IDS, None),
        (FIRST, STATES, None),
        (BOTH, STATES, IDS),
        (replace(FIRST, needs_ids=True), IDS, None),
    ],
)
def test_what_layers_take_is_let_through(takes: Takes, x: torch.Tensor, ids: torch.Tensor | None) -> None:
    takes.check(x, ids)


@pytest.mark.parametrize(
    ("takes", "x", "ids", "said"),
    [
        (PLAIN, IDS, None, "do not begin with the embedding"),
        (FIRST, IDS + 1, None, "must be from 0 to 99"),
        (FIRST, IDS - 1, None, "must be from 0 to 99"),
        (FIRST, IDS[0], None, "expected \\[1, T\\]"),
        (FIRST, IDS[:, :0], None, "expected \\[1, T\\]"),
        (PLAIN, STATES[0], None, "expected \\[1, T, 8\\]"),
        (PLAIN, STATES[:, :0], None, "expected \\[1, T, 8\\]"),
        (PLAIN, STATES[..., :7], None, "expected \\[1, T, 8\\]"),
        (PLAIN, STATES.expand(2, 3, 8), None, "expected \\[1, T, 8\\]"),
        (PLAIN, STATES.int(), None, "expected a float type"),
        (PLAIN, STATES, IDS, "need no token ids"),
        (BOTH, STATES, None, "need the token ids"),
        (BOTH, STATES, IDS[:, :2], "2 token ids beside the hidden states of 3 tokens"),
        (BOTH, STATES, IDS + 1, "must be from 0 to 99"),
        (BOTH, STATES, IDS.float(), "token ids of shape"),
    ],
)
def test_anything_else_is_refused(takes: Takes, x: torch.Tensor, ids: torch.Tensor | None, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        takes.check(x, ids)
