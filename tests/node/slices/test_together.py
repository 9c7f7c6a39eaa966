"""Several caches as one: each session's token is stored in its own and sees its own, whatever their lengths."""

from __future__ import annotations

import pytest
import torch

from node.slices.cache import SliceCache
from node.slices.together import TogetherCache
from wire.types import LayerRange

LAYERS = LayerRange(0, 2)
WINDOWS = (None, 4)


def rows(count: int, seed: int) -> torch.Tensor:
    return torch.randn(1, 2, count, 8, generator=torch.Generator().manual_seed(seed))


def session(length: int) -> SliceCache:
    cache = SliceCache(LAYERS, WINDOWS)
    for layer in (0, 1):
        if length:
            cache.model_cache.update(rows(length, length), rows(length, length + 50), layer)
    cache.advance(length)
    return cache


@pytest.mark.parametrize("joined", [False, True])
def test_a_token_sees_what_it_would_see_alone(joined: bool) -> None:
    lengths = (3, 0, 9)
    caches = [session(length) for length in lengths]
    together = TogetherCache(caches, joined=joined)
    keys, values = rows(3, 90), rows(3, 91)
    for layer in (0, 1):
        handed = together.update(keys, values, layer)
        if not joined:
            assert handed[0] is keys
        seen = together.visible(layer, *handed)
        for index, length in enumerate(lengths):
            alone = session(length)
            one = slice(index, index + 1)
            expected = alone.model_cache.update(keys[:, :, one], values[:, :, one], layer)
            assert torch.equal(seen[index][0], expected[0])
            assert torch.equal(seen[index][1], expected[1])


def test_all_sessions_at_once_are_padded_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = (3, 5, 9)
    together = TogetherCache([session(length) for length in lengths], joined=False)
    for layer in (0, 1):
        together.update(rows(3, 90), rows(3, 91), layer)
        padded = together.padded(layer)
        assert padded is not None
        for index, (keys, values) in enumerate(together.visible(layer, rows(3, 90), rows(3, 91))):
            count = keys.shape[2]
            assert torch.equal(padded.keys[index, :, :count], keys[0])
            assert torch.equal(padded.values[index, :, :count], values[0])
            if padded.mask is not None:
                assert not padded.mask[index, ..., :count].any()
                assert bool((padded.mask[index, ..., count:] == float("-inf")).all())
        assert (padded.mask is None) is (layer == 1)  # all of the layer with a window are at its length
    monkeypatch.setattr("node.slices.together.MOST_PADDED_BYTES", 100)
    together = TogetherCache([session(3), session(5)], joined=False)
    together.update(rows(2, 90), rows(2, 91), 0)
    assert together.padded(0) is None


def test_sessions_of_very_unequal_length_are_not_padded() -> None:
    together = TogetherCache([session(1), session(2), session(1), session(60)], joined=False)
    together.update(rows(4, 90), rows(4, 91), 0)
    assert together.padded(0) is None
    assert TogetherCache([session(1)], joined=True).padded(0) is None


def test_what_the_model_asks_of_a_cache_is_answered() -> None:
    together = TogetherCache([session(3), session(9)], joined=False)
    assert together.get_seq_length() == 9
    assert together.get_mask_sizes(2, 0) == (11, 0)
    assert together.is_sliding == [False, True]
