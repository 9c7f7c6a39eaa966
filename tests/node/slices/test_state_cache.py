"""A state that cannot go back says so, counts its bytes, and starts again from nothing."""

from __future__ import annotations

import pytest
import torch

from node.slices.cache import SliceCache
from node.slices.errors import TruncatedTooFar
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.slices.state_cache import StateCache
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange

FAMILIES = ("mamba", "jamba", "lfm2", "minimax", "falcon_h1", "deepseek_v32")
"""One of each kind: only recurrent, mixed with attention, convolutions, a cache class of its own, both in one layer,
and an indexer's keys."""


def middle(tiny: TinyModels, family: str, start: int = 0, end: int = 5) -> Slice:
    return load_slice(SliceSpec(checkpoint=tiny(family), layers=LayerRange(start, end), dtype="float32"))


def run(piece: Slice, cache: SliceCache, seed: int, count: int = 1) -> torch.Tensor:
    x = torch.randn(1, count, 64, generator=torch.Generator().manual_seed(seed))
    return piece.forward(x, cache=cache, position=cache.length, want=Want.HIDDEN)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_state_goes_back_to_nothing_or_stays_and_never_in_between(tiny: TinyModels, family: str) -> None:
    piece = middle(tiny, family)
    cache = piece.new_cache(LayerRange(0, 5))
    assert isinstance(cache, StateCache)
    first = [run(piece, cache, 1, 13), run(piece, cache, 2)]
    cache.truncate(14)
    assert cache.length == 14
    for length in (1, 13):
        with pytest.raises(TruncatedTooFar) as caught:
            cache.truncate(length)
        assert caught.value.reachable == 14
    for length in (-1, 15):
        with pytest.raises(ValueError, match="truncate"):
            cache.truncate(length)
    cache.truncate(0)
    assert cache.length == cache.nbytes == 0
    assert all(map(torch.equal, [run(piece, cache, 1, 13), run(piece, cache, 2)], first))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bytes_promised_before_are_never_passed(tiny: TinyModels, family: str) -> None:
    piece = middle(tiny, family)
    for layers in (LayerRange(0, 5), LayerRange(1, 3), LayerRange(4, 5)):
        cache = piece.new_cache(layers)
        assert cache.nbytes == piece.kv_bytes(layers, 0) == 0
        for count in (13, 1, 1, 30, 1):
            promised = piece.kv_bytes(layers, cache.length + count)
            run(piece, cache, count, count)
            assert 0 < cache.nbytes <= promised


def test_a_recurrent_state_costs_the_same_however_long_the_session(tiny: TinyModels) -> None:
    piece = middle(tiny, "mamba")
    assert piece.kv_bytes(LayerRange(0, 5), 1) == piece.kv_bytes(LayerRange(0, 5), 400) > 0


@pytest.mark.parametrize("family", ["mamba", "jamba"])
def test_a_part_of_a_slice_runs_as_a_slice_of_its_own(tiny: TinyModels, family: str) -> None:
    whole, alone = middle(tiny, family), middle(tiny, family, 2, 4)
    ours, theirs = whole.new_cache(LayerRange(2, 4)), alone.new_cache(LayerRange(2, 4))
    for seed, count in ((1, 13), (2, 1), (3, 1)):
        assert torch.equal(run(whole, ours, seed, count), run(alone, theirs, seed, count))
