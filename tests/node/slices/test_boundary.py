"""Streams of hidden states travel side by side and come out as they went in."""

from __future__ import annotations

import pytest
import torch

from node.slices.boundary import STREAMS_FIRST, STREAMS_INSIDE, folded, unfolded


@pytest.mark.parametrize(("axis", "shape"), [(STREAMS_FIRST, (3, 1, 5, 4)), (STREAMS_INSIDE, (1, 5, 3, 4))])
def test_streams_are_folded_token_by_token_and_unfolded_as_they_lay(
    axis: int, shape: tuple[int, ...]
) -> None:
    streams = torch.randn(shape)
    travels = folded(streams, axis)
    assert travels.shape == (1, 5, 12)
    tokens = 2 if axis == STREAMS_FIRST else 1
    assert torch.equal(folded(streams.narrow(tokens, 1, 2), axis), travels[:, 1:3])
    back = unfolded(travels, axis, streams)
    assert torch.equal(back, streams)
    assert back.stride() == streams.stride()


def test_a_single_stream_is_left_alone() -> None:
    hidden = torch.randn(1, 5, 12)
    assert folded(hidden, None) is hidden
    assert unfolded(hidden, None, hidden) is hidden
