"""Tensor specs: sizes, bounds and the check against a body."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire import limits
from wire.errors import BadMessage, InvalidValue
from wire.tensors import DType, TensorSpec


@pytest.mark.parametrize(("dtype", "size"), [(DType.FLOAT32, 4), (DType.BFLOAT16, 2), (DType.FLOAT16, 2)])
def test_element_sizes(dtype: DType, size: int) -> None:
    assert dtype.size == size
    assert TensorSpec(dtype, (1, 3, 5)).nbytes == 15 * size


def test_names_on_the_wire_give_the_type_back() -> None:
    assert [DType(name) for name in ("f32", "bf16", "f16")] == [DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16]


@given(st.sampled_from(DType), st.lists(st.integers(-2, 1 << 24), max_size=6))
def test_a_spec_that_exists_fits_a_message(dtype: DType, shape: list[int]) -> None:
    try:
        spec = TensorSpec(dtype, tuple(shape))
    except InvalidValue:
        return
    assert 0 < spec.nbytes <= limits.MAX_MESSAGE_BYTES
    assert 1 <= len(spec.shape) <= limits.MAX_TENSOR_RANK


@pytest.mark.parametrize(
    "shape", [(), (0,), (1, 0, 4), (-1,), (1, 1, 1, 1, 1), (4096, 4096), (1 << 60, 1 << 60)]
)
def test_shapes_out_of_bounds_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidValue):
        TensorSpec(DType.BFLOAT16, shape)


@pytest.mark.parametrize("length", [0, 11, 13, 24])
def test_a_body_of_another_length_is_a_bad_message(length: int) -> None:
    spec = TensorSpec(DType.BFLOAT16, (1, 2, 3))
    spec.check(12)
    with pytest.raises(BadMessage, match=f"the body has {length}"):
        spec.check(length)
