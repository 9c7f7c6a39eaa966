"""One step of one session on the compute thread: hidden states in, the message that carries the result out.

Runs where torch runs; decides nothing about the session. Spec: `specs/forward.md` §Steps.
"""

from __future__ import annotations

from time import monotonic_ns

from node.slices import sampling, tensors
from node.slices.cache import SliceCache
from node.slices.slice import Slice
from node.slices.spec import Want
from wire.messages.forward import LEAST_LOGPROB, Alternative, Forward, HopTime, Output, Tokens
from wire.messages.session import Delivery, Open


def run(
    held: Slice, cache: SliceCache, opened: Open, forward: Forward, arrived_ns: int
) -> Forward | Output | Tokens:
    """Compute a step.

    Args:
        arrived_ns: `monotonic_ns` when the step arrived; what passed since is its time in the queue.

    Raises:
        NotFinite: the hidden states received hold NaN or infinity.
        SliceError: the slice cannot compute them.
    """
    started_ns = monotonic_ns()
    hidden = tensors.from_wire(forward.tensor, forward.body)
    samples = opened.delivery is Delivery.TOKENS and forward.sample
    result = held.forward(
        hidden, cache=cache, position=forward.position, want=Want.LOGITS if samples else Want.HIDDEN
    )
    ids: tuple[int, ...] = ()
    alternatives: tuple[Alternative, ...] | None = None
    end = forward.position + forward.count
    if samples and opened.sampling is not None:
        logits = tensors.to_numpy(result)
        ids = (sampling.draw(logits, opened.sampling, end),)
        if opened.logprobs:
            own, others = sampling.logprobs(logits, ids[0], opened.logprobs)
            ranked = ((ids[0], own), *others)
            # What the model rules out has a logarithm of minus infinity, which does not travel.
            alternatives = tuple(
                Alternative(token=token, logprob=max(LEAST_LOGPROB, min(0.0, logprob)))
                for token, logprob in ranked
            )
    finished_ns = monotonic_ns()
    here = HopTime(
        queue_us=max(0, started_ns - arrived_ns) // 1000, compute_us=(finished_ns - started_ns) // 1000
    )
    trace = (*forward.trace, here)
    if opened.delivery is Delivery.TOKENS:
        return Tokens(
            session=forward.session,
            epoch=forward.epoch,
            step=forward.step,
            position=end,
            ids=ids,
            logprobs=alternatives,
            trace=trace,
        )
    if opened.delivery is Delivery.HIDDEN:
        spec, body = tensors.to_wire(result if forward.count == 1 else result[:, -1:, :])
        return Output(
            session=forward.session,
            epoch=forward.epoch,
            step=forward.step,
            position=end - 1,
            dtype=spec.dtype,
            shape=spec.shape,
            trace=trace,
            body=body,
        )
    spec, body = tensors.to_wire(result)
    return Forward(
        session=opened.next_session or opened.session,
        epoch=forward.epoch,
        step=forward.step,
        position=forward.position,
        phase=forward.phase,
        sample=forward.sample,
        count=forward.count,
        dtype=spec.dtype,
        shape=spec.shape,
        trace=trace,
        body=body,
    )
