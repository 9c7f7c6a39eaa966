"""One step computes what the slice computes, in the form the session agreed on."""

from __future__ import annotations

from time import monotonic_ns

import numpy as np
import pytest
import torch

from node.slices import sampling, tensors
from node.slices.cache import SliceCache
from node.slices.errors import NotFinite
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.steps import SessionStep
from scripts.make_model import write_tiny
from tests.fakes.swarm import CLIENT
from wire.messages.forward import Forward, HopTime, Output, Phase, Tokens
from wire.messages.session import Delivery, Open
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId, Sampling, SessionId

HERE = SessionId(bytes(16))
THERE = SessionId(bytes(15) + b"\1")
LAYERS = LayerRange(2, 5)


@pytest.fixture(scope="module")
def tail(tmp_path_factory: pytest.TempPathFactory) -> Slice:
    folder = write_tiny(tmp_path_factory.mktemp("tiny") / "llama", "llama")
    return load_slice(SliceSpec(checkpoint=folder, layers=LAYERS, head=True, dtype="float32"))


def opened(delivery: Delivery, **options: object) -> Open:
    follows = delivery is Delivery.NEXT
    return Open(
        session=HERE,
        model=ModelId(bytes(32)),
        layers=LAYERS,
        dtype=DType.FLOAT32,
        upstream=CLIENT,
        delivery=delivery,
        next_peer=CLIENT if follows else None,
        next_address=Address("127.0.0.1", 1) if follows else None,
        next_session=THERE if follows else None,
        sampling=Sampling(temperature=0.8, seed=3) if delivery is Delivery.TOKENS else None,
        positions=64,
        **options,  # type: ignore[arg-type]  # only `logprobs` is ever passed
    )


def run(
    held: Slice, cache: SliceCache, opened: Open, forward: Forward, arrived_ns: int
) -> Forward | Output | Tokens:
    """What the engine does with one step."""
    work = SessionStep(held, cache, opened, forward, arrived_ns)
    step = work.begin()
    return work.finish(held.forward(step.x, cache=step.cache, position=step.position, want=step.want))


def forward(held: Slice, *, count: int = 3, sample: bool = True, poison: float | None = None) -> Forward:
    hidden = torch.randn(1, count, held.hidden_size, generator=torch.Generator().manual_seed(count))
    if poison is not None:
        hidden[0, -1, -1] = poison
    return Forward(
        session=HERE,
        epoch=0,
        step=0,
        position=0,
        phase=Phase.PREFILL,
        sample=sample,
        count=count,
        dtype=DType.FLOAT32,
        shape=(1, count, held.hidden_size),
        trace=(HopTime(queue_us=1, compute_us=2),),
        body=bytearray(hidden.numpy().tobytes()),
    )


def hidden_of(message: Forward) -> torch.Tensor:
    return tensors.from_wire(message.tensor, bytes(message.body))


def test_the_tail_draws_at_the_position_after_the_step(tail: Slice) -> None:
    step = forward(tail)
    answer = run(tail, tail.new_cache(LAYERS), opened(Delivery.TOKENS), step, monotonic_ns())
    logits = tail.forward(hidden_of(step), cache=tail.new_cache(LAYERS), position=0, want=Want.LOGITS)
    assert isinstance(answer, Tokens)
    assert answer.position == 3
    assert answer.ids == (sampling.draw(tensors.to_numpy(logits), Sampling(temperature=0.8, seed=3), 3),)
    assert len(answer.trace) == 2 and answer.trace[1].compute_us > 0


def test_a_step_that_asks_for_no_sample_is_answered_without_one(tail: Slice) -> None:
    step = forward(tail, sample=False)
    answer = run(tail, tail.new_cache(LAYERS), opened(Delivery.TOKENS), step, monotonic_ns())
    assert isinstance(answer, Tokens)
    assert answer.ids == () and answer.logprobs is None


def test_alternatives_start_with_the_token_drawn_and_are_log_probabilities(tail: Slice) -> None:
    step = forward(tail)
    asked = opened(Delivery.TOKENS, logprobs=4)
    answer = run(tail, tail.new_cache(LAYERS), asked, step, monotonic_ns())
    logits = tail.forward(hidden_of(step), cache=tail.new_cache(LAYERS), position=0, want=Want.LOGITS)
    log_softmax = torch.log_softmax(logits.double(), dim=-1)
    assert isinstance(answer, Tokens) and answer.logprobs is not None
    assert answer.logprobs[0].token == answer.ids[0]
    assert [one.token for one in answer.logprobs[1:]] == log_softmax.topk(4).indices.tolist()
    for one in answer.logprobs:
        assert one.logprob == pytest.approx(float(log_softmax[one.token]), abs=1e-5)


def test_the_next_hop_is_sent_the_layers_output_under_its_own_session_id(tail: Slice) -> None:
    step = forward(tail)
    passed = run(tail, tail.new_cache(LAYERS), opened(Delivery.NEXT), step, monotonic_ns())
    hidden = tail.forward(hidden_of(step), cache=tail.new_cache(LAYERS), position=0, want=Want.HIDDEN)
    assert isinstance(passed, Forward)
    assert passed.session == THERE
    assert (passed.step, passed.position, passed.count, passed.sample) == (0, 0, 3, True)
    assert bytes(passed.body) == hidden.numpy().tobytes()


def test_the_client_is_sent_the_last_position_only(tail: Slice) -> None:
    step = forward(tail)
    output = run(tail, tail.new_cache(LAYERS), opened(Delivery.HIDDEN), step, monotonic_ns())
    hidden = tail.forward(hidden_of(step), cache=tail.new_cache(LAYERS), position=0, want=Want.HIDDEN)
    assert isinstance(output, Output)
    assert output.position == 2 and output.shape == (1, 1, tail.hidden_size)
    assert np.array_equal(np.frombuffer(output.body, np.float32), hidden[0, -1].numpy())


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), float("-inf")])
def test_hidden_states_that_are_not_finite_are_refused_before_they_touch_the_cache(
    tail: Slice, poison: float
) -> None:
    cache = tail.new_cache(LAYERS)
    with pytest.raises(NotFinite):
        run(tail, cache, opened(Delivery.TOKENS), forward(tail, poison=poison), monotonic_ns())
    assert cache.length == 0
