"""One step of one session on the compute thread: hidden states in, the message that carries the result out.

Runs where torch runs; decides nothing about the session. Spec: `specs/forward.md` §Steps.
"""

from __future__ import annotations

from time import monotonic_ns

from node.sight.tally import Tally
from node.slices import sampling, tensors
from node.slices.cache import SliceCache
from node.slices.slice import Slice
from node.slices.spec import Want
from node.slices.together import Step
from wire.messages.forward import LEAST_LOGPROB, Alternative, Forward, HopTime, Output, Phase, Tokens
from wire.messages.session import Delivery, Open


class SessionStep:
    """One step of one session, as the engine runs it (`node.slices.engine.Work`)."""

    __slots__ = ("_arrived_ns", "_cache", "_forward", "_opened", "_samples", "_started_ns", "slice")

    def __init__(
        self, held: Slice, cache: SliceCache, opened: Open, forward: Forward, arrived_ns: int
    ) -> None:
        """`arrived_ns` is `monotonic_ns` when the step arrived; what passed since is its time in the queue."""
        self.slice = held
        self._cache = cache
        self._opened = opened
        self._forward = forward
        self._arrived_ns = arrived_ns
        self._samples = opened.delivery is Delivery.TOKENS and forward.sample
        self._started_ns = arrived_ns

    def begin(self) -> Step:
        """Read the hidden states received. Raises `NotFinite` when they hold NaN or infinity."""
        self._started_ns = monotonic_ns()
        forward = self._forward
        hidden = tensors.from_wire(forward.tensor, forward.body)
        want = Want.LOGITS if self._samples else Want.HIDDEN
        ids = None if forward.tokens is None else tensors.from_ids(forward.tokens)
        return Step(hidden, self._cache, forward.position, want, ids)

    def finish(self, result: tensors.Tensor) -> Forward | Output | Tokens:
        """Make the message of what the slice returned.

        Args:
            result: logits `[V]`, or hidden states `[1, T, D]`.

        Raises:
            NotFinite: it holds NaN or infinity.
        """
        opened, forward = self._opened, self._forward
        end = forward.position + forward.count
        if opened.delivery is Delivery.TOKENS:
            return self._tokens(result, end)
        if opened.delivery is Delivery.HIDDEN:
            spec, body = tensors.to_wire(result if forward.count == 1 else result[:, -1:, :])
            return Output(
                session=forward.session,
                epoch=forward.epoch,
                step=forward.step,
                position=end - 1,
                dtype=spec.dtype,
                shape=spec.shape,
                trace=self._trace(),
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
            # Whoever computes layers that need no tokens is not told them.
            tokens=forward.tokens if opened.layers.end < self.slice.tokens_until else None,
            trace=self._trace(),
            body=body,
        )

    def _tokens(self, result: tensors.Tensor, end: int) -> Tokens:
        opened, forward = self._opened, self._forward
        ids: tuple[int, ...] = ()
        alternatives: tuple[Alternative, ...] | None = None
        if self._samples and opened.sampling is not None:
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
        return Tokens(
            session=forward.session,
            epoch=forward.epoch,
            step=forward.step,
            position=end,
            ids=ids,
            logprobs=alternatives,
            trace=self._trace(),
        )

    def _trace(self) -> tuple[HopTime, ...]:
        here = HopTime(
            queue_us=max(0, self._started_ns - self._arrived_ns) // 1000,
            compute_us=(monotonic_ns() - self._started_ns) // 1000,
        )
        return (*self._forward.trace, here)


def count(tally: Tally, forward: Forward, result: Forward | Output | Tokens) -> None:
    """Count a step that has been computed, by what the result's trace says of this hop."""
    here = result.trace[-1]
    tally.step(
        is_prefill=forward.phase is Phase.PREFILL,
        positions=forward.count,
        queue_us=here.queue_us,
        compute_us=here.compute_us,
    )
