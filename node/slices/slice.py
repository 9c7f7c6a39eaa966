"""A loaded slice and its forward pass.

The model's own forward runs: it makes masks and rotary tables from the cache's length, and the holes pass hidden
states on. So a slice does what the whole model does between two layers, bit for bit, with no code per family.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final, cast

import torch

from node.slices import beside, build, device, families, inputs, memory, recorded
from node.slices.cache import SliceCache
from node.slices.cache_plan import CachePlan
from node.slices.calling import Calling
from node.slices.errors import (
    BadInput,
    ContextFull,
    ForwardFailed,
    InvalidSlice,
    SliceError,
    UnsupportedModel,
    WrongThread,
)
from node.slices.families import Family
from node.slices.kernels import inner
from node.slices.kernels.attention import Attention
from node.slices.merged import MergedCaches, Unlike
from node.slices.spec import CPU, SliceSpec, Want
from node.slices.state_cache import StateCache
from node.slices.together import Step, TogetherCache
from wire.types import LayerRange

_FAULTS: Final = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, MemoryError)
"""What a family's forward may raise that is not a defect of this program."""


class Slice:
    """Some layers of a model, perhaps with its embedding or head; made by `load.load_slice`.

    Serves any number of sessions, each with caches of its own, one forward at a time, on the thread that loaded it.
    """

    def __init__(self, spec: SliceSpec, family: Family, model: Any, crossing: build.Crossing) -> None:
        """Take a model whose holes cross through `crossing`; runs one token through it to size its caches."""
        config = model.config.get_text_config()
        self.spec = spec
        self.model_type: str = model.config.model_type
        self.num_layers: int = config.num_hidden_layers
        self.hidden_size: int = config.hidden_size
        self.vocab_size: int = config.vocab_size
        self.max_positions: int = families.max_positions(config)
        self.dtype: torch.dtype = getattr(torch, spec.dtype)
        """Of hidden states that go in and come out."""
        self._device = device.opened(spec.device)
        on_cpu = spec.device == CPU
        self._inner = self.dtype if crossing.rounds_to is None else inner.DTYPE
        self.weight_bytes = build.weight_bytes(model)
        self._model = model
        self._decoder = build.decoder_of(model, family)
        self._crossing = crossing
        self._attention = Attention(
            model, may_rename=not family.names_attention, packed=on_cpu and self.dtype is torch.bfloat16
        )
        self._plan = CachePlan(config, self.dtype, self._device)
        self.tokens_until = beside.tokens_until(family.tokens, config)
        """The layers before this one need their tokens' ids beside the hidden states; 0 where none does."""
        self.joined = beside.joined_layers(config)
        """Stretches of layers that no session may part."""
        self._key_sources = beside.key_sources(config)
        self._calling = Calling(
            model,
            self._decoder,
            tokens=family.tokens,
            shares_keys=bool(self._key_sources),
            device=self._device,
        )
        self._merges = family.together == "padded" and self._plan.keeps_state and self._calling.takes_mask
        self.steps_together = self._merges or (
            family.together in ("new", "joined")
            and self._attention.can_share
            and self._calling.takes_positions
            and not self._plan.keeps_state
        )
        """Whether the tokens of several sessions are computed in one forward."""
        self.last_forward_was_shared = False
        """Whether the latest forward held more than one session; a proof that they do share must see it."""
        self._joined = family.together == "joined"
        self._owner = threading.get_ident()
        attends_to_cache = self.steps_together and not (self._merges or self._joined or self._key_sources)
        self._may_omit_masks = attends_to_cache and self._attention.ignores_open_masks
        self._may_stop = attends_to_cache and family.streams is None
        """Whether the family does nothing after its last layer but make its output."""
        crossing.attend = self._attention.attend
        self._family = family
        self._may_record = on_cpu and attends_to_cache and family.streams is None
        self.width = self.hidden_size if family.streams is None else self._streams_width()
        """W, of the hidden states `[1, T, W]` that pass between layers."""
        self._fixed_bytes, self._bytes_per_position = self._measure()

    def record_layers(self) -> int:
        """Have layers played back where that gives their own bits (`recorded`); returns how many are.

        Costs a tenth of a second a layer, and saves a few tokens' forward most of what is not arithmetic.
        """
        if not self._may_record:
            return 0
        self._crossing.seen = {}
        try:
            cache = self._plan.new(self.spec.layers)
            zeros = torch.zeros(1, 1, self.width, dtype=self.dtype)
            ids = torch.zeros(1, 1, dtype=torch.int64) if self.needs_tokens(self.spec.layers) else None
            self.forward(zeros, cache=cache, position=0, want=Want.HIDDEN, ids=ids)
            with self._attention.named(recorded.NAME):
                return build.record_layers(self._model, self._family, self._crossing)
        finally:
            self._crossing.seen = None

    def release(self) -> None:
        """Free the weights, whoever still holds the slice; nothing can be computed then. May be called again."""
        vars(self).update(_model=None, _decoder=None, _crossing=None, _attention=None, _calling=None)
        memory.free()

    def new_cache(self, layers: LayerRange) -> SliceCache:
        """An empty cache for a session that uses `layers`, any sub-range of the slice's.

        Raises:
            InvalidSlice: the slice does not have them.
        """
        if not self.spec.layers.covers(layers):
            raise InvalidSlice(f"layers {layers} are not within this slice's {self.spec.layers}")
        at_end = (layers.start == 0 and self.spec.embed) or (layers.end == self.num_layers and self.spec.head)
        if not len(layers) and not at_end:
            raise InvalidSlice(f"layers {layers} are empty")
        stretch = beside.parted(self.joined, layers)
        if stretch is not None:
            raise InvalidSlice(beside.words(stretch))
        return self._plan.new(layers)

    def kv_bytes(self, layers: LayerRange, positions: int) -> int:
        """The most bytes a cache of `layers` holds once it has had `positions`, however they came."""
        if not positions:
            return 0
        return sum(
            self._fixed_bytes[index] + self._bytes_per_position[index] * self._plan.rows(index, positions)
            for index in range(layers.start, layers.end)
        )

    def needs_tokens(self, layers: LayerRange) -> bool:
        """Whether whoever computes `layers`, or sends hidden states on from within them, needs the tokens' ids."""
        return layers.start < self.tokens_until

    def forward(
        self,
        x: torch.Tensor,
        *,
        cache: SliceCache,
        position: int,
        want: Want,
        ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run the cache's layers on T new tokens and add them to the cache.

        Args:
            x: token ids `[1, T]` int64, where the slice has the embedding and the cache's layers start at 0; or
                hidden states `[1, T, W]` of any float dtype, cast to the slice's.
            cache: of this slice (`new_cache`).
            position: of the first new token; must be `cache.length`.
            want: hidden states for the next hop, or logits for the sampler.
            ids: of the tokens whose hidden states `x` are, `[1, T]` int64; just where the layers need them
                (`needs_tokens`).

        Returns:
            `[1, T, W]` in the slice's dtype, or `[V]` float32 for the last token.

        Raises:
            BadInput: shape, dtype, ids, position or `want` do not fit, or it was released; the cache is unchanged.
            ContextFull: the tokens do not fit the model's context; the cache is unchanged.
            ForwardFailed: it began and could not finish; the cache is broken.
            CacheBroken: an earlier forward failed.
            WrongThread: this is not the thread that loaded the slice.
        """
        self._check(Step(x, cache, position, want, ids))
        count = x.shape[1]
        self.last_forward_was_shared = False
        x, ids, hidden = self._moved(x, ids)
        if count == 1 and self._may_omit_masks:
            self._attention.one()
        else:
            self._attention.alone()
        with torch.inference_mode():
            positions = torch.arange(position, position + count, device=self._device).unsqueeze(0)
            given = x if hidden is None else hidden
            arguments = self._calling.arguments(given, positions, cache.model_cache, ids)
            self._crossing.begin(cache.layers, hidden, stops=want is Want.HIDDEN and self._may_stop)
            cache.mark_broken()
            try:
                if want is Want.LOGITS:
                    out = self._model(**arguments, **self._calling.last_only).logits[0, -1].float()
                else:
                    out = self._states(arguments)
                out = device.to_host(out)
            except _FAULTS as error:
                raise ForwardFailed(f"layers {cache.layers} of {self.model_type}: {error}") from error
            finally:
                self._crossing.end()
        cache.advance(count)  # and with that whole again
        return out

    def forward_all(self, steps: Sequence[Step]) -> list[torch.Tensor | SliceError]:
        """Run the steps of several sessions, in one forward where that is exact and they are of one token each.

        Each session's tokens are those of `forward` alone; the last bits of its numbers may differ, since a product of
        several rows is summed in another order than one of a single row.

        Returns: for every step what `forward` returns, or the error it raises; no session's error touches another.
        """
        results: list[torch.Tensor | SliceError | None] = [None] * len(steps)
        groups: dict[object, list[int]] = {}
        for index, step in enumerate(steps):
            alone = not self.steps_together or step.x.shape[1:2] != (1,)
            is_text = step.x.dtype is torch.int64
            groups.setdefault(index if alone else (step.cache.layers, is_text), []).append(index)
        for group in groups.values():
            found = self._together([steps[index] for index in group]) if len(group) > 1 else None
            for place, index in enumerate(group):
                results[index] = self._alone(steps[index]) if found is None else found[place]
        return [one for one in results if one is not None]

    def _alone(self, step: Step) -> torch.Tensor | SliceError:
        try:
            return self.forward(
                step.x, cache=step.cache, position=step.position, want=step.want, ids=step.ids
            )
        except SliceError as error:
            return error

    def _together(self, steps: Sequence[Step]) -> list[torch.Tensor | SliceError] | None:
        """One forward of one token each; None when they have to be run alone, which also tells whose fault it is."""
        try:
            for step in steps:
                self._check(step)
            beside_x = [step.ids for step in steps if step.ids is not None]
            beside_all = torch.cat(beside_x, dim=1) if beside_x else None
            x, ids, hidden = self._moved(torch.cat([step.x for step in steps], dim=1), beside_all)
        except SliceError:
            return None
        drawn = [index for index, step in enumerate(steps) if step.want is Want.LOGITS]
        given = x if hidden is None else hidden
        run = self._in_a_batch if self._merges else self._in_a_row
        try:
            with torch.inference_mode():
                logits, out = run(steps, given, ids, drawn)
                logits, out = (None if one is None else device.to_host(one) for one in (logits, out))
        except (*_FAULTS, Unlike):
            return None
        finally:
            self._crossing.end()
        self.last_forward_was_shared = True
        for step in steps:
            step.cache.advance(1)
        rows = iter(() if logits is None else logits)
        sent = iter(() if out is None else out.split(1, dim=1))
        results: list[torch.Tensor | SliceError] = []
        for index in range(len(steps)):
            state = next(sent, None)
            results.append(next(rows) if index in drawn else cast(torch.Tensor, state))
        return results

    def _in_a_row(
        self, steps: Sequence[Step], x: torch.Tensor, ids: torch.Tensor | None, drawn: Sequence[int]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Run tokens as if of one sequence: logits `[n, V]` where drawn from, states `[1, N, W]` if any are sent."""
        shared = TogetherCache([step.cache for step in steps], joined=self._joined, sources=self._key_sources)
        positions = torch.tensor([[step.position for step in steps]], device=self._device)
        with self._attention.shared(shared):
            arguments = self._calling.arguments(x, positions, shared, ids)
            self._begin(steps[0], x, stops=not drawn and self._may_stop)
            if not drawn:
                return None, self._states(arguments)
            rows = torch.tensor(drawn, device=self._device)
            last_only = {"logits_to_keep": rows} if self._calling.last_only else {}
            logits = self._model(**arguments, **last_only).logits[0]
            logits = (logits if last_only else logits[rows]).float()
            return logits, self._crossing.take().to(self.dtype) if len(drawn) < len(steps) else None

    def _in_a_batch(
        self, steps: Sequence[Step], x: torch.Tensor, ids: torch.Tensor | None, drawn: Sequence[int]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """The same, each token a sequence of its own. Raises `Unlike`."""
        merged = MergedCaches([cast(StateCache, step.cache) for step in steps])
        positions = torch.tensor([[step.position] for step in steps], device=self._device)
        x, ids = x.transpose(0, 1), None if ids is None else ids.transpose(0, 1)
        self._attention.alone()
        mask = merged.mask(self._device)
        arguments = self._calling.arguments(x, positions, merged.model_cache, ids, mask=mask)
        self._begin(steps[0], x)
        logits = None
        if drawn:
            logits = self._model(**arguments, **self._calling.last_only).logits[drawn, -1].float()
        else:
            self._decoder(**arguments)
        out = self._crossing.take().to(self.dtype).transpose(0, 1)
        for step in steps:  # whole again once they have all of their own state
            step.cache.mark_broken()
        merged.part()
        return logits, out

    def _begin(self, step: Step, x: torch.Tensor, *, stops: bool = False) -> None:
        self._crossing.begin(step.cache.layers, None if x.dtype is torch.int64 else x, stops=stops)

    def _states(self, arguments: dict[str, Any]) -> torch.Tensor:
        """The hidden states `[1, T, W]` after the layers of this forward."""
        with suppress(build.EndReached):
            self._decoder(**arguments)
        return self._crossing.take().to(self.dtype)

    def _check(self, step: Step) -> None:
        """Raise unless this forward can be run."""
        x, cache, position, want = step.x, step.cache, step.position, step.want
        if threading.get_ident() != self._owner:
            raise WrongThread("a slice runs only on the thread that loaded it")
        if self._model is None:
            raise BadInput("the slice was released")
        cache.check_usable()
        layers = cache.layers
        if cache.plan is not self._plan:
            raise BadInput("the cache was made by another slice")
        if position != cache.length:
            raise BadInput(f"the forward is at position {position}, the cache at {cache.length}")
        takes = inputs.Takes(
            layers=layers,
            width=self.width,
            vocab_size=self.vocab_size,
            embeds=self.spec.embed and layers.start == 0,
            needs_ids=self.needs_tokens(layers),
        )
        takes.check(x, step.ids)
        if want is Want.LOGITS and not (self.spec.head and layers.end == self.num_layers):
            raise BadInput(f"layers {layers} of this slice do not end in the head; there are no logits")
        if position + x.shape[1] > self.max_positions:
            raise ContextFull(position + x.shape[1], self.max_positions)

    def _moved(
        self, x: torch.Tensor, ids: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """What goes in, moved to where the slice is: `x`, the ids beside it, and `x` again if it is hidden states."""
        try:
            x = x.to(self._device)
            ids = None if ids is None else ids.to(self._device)
            return x, ids, None if x.dtype is torch.int64 else x.to(self._inner)
        except _FAULTS as error:
            raise ForwardFailed(f"its input does not reach {self._device}: {error}") from error

    def _streams_width(self) -> int:
        """W of a family with several streams: what one token's states are at the end of this slice."""
        layers = self.spec.layers
        cache = self._plan.new(layers)
        position = torch.zeros(1, 1, dtype=torch.int64, device=self._device)
        ids = position if self.needs_tokens(layers) else None
        with torch.inference_mode():
            zeros = position.new_zeros(1, 1, self.hidden_size, dtype=self._inner)
            arguments = self._calling.arguments(zeros, position, cache.model_cache, ids)
            self._crossing.begin(layers, None)
            try:
                self._decoder(**arguments)
                return int(self._crossing.take().shape[2])
            except _FAULTS as error:
                reason = f"its layers cannot be run alone ({error})"
                raise UnsupportedModel(self.model_type, reason) from error
            finally:
                self._crossing.end()

    def _measure(self) -> tuple[dict[int, int], dict[int, int]]:
        """Bytes each layer's cache takes at all, and for a position; also warms the kernels up."""
        cache = self._plan.new(self.spec.layers)
        ids = torch.zeros(1, 1, dtype=torch.int64) if self.needs_tokens(self.spec.layers) else None
        seen: list[dict[int, int]] = []
        for position in range(2):
            try:
                out = self.forward(
                    torch.zeros(1, 1, self.width, dtype=self.dtype),
                    ids=ids,
                    cache=cache,
                    position=position,
                    want=Want.HIDDEN,
                )
            except ForwardFailed as error:
                reason = f"its layers cannot be run alone ({error})"
                raise UnsupportedModel(self.model_type, reason) from error
            if out.shape != (1, 1, self.width):
                raise UnsupportedModel(self.model_type, "its layers pass on more than hidden states")
            seen.append(cache.layer_bytes())
            self._plan.learn(cache)
        one, two = seen
        return self._plan.costs(one, two)
