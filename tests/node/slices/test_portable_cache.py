"""A session goes on from its saved or exported state with the bits it would have had, and from nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from node.slices import portable_cache
from node.slices.cache import SliceCache
from node.slices.errors import BadInput, CacheBroken, TruncatedTooFar
from node.slices.load import load_slice
from node.slices.portable_cache import FORMAT, export, import_, restore, snapshot
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange

ALL = LayerRange(0, 5)
KINDS = ("gemma3_text", "deepseek_v3", "jamba", "minimax", "lfm2", "falcon_h1", "deepseek_v32")


def middle(tiny: TinyModels, family: str) -> Slice:
    return load_slice(SliceSpec(checkpoint=tiny(family), layers=ALL, dtype="float32"))


def run(piece: Slice, cache: SliceCache, seed: int, count: int = 1) -> torch.Tensor:
    x = torch.randn(1, count, 64, generator=torch.Generator().manual_seed(seed))
    return piece.forward(x, cache=cache, position=cache.length, want=Want.HIDDEN)


def begun(piece: Slice, layers: LayerRange = ALL) -> SliceCache:
    cache = piece.new_cache(layers)
    run(piece, cache, 1, 13)
    run(piece, cache, 2)
    return cache


@pytest.mark.parametrize("family", KINDS)
def test_a_session_goes_on_elsewhere_and_again_as_if_nothing_had_been(tiny: TinyModels, family: str) -> None:
    piece = middle(tiny, family)
    cache = begun(piece)
    saved, data = snapshot(cache), export(cache, "model")
    fresh = piece.new_cache(ALL)
    import_(fresh, data, "model")
    assert fresh.length == 14
    expected = [run(piece, cache, seed) for seed in range(10, 18)]
    assert all(
        torch.equal(run(piece, fresh, seed), out) for seed, out in zip(range(10, 18), expected, strict=True)
    )
    for _ in range(2):  # a snapshot is not used up
        restore(cache, saved)
        assert all(
            torch.equal(run(piece, cache, seed), out)
            for seed, out in zip(range(10, 18), expected, strict=True)
        )


def test_an_imported_session_goes_back_as_far_as_it_holds(tiny: TinyModels) -> None:
    piece = middle(tiny, "mistral")
    cache = begun(piece)
    import_(cache, export(cache, "model"), "model")
    with pytest.raises(TruncatedTooFar) as caught:
        cache.truncate(9)
    assert caught.value.reachable == 14
    cache.truncate(0)
    fresh = piece.new_cache(ALL)
    assert torch.equal(run(piece, cache, 5, 4), run(piece, fresh, 5, 4))


@pytest.mark.parametrize("family", ["llama", "mamba"])
def test_an_empty_session_is_a_state_too(tiny: TinyModels, family: str) -> None:
    piece = middle(tiny, family)
    cache, used = piece.new_cache(ALL), begun(piece)
    import_(used, export(cache, "model"), "model")
    assert used.length == 0
    assert torch.equal(run(piece, used, 1), run(piece, cache, 1))


def test_a_broken_session_has_no_state_to_give(tiny: TinyModels) -> None:
    cache = begun(middle(tiny, "llama"))
    cache.mark_broken()
    with pytest.raises(CacheBroken):
        export(cache, "model")


def rewritten(data: bytes, tensors: dict[str, torch.Tensor] | None = None, **metadata: str) -> bytes:
    fields = {"format": FORMAT, "model": "model", "layers": "0:5", "length": "14"} | metadata
    return save(load(data) if tensors is None else tensors, fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "other"},
        {"layers": "0:4"},
        {"format": "lamella session state 2"},
        {"length": "15"},
        {"length": "-14"},
        {"length": "fourteen"},
        {"length": "999999999"},
        {"length": "9" * 5_000},
        {"length": "١٤"},
    ],
)
@pytest.mark.parametrize("family", ["llama", "jamba"])
def test_a_state_of_something_else_is_refused_and_changes_nothing(
    tiny: TinyModels, family: str, fields: dict[str, str]
) -> None:
    piece = middle(tiny, family)
    cache = begun(piece)
    data = export(cache, "model")
    import_(cache, rewritten(data), "model")
    with pytest.raises(BadInput):
        import_(cache, rewritten(data, None, **fields), "model")
    assert cache.length == 14
    run(piece, cache, 1)


@pytest.mark.parametrize("family", ["llama", "jamba"])
def test_tensors_that_do_not_fit_are_refused(tiny: TinyModels, family: str) -> None:
    cache = begun(middle(tiny, family))
    data = export(cache, "model")
    name, tensor = next(iter(load(data).items()))
    cases: list[dict[str, torch.Tensor]] = [
        {name: tensor[..., :-1].clone()},
        {name: tensor.half()},
        {name: tensor.double()},
        {name: torch.full_like(tensor, torch.nan)},
        {"7.keys": tensor},
        {"": tensor},
    ]
    for change in cases:
        with pytest.raises(BadInput):
            import_(cache, rewritten(data, load(data) | change), "model")
    fewer = load(data)
    del fewer[name]
    with pytest.raises(BadInput, match="tensors"):
        import_(cache, rewritten(data, fewer), "model")


def test_no_bytes_whatever_raise_anything_else(tiny: TinyModels) -> None:
    cache = begun(middle(tiny, "llama"))
    data = export(cache, "model")

    @settings(deadline=None, max_examples=60)
    @given(st.integers(0, 2_000), st.binary(max_size=12), st.integers(0, len(data)))
    def check(place: int, noise: bytes, cut: int) -> None:
        for mangled in (data[:place] + noise + data[place + len(noise) :], data[:cut], noise):
            try:
                import_(cache, mangled, "model")
            except BadInput:
                continue

    check()


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"a": 1},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1 << 50], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 9]}},
        {"a": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [-2], "data_offsets": [8, 0]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}},
    ],
)
def test_headers_that_lie_are_refused(tiny: TinyModels, header: Any) -> None:
    cache = begun(middle(tiny, "llama"))
    if isinstance(header, dict):
        header["__metadata__"] = {"format": FORMAT, "model": "m", "layers": "0:5", "length": "14"}
    text = json.dumps(header).encode()
    with pytest.raises(BadInput):
        import_(cache, len(text).to_bytes(8, "little") + text + bytes(8), "m")
    long = (portable_cache.MAX_HEADER_BYTES + 1).to_bytes(8, "little")
    with pytest.raises(BadInput, match="header"):
        import_(cache, long + bytes(portable_cache.MAX_HEADER_BYTES + 1), "m")
