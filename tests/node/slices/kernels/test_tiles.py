"""What torch's int4 kernel is given can be read back, whole and in parts, for any number of rows."""

from __future__ import annotations

import pytest
import torch

from node.slices.kernels import tiles


def codes(rows: int, columns: int = 96) -> torch.Tensor:
    return torch.randint(
        0, 16, (rows, columns), dtype=torch.int32, generator=torch.Generator().manual_seed(rows)
    )


@pytest.mark.parametrize("rows", [16, 32, 48, 64, 80, 128, 144, 1008])
def test_what_was_packed_comes_back(rows: int) -> None:
    packed = tiles.pack(codes(rows))
    assert packed.shape == (rows, 48)
    assert torch.equal(tiles.unpack(packed).int(), codes(rows))


def test_parts_that_begin_at_a_block_are_packed_and_unpacked_alone() -> None:
    packed = tiles.pack(codes(208))
    assert torch.equal(
        packed, torch.cat([tiles.pack(part.contiguous()) for part in codes(208).split(tiles.MOST_ROWS)])
    )
    assert torch.equal(tiles.unpack(packed[64:192]).int(), codes(208)[64:192])


def test_an_arrangement_that_is_not_known_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    tiles.block.cache_clear()
    monkeypatch.setattr(tiles, "pack", lambda values: values[:, : values.shape[1] // 2].byte() * 0)
    tiles._order.cache_clear()
    try:
        with pytest.raises(RuntimeError, match="serve int8"):
            tiles.block()
    finally:
        monkeypatch.undo()
        tiles.block.cache_clear()
        tiles._order.cache_clear()
