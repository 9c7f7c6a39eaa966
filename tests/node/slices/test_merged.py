"""Sessions' states lie side by side in a batch, and each session gets its own back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from node.slices import merged
from node.slices.errors import CacheBroken
from node.slices.load import load_slice
from node.slices.merged import MergedCaches, Unlike
from node.slices.spec import SliceSpec, Want
from node.slices.together import Step
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange

CPU = torch.device("cpu")


def keys(length: int, seed: int) -> Any:
    torch.manual_seed(seed)
    rows = torch.randn(2, 1, 2, length, 4)
    return SimpleNamespace(keys=rows[0], values=rows[1], cumulative_length=length)


def state(seed: int) -> Any:
    torch.manual_seed(seed)
    return SimpleNamespace(
        conv_states={0: torch.randn(1, 6, 3)}, recurrent_states={0: torch.randn(1, 2, 4)}, ready={0: True}
    )


def session(length: int, *, layers: list[Any] | None = None) -> Any:
    """A session over layers 1 to 3 of 4: one attends, one keeps a state."""
    owned = [keys(length, length), state(length + 50)] if layers is None else layers
    held = SimpleNamespace(layers=[None, *owned, None], length=length)
    return SimpleNamespace(model_cache=held, length=length, nbytes=1000, layers=LayerRange(1, 3))


def test_shorter_sessions_are_padded_on_the_left_and_masked() -> None:
    sessions = [session(length) for length in (3, 5, 1)]
    made = MergedCaches(sessions)
    assert made.model_cache.length == 5
    attends, keeps = made.model_cache.layers[1:3]
    assert attends.keys.shape == (3, 2, 5, 4)
    assert attends.cumulative_length == 5
    for row, one in enumerate(sessions):
        assert torch.equal(attends.keys[row, :, 5 - one.length :], one.model_cache.layers[1].keys[0])
        assert not attends.values[row, :, : 5 - one.length].any()
        assert torch.equal(keeps.conv_states[0][row], one.model_cache.layers[2].conv_states[0][0])
    assert made.mask(CPU).tolist() == [[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1]]


def test_a_forward_changes_nothing_of_a_session_until_they_part() -> None:
    sessions = [session(length) for length in (3, 5)]
    before = [one.model_cache.layers[2].conv_states[0].clone() for one in sessions]
    made = MergedCaches(sessions)
    attends, keeps = made.model_cache.layers[1:3]
    keeps.conv_states[0].add_(1)
    keeps.recurrent_states[0] = keeps.recurrent_states[0] * 2
    new = torch.randn(2, 2, 1, 4)
    attends.keys, attends.values = (torch.cat([one, new], dim=2) for one in (attends.keys, attends.values))
    for one, was in zip(sessions, before, strict=True):
        assert torch.equal(one.model_cache.layers[2].conv_states[0], was)
        assert one.model_cache.layers[1].keys.shape[2] == one.length
    own = [one.model_cache.layers[1].keys.clone() for one in sessions]
    made.part()
    for row, one in enumerate(sessions):
        layer, kept = one.model_cache.layers[1:3]
        assert torch.equal(layer.keys, torch.cat([own[row], new[row : row + 1]], dim=2))
        assert layer.cumulative_length == one.length + 1
        assert torch.equal(kept.conv_states[0], before[row] + 1)
        # A view would keep the whole batch in memory.
        assert kept.conv_states[0]._base is None and layer.keys._base is None


def test_a_window_keeps_no_more_than_it_did() -> None:
    sessions = [session(9, layers=[keys(4, 1), state(1)]), session(2, layers=[keys(2, 2), state(2)])]
    made = MergedCaches(sessions)
    attends = made.model_cache.layers[1]
    assert attends.keys.shape[2] == 4
    attends.keys = torch.cat([attends.keys, torch.ones(2, 2, 1, 4)], dim=2)[:, :, -4:]
    made.part()
    assert [one.model_cache.layers[1].keys.shape[2] for one in sessions] == [4, 3]


def test_what_cannot_lie_side_by_side_is_not_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unlike, match="read nothing"):
        MergedCaches([session(3), session(0)])
    with pytest.raises(Unlike, match="different tensors"):
        MergedCaches([session(3), session(3, layers=[keys(3, 1), keys(3, 1)])])
    odd = state(1)
    odd.conv_states[0] = torch.zeros(1, 6, 5)
    with pytest.raises(Unlike, match=r"conv_states\.0 have different shapes"):
        MergedCaches([session(3), session(3, layers=[keys(3, 1), odd])])
    monkeypatch.setattr(merged, "MOST_MERGED_BYTES", 3000)
    MergedCaches([session(3), session(3)])
    with pytest.raises(Unlike, match="4000 bytes"):
        MergedCaches([session(3), session(6)])


def test_sessions_that_did_not_get_all_of_their_state_do_not_go_on(
    tiny: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = LayerRange(0, 5)
    piece = load_slice(SliceSpec(checkpoint=tiny("lfm2"), layers=layers, dtype="float32"))
    caches = [piece.new_cache(layers) for _ in range(2)]
    for cache in caches:
        piece.forward(torch.ones(1, 3, 64), cache=cache, position=0, want=Want.HIDDEN)

    def half(_: object) -> None:
        raise RuntimeError("half way")

    monkeypatch.setattr(MergedCaches, "part", half)
    results = piece.forward_all([Step(torch.ones(1, 1, 64), cache, 3, Want.HIDDEN) for cache in caches])
    assert [type(one) for one in results] == [CacheBroken, CacheBroken]
