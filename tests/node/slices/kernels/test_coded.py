"""Rows that are known by their codes are moved about as the tensor they stand for would be, and never looked into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from node.slices.errors import BadCheckpoint
from node.slices.kernels import quantise
from node.slices.kernels.coded import Coded, Origin, from_nibbles, to_nibbles

GROUP = 32


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5)).bfloat16()


def origins(name: str = "x.weight") -> frozenset[Origin]:
    return frozenset((Origin(Path("f.safetensors"), name),))


def eight(weight: torch.Tensor, *, turned: bool = False) -> Coded:
    """The codes of 8 bits of `[..., O, I]`."""
    upright = weight.transpose(-1, -2) if turned else weight
    codes, scale = quantise.to_int8(upright.reshape(-1, upright.shape[-1]))
    parts = [codes.view(upright.shape), scale.view(upright.shape[:-1])]
    return Coded(parts, upright.shape[-1], origins(), turned=turned)


def four(weight: torch.Tensor) -> Coded:
    """The codes of 4 bits of `[..., O, I]`."""
    *lead, columns = weight.shape
    codes, scale, zero = quantise.to_int4(weight.reshape(-1, columns), GROUP)
    groups = columns // GROUP
    parts = [to_nibbles(codes).view(*lead, columns // 2), scale.view(*lead, groups), zero.view(*lead, groups)]
    return Coded(parts, columns, origins())


def same(coded: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether the codes of `[O, I]` are those that quantising the weight gives."""
    assert coded.shape == weight.shape
    assert isinstance(coded, Coded)
    found = quantise.to_int8(coded) if len(coded.parts) == 2 else quantise.to_int4(coded, GROUP)
    expected = quantise.to_int8(weight) if len(coded.parts) == 2 else quantise.to_int4(weight, GROUP)
    return all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


MOVES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "itself": lambda x: x[0],
    "an expert": lambda x: x[2],
    "the last": lambda x: x[-1],
    "some rows": lambda x: x[1][3:17],
    "parts": lambda x: torch.split(x[1], 7)[2],
    "unequal parts": lambda x: torch.split(x[0], [5, 12, 7])[1],
    "chunks": lambda x: torch.chunk(x, 2, dim=1)[1][0],
    "joined": lambda x: torch.cat([x[0], x[2]]),
    "joined experts": lambda x: torch.cat([x, x], dim=1)[1],
    "stacked": lambda x: torch.stack([x[1], x[0]])[0],
    "unbound": lambda x: x.unbind(0)[1],
    "turned twice": lambda x: x.transpose(1, 2).transpose(1, 2)[1],
    "other order of experts": lambda x: x.transpose(0, 1).transpose(0, 1)[2],
    "seen as heads": lambda x: x[0].view(4, 6, 64).transpose(0, 1).reshape(24, 64),
    "flat": lambda x: x.flatten(0, 1),
    "a parameter": lambda x: nn.Parameter(x, requires_grad=False)[0].contiguous(),
    "cast to what it is": lambda x: x.to(device="cpu", dtype=torch.bfloat16)[0],
}


@pytest.mark.parametrize("make", [eight, four])
@pytest.mark.parametrize("move", MOVES)
def test_moving_codes_is_quantising_what_was_moved(make: Callable[[torch.Tensor], Coded], move: str) -> None:
    weight = numbers(3, 24, 64)
    assert same(MOVES[move](make(weight)), MOVES[move](weight).contiguous())


def test_matrices_that_are_stored_turned_around_come_upright() -> None:
    weight = numbers(3, 64, 24)
    coded = eight(weight, turned=True)
    assert coded.shape == weight.shape
    assert same(coded.transpose(1, 2)[1], weight.transpose(1, 2)[1].contiguous())
    joined = torch.cat([coded, coded], dim=2).transpose(1, 2)[0]
    assert same(joined, torch.cat([weight, weight], dim=2).transpose(1, 2)[0].contiguous())


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x + 1,
        lambda x: x[0][3],
        lambda x: x[:, :, :8],
        lambda x: torch.cat([x, x], dim=2),
        lambda x: torch.cat([x[0], torch.zeros(2, 64).bfloat16()]),
        lambda x: torch.cat([x[0], four(numbers(24, 64))]),
        lambda x: torch.stack([x, x], dim=3),
        lambda x: x.view(3, 48, 32),
        lambda x: x.transpose(0, 2),
        lambda x: x.float(),
        lambda x: x.sum(),
    ],
)
def test_looking_into_a_row_is_an_error_that_names_the_tensor(
    look: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    with pytest.raises(BadCheckpoint, match=r"f\.safetensors: tensor x\.weight: is quantised") as caught:
        look(eight(numbers(3, 24, 64)))
    assert caught.value.tensor == "x.weight"


def test_codes_of_another_format_than_asked_for_are_an_error() -> None:
    weight = numbers(16, 64)
    with pytest.raises(BadCheckpoint, match="quantised to 8 bits, where a matrix of its shape has 4 bits"):
        quantise.to_int4(eight(weight), GROUP)
    with pytest.raises(BadCheckpoint, match="quantised to 4 bits, where a matrix of its shape has 8 bits"):
        quantise.to_int8(four(weight))
    with pytest.raises(BadCheckpoint, match="groups of 32, where a matrix of its shape has groups of 64"):
        quantise.to_int4(four(weight), 64)


def test_two_codes_to_a_byte_and_back() -> None:
    codes = torch.arange(64, dtype=torch.int32).view(2, 32) % 16
    packed = to_nibbles(codes)
    assert packed[0, :3].tolist() == [0x10, 0x32, 0x54]
    assert torch.equal(from_nibbles(packed), codes)
