"""Tensors travel as their bytes, and what is not finite does not travel."""

from __future__ import annotations

import warnings

import pytest
import torch

from node.slices.errors import BadInput, NotFinite
from node.slices.tensors import from_wire, to_wire
from wire.errors import BadMessage, InvalidValue
from wire.tensors import DType, TensorSpec

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 5, 8), (3,), (1, 1, 1)])
def test_a_tensor_comes_back_bit_for_bit(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape).to(dtype)
    spec, body = to_wire(tensor)
    assert spec.nbytes == len(body) == body.nbytes
    assert spec.shape == shape
    again = from_wire(spec, bytearray(body))
    assert again.dtype is dtype
    assert torch.equal(again, tensor)


def test_nothing_is_copied_either_way_when_memory_allows() -> None:
    tensor = torch.ones(1, 2, 4)
    _, body = to_wire(tensor)
    tensor[0, 0, 0] = 7.0
    assert memoryview(body).cast("f")[0] == 7.0
    buffer = bytearray(body)
    again = from_wire(TensorSpec(DType.FLOAT32, (1, 2, 4)), buffer)
    buffer[:4] = b"\x00\x00\x00\x00"
    assert again[0, 0, 0] == 0.0


def test_read_only_bytes_and_strided_tensors_are_copied_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec, body = to_wire(torch.arange(6.0).view(2, 3).t())
        tensor = from_wire(spec, bytes(body))
    assert torch.equal(tensor, torch.arange(6.0).view(2, 3).t())


def test_a_tensor_made_in_inference_mode_travels() -> None:
    with torch.inference_mode():
        tensor = torch.ones(1, 1, 4)
    assert to_wire(tensor)[0].shape == (1, 1, 4)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_finite_is_refused_both_ways(bad: float, dtype: torch.dtype) -> None:
    tensor = torch.zeros(1, 3, 8, dtype=dtype)
    tensor[0, 1, 2] = bad
    with pytest.raises(NotFinite):
        to_wire(tensor)
    spec = TensorSpec(
        {torch.float32: DType.FLOAT32, torch.bfloat16: DType.BFLOAT16}.get(dtype, DType.FLOAT16), (1, 3, 8)
    )
    with pytest.raises(NotFinite):
        from_wire(spec, bytearray(tensor.view(torch.uint8).numpy().tobytes()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_numbers_next_to_infinity_travel_and_all_kinds_of_nan_do_not(dtype: torch.dtype) -> None:
    facts = torch.finfo(dtype)
    edges = torch.tensor([[[facts.max, facts.min, facts.tiny, -facts.tiny, 0.0, -0.0, -1.0]]], dtype=dtype)
    spec, body = to_wire(edges)
    assert torch.equal(from_wire(spec, bytearray(body)), edges)
    integers, bits = (torch.int32, 32) if dtype is torch.float32 else (torch.int16, 16)
    infinity = int(torch.tensor(float("inf"), dtype=dtype).view(integers))
    lowest = -(1 << bits - 1)
    for pattern in (
        infinity,
        infinity + 1,
        (1 << bits - 1) - 1,
        lowest + infinity,
        lowest + infinity + 1,
        -1,
    ):
        tensor = torch.zeros(9, dtype=integers)
        tensor[4] = pattern
        assert not bool(torch.isfinite(tensor.view(dtype)).all())
        with pytest.raises(NotFinite):
            to_wire(tensor.view(dtype))


def test_a_body_of_the_wrong_length_is_the_peers_fault() -> None:
    with pytest.raises(BadMessage):
        from_wire(TensorSpec(DType.BFLOAT16, (1, 2, 4)), bytearray(15))


def test_what_cannot_travel_is_our_own_fault() -> None:
    with pytest.raises(BadInput):
        to_wire(torch.ones(3, dtype=torch.int64))
    with pytest.raises(InvalidValue):
        to_wire(torch.tensor(1.0))
