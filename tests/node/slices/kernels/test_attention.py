"""Attention of our own names is transformers', and a token of a session in company attends as it does alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from node.slices.kernels import attention, wide
from node.slices.kernels.attention import (
    ALONE,
    EXACT,
    ONE,
    SHARED,
    Attention,
    Padded,
    attend,
    attend_shared,
)


def tensors(dtype: torch.dtype, tokens: int, seen: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seen)
    shapes = ((1, 4, tokens, 16), (1, 2, seen, 16), (1, 2, seen, 16))
    made = [torch.randn(shape, generator=random).to(dtype) for shape in shapes]
    return made[0], made[1], made[2]


def module() -> Any:
    return SimpleNamespace(num_key_value_groups=2, is_causal=True, layer_idx=3)


def model(implementation: str, *, by_registry: bool = True) -> Any:
    config = SimpleNamespace(_attn_implementation=implementation)
    layer = SimpleNamespace(config=config)
    return SimpleNamespace(
        config=config, _supports_attention_backend=by_registry, modules=lambda: [layer, layer]
    )


@pytest.mark.parametrize(("tokens", "seen"), [(1, 9), (1, 300), (9, 9)])
@pytest.mark.parametrize("scaling", [0.25, None])
def test_it_is_the_attention_of_transformers(tokens: int, seen: int, scaling: float | None) -> None:
    query, key, value = tensors(torch.float32, tokens, seen)
    got, _ = attend(module(), query, key, value, None, scaling=scaling)
    expected, _ = sdpa_attention_forward(module(), query, key, value, None, scaling=scaling)
    assert got.shape == expected.shape
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_one_token_with_a_mask_sees_what_the_mask_lets_it_see() -> None:
    query, key, value = tensors(torch.float32, 1, 9)
    mask = torch.tensor([True, False, True] * 3).view(1, 1, 1, 9)
    got, _ = attend(module(), query, key, value, mask, scaling=0.25)
    expected, _ = attend(
        module(), query, key[:, :, mask[0, 0, 0]], value[:, :, mask[0, 0, 0]], None, scaling=0.25
    )
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("width", [torch.float32, torch.bfloat16])
def test_one_token_in_bfloat16(monkeypatch: pytest.MonkeyPatch, width: torch.dtype) -> None:
    monkeypatch.setattr(wide, "WIDTH", width)
    query, key, value = tensors(torch.bfloat16, 1, 40)
    got, _ = attend(module(), query, key, value, None, scaling=0.25)
    exact, _ = attend(module(), query.float(), key.float(), value.float(), None, scaling=0.25)
    assert got.dtype is torch.bfloat16
    assert float((got.float() - exact).norm() / exact.norm()) < 0.01


@pytest.mark.parametrize("width", [torch.float32, torch.bfloat16])
def test_bfloat16_is_as_near_to_the_exact_result_as_bfloat16_can_be(
    monkeypatch: pytest.MonkeyPatch, width: torch.dtype
) -> None:
    monkeypatch.setattr(wide, "WIDTH", width)
    query, key, value = tensors(torch.bfloat16, 5, 9)
    mask = torch.zeros(1, 1, 5, 9, dtype=torch.bfloat16)
    got, _ = attend(module(), query, key, value, mask, scaling=0.25)
    exact, _ = sdpa_attention_forward(
        module(), query.float(), key.float(), value.float(), mask.float(), scaling=0.25
    )
    assert got.dtype is torch.bfloat16
    assert float((got.float() - exact).norm() / exact.norm()) < 0.01


@pytest.mark.parametrize("packed", [False, True])
def test_each_token_attends_within_its_own_session(packed: bool) -> None:
    apart = [tensors(torch.float32, 1, seen) for seen in (4, 7, 1)]

    class Sessions:
        def visible(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> Any:
            assert layer == 3
            return [(key, value) for _, key, value in apart]

        def padded(self, layer: int) -> None:
            assert packed and layer == 3

    held = model("sdpa")
    query = torch.cat([one[0] for one in apart], dim=2)
    new = torch.zeros(1, 2, 3, 16)
    chosen = Attention(held, packed=packed)
    own = ALONE if packed else EXACT
    assert chosen.can_share
    with chosen.shared(Sessions()):
        assert held.config._attn_implementation == SHARED
        got, _ = attend_shared(module(), query, new, new, None, scaling=0.25)
        with pytest.raises(RuntimeError, match="more than queries"):
            attend_shared(module(), query, new, new, torch.zeros(1), scaling=0.25)
    chosen.alone()
    assert held.config._attn_implementation == own
    alone = attend if packed else sdpa_attention_forward
    expected = [alone(module(), *one, None, scaling=0.25)[0] for one in apart]
    assert torch.equal(got, torch.cat(expected, dim=1))


def test_sessions_that_attend_in_one_operation_see_what_each_sees_alone() -> None:
    apart = [tensors(torch.float32, 1, seen) for seen in (4, 7, 1)]
    mask = torch.full((3, 1, 1, 7), float("-inf"))
    keys, values = torch.zeros(2, 3, 2, 7, 16)
    for index, (_, key, value) in enumerate(apart):
        mask[index, ..., : key.shape[2]] = 0
        keys[index, :, : key.shape[2]], values[index, :, : key.shape[2]] = key[0], value[0]

    class Sessions:
        def padded(self, _layer: int) -> Padded:
            return Padded(keys, values, mask)

    query = torch.cat([one[0] for one in apart], dim=2)
    # Only looked at when a layer runs.
    with Attention(model("sdpa"), packed=True).shared(Sessions()):  # type: ignore[arg-type]
        got, _ = attend_shared(module(), query, keys, values, None, scaling=0.25)
    expected = [attend(module(), *one, None, scaling=0.25)[0] for one in apart]
    torch.testing.assert_close(got, torch.cat(expected, dim=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("held", "shares", "name"),
    [
        (model("sdpa"), True, ALONE),
        (model("eager"), True, "eager"),
        (model("sdpa", by_registry=False), False, "sdpa"),
        (model("flash"), False, "flash"),
    ],
)
def test_only_models_that_look_their_attention_up_are_changed(held: Any, shares: bool, name: str) -> None:
    assert Attention(held, packed=True).can_share is shares
    assert held.config._attn_implementation == name


def test_a_family_that_acts_by_the_name_keeps_it() -> None:
    held = model("sdpa")
    assert not Attention(held, may_rename=False).can_share
    assert held.config._attn_implementation == "sdpa"


def test_a_forward_that_failed_leaves_nothing_to_the_next() -> None:
    held = model("eager")
    chosen = Attention(held)
    # Never reached.
    with pytest.raises(ValueError, match="half way"), chosen.shared(Any):  # type: ignore[arg-type]
        raise ValueError("half way")
    assert attention._current.sessions is None
    chosen.alone()
    assert held.config._attn_implementation == "eager"
    with pytest.raises(ValueError, match="half way"), chosen.named("other"):
        raise ValueError("half way")
    assert held.config._attn_implementation == "eager"


def test_a_config_is_told_a_name_only_when_it_changes() -> None:
    told = []

    class Config(SimpleNamespace):
        def __setattr__(self, name: str, value: object) -> None:
            told.append(value)
            super().__setattr__(name, value)

    config = Config(_attn_implementation="sdpa")
    layer = SimpleNamespace(config=config)
    held = SimpleNamespace(config=config, _supports_attention_backend=True, modules=lambda: [layer])
    told.clear()
    chosen = Attention(held, packed=True)
    for _ in range(3):
        chosen.one()
    chosen.alone()
    chosen.alone()
    assert told == [ALONE, ONE, ALONE]
