"""Layers that compress keys hold what the length says, hand it over whole, and cost no more than was promised."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load, save

from node.slices import compressed
from node.slices.cache import SliceCache
from node.slices.errors import BadInput, TruncatedTooFar
from node.slices.kernels import inner
from node.slices.load import load_slice
from node.slices.portable_cache import FORMAT, export, import_
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.slices.state_cache import StateCache
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange

ALL = LayerRange(0, 5)
RATES = (4, 8)
"""Of the tiny model; its window is 8."""


def loaded(folder: Path, layers: LayerRange = ALL, *, ends: str = "", dtype: str = "float32") -> Slice:
    return load_slice(
        SliceSpec(checkpoint=folder, layers=layers, embed="e" in ends, head="h" in ends, dtype=dtype)
    )


@pytest.fixture(scope="module")
def piece(tiny: TinyModels) -> Slice:
    return loaded(tiny("deepseek_v4"))


def run(piece: Slice, cache: SliceCache, seed: int, count: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(1, count, piece.width, generator=random)
    ids = torch.randint(3, 131, (1, count), generator=random)
    told = ids if piece.needs_tokens(cache.layers) else None
    return piece.forward(x, cache=cache, position=cache.length, want=Want.HIDDEN, ids=told)


@pytest.mark.parametrize("length", [1, 4, 7, 9, 16])
def test_a_session_goes_on_elsewhere_from_any_length(piece: Slice, length: int) -> None:
    cache, fresh = piece.new_cache(ALL), piece.new_cache(ALL)
    assert isinstance(cache, StateCache)
    run(piece, cache, 1, length)
    data = export(cache, "model")
    import_(fresh, data, "model")
    again, first = load(export(fresh, "model")), load(data)
    assert again.keys() == first.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())
    for seed in range(2, 2 + max(RATES) + 2):
        assert torch.equal(run(piece, cache, seed), run(piece, fresh, seed))


def test_a_session_of_narrow_layers_goes_on_with_its_wide_gates(
    tiny: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inner, "suits", lambda _: False)
    narrow = loaded(tiny("deepseek_v4"), LayerRange(1, 2), dtype="bfloat16")
    cache, fresh = (narrow.new_cache(LayerRange(1, 2)) for _ in range(2))
    run(narrow, cache, 1, 9)
    assert {tensor.dtype for tensor in cache.held().values()} == {torch.bfloat16, torch.float32}
    import_(fresh, export(cache, "model"), "model")
    for seed in range(2, 6):
        assert torch.equal(run(narrow, cache, seed), run(narrow, fresh, seed))


def test_keys_that_are_values_too_are_held_and_counted_once(piece: Slice) -> None:
    cache = piece.new_cache(LayerRange(0, 2))
    run(piece, cache, 1, 13)
    held = cache.held()
    assert "0.keys" in held and "0.values" not in held
    assert cache.nbytes == sum(tensor.nbytes for tensor in held.values())


def test_a_state_with_other_rows_than_its_length_has_is_refused(piece: Slice) -> None:
    cache = piece.new_cache(ALL)
    run(piece, cache, 1, 13)
    data = export(cache, "model")
    fields = {"format": FORMAT, "model": "model", "layers": "0:5", "length": "13"}
    for name in ("0.compressed_kv.compressor", "1.buffer_kv.indexer", "1.overlap_gate.compressor"):
        tensors = load(data)
        for other in (
            tensors[name][:, :0].clone(),
            torch.cat([tensors[name]] * 2, dim=1),
            tensors[name].half(),
        ):
            with pytest.raises(BadInput, match=name):
                import_(cache, save(tensors | {name: other}, fields), "model")
        del tensors[name]
        with pytest.raises(BadInput, match="tensors"):
            import_(cache, save(tensors, fields), "model")
    with pytest.raises(BadInput):
        import_(cache, save(load(data), fields | {"length": "14"}), "model")
    assert cache.length == 13


def test_a_state_goes_back_to_nothing_or_stays(piece: Slice) -> None:
    cache = piece.new_cache(ALL)
    first = [run(piece, cache, 1, 13), run(piece, cache, 2)]
    cache.truncate(14)
    with pytest.raises(TruncatedTooFar):
        cache.truncate(13)
    cache.truncate(0)
    assert all(map(torch.equal, [run(piece, cache, 1, 13), run(piece, cache, 2)], first))


def test_the_bytes_promised_before_are_never_passed(piece: Slice) -> None:
    for layers in (ALL, LayerRange(0, 1), LayerRange(1, 2), LayerRange(2, 3)):
        cache = piece.new_cache(layers)
        assert piece.kv_bytes(layers, 0) == 0
        for count in (1, 2, 5, 7, 1, 30, 1):
            promised = piece.kv_bytes(layers, cache.length + count)
            run(piece, cache, count, count)
            assert 0 < cache.nbytes <= promised
    short, long = (piece.kv_bytes(LayerRange(0, 1), length) for length in (100, 200))
    assert 0 < long - short < 100 * 16 * 4, "a key for every position would be that large"


def test_a_cut_is_the_whole_at_bfloat16_too(tiny: TinyModels) -> None:
    folder = tiny("deepseek_v4")
    whole = loaded(folder, ends="eh", dtype="bfloat16")
    parts = [
        loaded(folder, LayerRange(0, 1), ends="e", dtype="bfloat16"),
        loaded(folder, LayerRange(1, 4), dtype="bfloat16"),
        loaded(folder, LayerRange(4, 5), ends="h", dtype="bfloat16"),
    ]
    caches = [part.new_cache(part.spec.layers) for part in parts]
    cache = whole.new_cache(ALL)
    random = torch.Generator().manual_seed(3)
    for count in (13, 1, 6, 1, 1):
        ids = torch.randint(3, 131, (1, count), generator=random)
        position, x = cache.length, ids
        expected = whole.forward(ids, cache=cache, position=position, want=Want.LOGITS)
        for part, own in zip(parts, caches, strict=True):
            want = Want.LOGITS if part.spec.head else Want.HIDDEN
            told = ids if part.spec.layers.start == 1 else None
            x = part.forward(x, cache=own, position=position, want=want, ids=told)
        assert torch.equal(x, expected)


def test_windows_and_rates_are_looked_up_where_transformers_has_them() -> None:
    own = SimpleNamespace(sliding_window=128, compress_rates={compressed.KINDS[0]: 4})
    assert compressed.window_of({}) is None
    assert compressed.window_of({"sliding_window": 8}) == 8
    assert compressed.window_of({"config": own}) == 128
    assert compressed.window_of({"config": SimpleNamespace()}) is None
    assert compressed.rate_of(compressed.KINDS[0], {"config": own}) == 4
    assert compressed.rate_of(compressed.KINDS[1], {"config": own}) is None
    assert compressed.rate_of(compressed.KINDS[1], {"config": SimpleNamespace()}) is None
    assert compressed.rate_of("sliding_attention", {"sliding_window": 8}) == 1
