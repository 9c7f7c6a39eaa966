"""Steps and answers: their tensors, their sizes at the bounds, and what is left out of the header."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.fakes.hop_session import output, step, tokens
from wire import codec, limits
from wire.cbor import loads
from wire.errors import InvalidValue
from wire.messages.base import Message
from wire.messages.forward import Alternative, HopTime
from wire.tensors import DType, TensorSpec

SLOWEST = HopTime(queue_us=1 << 40, compute_us=1 << 40)
TRACE = (SLOWEST,) * limits.MAX_HOPS


def at_most(message: Message) -> None:
    raw, body = codec.encode(message)
    assert len(raw) <= limits.MAX_HEADER_BYTES
    assert codec.decode(raw, body) == message


def test_a_step_over_the_longest_route_fits_a_header() -> None:
    at_most(replace(step(limits.MAX_STEP, epoch=limits.MAX_STEP, position=limits.MAX_POSITIONS), trace=TRACE))


def test_answers_over_the_longest_route_fit_a_header() -> None:
    at_most(replace(output(limits.MAX_STEP - 1), position=limits.MAX_POSITIONS, trace=TRACE))
    alternatives = (Alternative(token=limits.MAX_VOCABULARY, logprob=-1e30),) * (limits.MAX_LOGPROBS + 1)
    ids = (limits.MAX_VOCABULARY,) * limits.MAX_TOKENS_PER_MESSAGE
    at_most(
        replace(
            tokens(limits.MAX_STEP - 1),
            position=limits.MAX_POSITIONS,
            ids=ids,
            logprobs=alternatives,
            trace=TRACE,
        )
    )


@pytest.mark.parametrize("message", [step(3), output(3)])
def test_a_body_travels_beside_the_header_and_is_not_copied(message: Message) -> None:
    raw, body = codec.encode(message)
    assert "body" not in loads(raw)
    assert body is message.body  # type: ignore[attr-defined]  # the registry gives the base class


def test_the_tensor_is_what_dtype_and_shape_say() -> None:
    assert step(0, count=3).tensor == TensorSpec(DType.FLOAT32, (1, 3, 1))
    assert output(0).tensor.nbytes == 4


@pytest.mark.parametrize("shape", [(), (0,), (1, 0, 1), (1, 1, 1, 1, 1), (1, 4_096, 4_096)])
def test_a_shape_that_cannot_be_a_tensors_is_not_one(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidValue):
        _ = replace(step(0), shape=shape).tensor


def test_the_largest_tensor_leaves_room_for_any_header() -> None:
    elements = limits.MAX_TENSOR_BYTES // 4
    assert TensorSpec(DType.FLOAT32, (1, 1, elements)).nbytes == limits.MAX_TENSOR_BYTES
    with pytest.raises(InvalidValue):
        TensorSpec(DType.FLOAT32, (1, 1, elements + 1))


def test_log_probabilities_that_were_not_asked_for_take_no_room() -> None:
    assert "logprobs" not in loads(codec.encode(tokens(0))[0])
