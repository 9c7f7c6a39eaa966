"""Makes a family's own model class with holes where the slice owns nothing.

The class's `__init__` runs in full on the meta device and then gives up what is not owned. Config and layer indexes
stay those of the whole model, so whatever depends on them (dense layers before sparse ones, sliding windows,
layers without rotary embedding, multipliers) is right by construction, and names on disk are unchanged. Rejected:
shrinking `num_hidden_layers`, which is silently wrong for a third of the families, and calling layers by hand, which
copies each family's forward.

The subclass keeps the class's `__name__` and `__module__`: transformers looks up weight conversions by the one and
decides by the other whether the code is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from node.slices import adapters
from node.slices.boundary import folded, unfolded
from node.slices.errors import UnsupportedModel
from node.slices.families import Family
from node.slices.kernels import gpu, inner
from node.slices.kernels.linear import KernelLinear
from node.slices.names import Parts, Place, is_tied, needed
from node.slices.recorded import Recorded, record
from wire.types import LayerRange


class EndReached(Exception):
    """The forward is past the layers that were wanted, and has nothing more to do."""


class Crossing:
    """Puts hidden states in at one boundary between layers and takes them out at another, for one forward.

    Boundary k lies before layer k; boundary L after the last.
    """

    def __init__(self, streams: int | None = None, *, rounds_to: torch.dtype | None = None) -> None:
        """
        Args:
            streams: where the family keeps several streams of hidden states, if it does (`boundary`).
            rounds_to: what states have between layers where the model computes at a wider dtype.
        """
        self.streams = streams
        self.rounds_to = rounds_to
        self.seen: dict[int, tuple[torch.Tensor, dict[str, Any]]] | None = None
        """What each layer was called with, where that is wanted."""
        self.attend: Any = None
        """The attention of layers that are played back."""
        self.layers = LayerRange(0, 0)
        self.stops = False
        self.incoming: torch.Tensor | None = None
        self.outgoing: torch.Tensor | None = None

    def begin(self, layers: LayerRange, incoming: torch.Tensor | None, *, stops: bool = False) -> None:
        """Run only `layers`; start them from `incoming` `[1, T, W]`, or from the embedding where it is None.

        Args:
            stops: have the forward end in `EndReached` where they end.
        """
        self.layers, self.incoming, self.outgoing, self.stops = layers, incoming, None, stops

    def take(self) -> torch.Tensor:
        """The hidden states `[1, T, W]` after the range."""
        if self.outgoing is None:
            raise RuntimeError(f"the forward did not pass the end of layers {self.layers}")
        return self.outgoing

    def end(self) -> None:
        """Let go of the forward's tensors."""
        self.incoming = self.outgoing = None

    def at(self, boundary: int, hidden_states: torch.Tensor) -> torch.Tensor:
        """The hidden states as they go on from `boundary`."""
        if boundary == self.layers.start:
            if self.incoming is None:
                hidden_states = self.rounded(hidden_states)
            else:
                hidden_states = unfolded(self.incoming, self.streams, hidden_states)
        if boundary == self.layers.end:
            self.outgoing = folded(hidden_states, self.streams)
            if self.stops:
                raise EndReached
        return hidden_states

    def rounded(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Hidden states with the bits that they would have if they travelled, in the dtype they come in."""
        if self.rounds_to is None:
            return hidden_states
        return hidden_states.to(self.rounds_to).to(hidden_states.dtype)


class Position(nn.Module):
    """One layer's place in the model: runs the layer if there is one and the forward's range has it."""

    def __init__(
        self,
        index: int,
        stack: nn.ModuleList,
        crossing: Crossing,
        *,
        keep: bool,
        extra_outputs: int | None = None,
    ) -> None:
        super().__init__()
        layer = stack[index]
        self.index = index
        self.is_last = index == len(stack) - 1
        self.crossing = crossing
        self.extra_outputs = extra_outputs
        self.layer = layer if keep else None
        self.recorded: Recorded | None = None
        self.passes_on = not keep and not self.is_last and extra_outputs is None
        # Some families' forwards read plain facts off their layers, as in `layer.attention_type`.
        for name, value in vars(layer).items():
            if isinstance(value, (str, int, float)) and not name.startswith("_") and not hasattr(self, name):
                setattr(self, name, value)

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        crossing = self.crossing
        if self.passes_on and crossing.layers.start != self.index != crossing.layers.end:
            return hidden_states
        hidden_states = crossing.at(self.index, hidden_states)
        rest: tuple[Any, ...] = (None,) * (self.extra_outputs or 0)
        if self.layer is not None and self.index in crossing.layers:
            if crossing.seen is not None and not args:
                crossing.seen[self.index] = (hidden_states, kwargs)
            if self.recorded is not None and self.recorded.fits(hidden_states, args, kwargs):
                hidden_states = self.recorded.play(hidden_states, kwargs, crossing.attend)
            else:
                out = self.layer(hidden_states, *args, **kwargs)
                hidden_states, rest = (out[0], tuple(out[1:])) if isinstance(out, tuple) else (out, ())
                hidden_states = crossing.rounded(hidden_states)
        if self.is_last:
            hidden_states = crossing.at(self.index + 1, hidden_states)
        return hidden_states if self.extra_outputs is None else (hidden_states, *rest)


class Stack(nn.ModuleList):
    """All positions. A stretch of them is made once: families ask for the same one in every forward."""

    def __init__(self, positions: nn.ModuleList) -> None:
        super().__init__(positions)
        self._stretches: dict[tuple[int, int, int], nn.ModuleList] = {}

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            return super().__getitem__(index)
        asked = index.indices(len(self))
        if asked not in self._stretches:
            self._stretches[asked] = nn.ModuleList(list(self)[index])
        return self._stretches[asked]


class PassThrough(nn.Module):
    """Stands for a module that is not owned."""

    def forward(self, hidden_states: torch.Tensor, *_args: Any, **_kwargs: Any) -> torch.Tensor:
        return hidden_states


class NoTable(nn.Module):
    """Stands for a table of positions that is not owned: what it would be added to is thrown away anyhow."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Zeros `[1, 1, 1]`, where what is asked for is."""
        asked = (one.device for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor))
        return torch.zeros(1, 1, 1, dtype=self.dtype, device=next(asked, None))


class NoEmbedding(nn.Module):
    """Stands for a token embedding that is not owned, where the model is run from token ids all the same."""

    def __init__(self, dtype: torch.dtype, size: int) -> None:
        super().__init__()
        self.dtype = dtype
        self.size = size

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Zeros `[1, T, D]` for ids `[1, T]`."""
        return torch.zeros(*ids.shape, self.size, dtype=self.dtype, device=ids.device)


def holed_class(
    cls: Any, family: Family, parts: Parts, crossing: Crossing, check: Callable[[Any], None]
) -> Any:
    """A throw-away subclass of a `*ForCausalLM` whose instances have only `parts`.

    `check` sees each instance before it has any memory, and may refuse it by raising.
    """

    def __init__(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__(self, config, *args, **kwargs)
        _prune(self, family, parts, crossing)
        check(self)

    namespace = {"__init__": __init__, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type(cls.__name__, (cls,), namespace)


def close_positions(model: Any, family: Family, layers: LayerRange, crossing: Crossing) -> None:
    """Put every owned layer into its `Position`, once its weights are loaded under their own names."""
    stack = layer_stack(model, family)
    for index in range(layers.start, layers.end):
        stack[index] = Position(index, stack, crossing, keep=True, extra_outputs=family.extra_outputs)
    owner, _, name = family.stack.rpartition(".")
    setattr(_found(model, owner) if owner else model, name, Stack(stack))


def record_layers(model: Any, family: Family, crossing: Crossing) -> int:
    """Record all owned layers that `crossing` has seen calls of; returns how many can be played back."""
    stack = layer_stack(model, family)
    for index, (hidden_states, given) in (crossing.seen or {}).items():
        position: Any = stack[index]
        position.recorded = record(position.layer, given, hidden_states, crossing.rounded)
    return sum(getattr(position, "recorded", None) is not None for position in stack)


def layer_stack(model: Any, family: Family) -> nn.ModuleList:
    """The list of all layers. Raises `UnsupportedModel` for a model that is not built as expected."""
    layers = _found(model, family.stack)
    config = model.config.get_text_config()
    if not isinstance(layers, nn.ModuleList) or len(layers) != config.num_hidden_layers:
        raise UnsupportedModel(model.config.model_type, "its layers are not one list")
    return layers


def decoder_of(model: Any, family: Family) -> Any:
    """The model without its head. Not `base_model_prefix`, which one family has wrong."""
    return getattr(model, family.stack.partition(".")[0])


def _found(model: Any, path: str) -> Any:
    """The module at a dotted path, or None."""
    for name in path.split("."):
        model = getattr(model, name, None)
    return model


def _prune(model: Any, family: Family, parts: Parts, crossing: Crossing) -> None:
    stack = layer_stack(model, family)
    for index in range(len(stack)):
        if index not in parts.layers:
            hole = Position(index, stack, crossing, keep=False, extra_outputs=family.extra_outputs)
            adapters.furnish_hole(model.config.model_type, stack[index], hole)
            stack[index] = hole
    tied = is_tied(model, family)
    for place, paths in (
        (Place.EMBED, (family.embed,)),
        (Place.BEFORE, family.before),
        (Place.AFTER, family.after),
        (Place.HEAD, (family.head,)),
        (Place.NOWHERE, family.unused),
    ):
        if not needed(place, parts, tied=tied, embedded=family.tokens == "embedded"):
            for path in paths:
                _put_hole(model, path, crossing, is_embedding=place is Place.EMBED and family.tokens != "")
    if not parts.head:
        model.all_tied_weights_keys = {}
        model._tp_plan = {}


def _put_hole(model: Any, path: str, crossing: Crossing, *, is_embedding: bool) -> None:
    owner, _, name = path.rpartition(".")
    holder = _found(model, owner) if owner else model
    module = getattr(holder, name, None)
    if module is not None and is_embedding:
        # What is made of the embedding beside hidden states, as rotary tables, has its dtype.
        dtype = module.weight.dtype if crossing.rounds_to is None else inner.DTYPE
        setattr(holder, name, NoEmbedding(dtype, module.weight.shape[1]))
    elif module is not None:
        is_table = isinstance(module, nn.Embedding)
        setattr(holder, name, NoTable(module.weight.dtype) if is_table else PassThrough())


def untied_elements(model: Any) -> int:
    """Numbers that the model's parameters need from a checkpoint."""
    tied = model.all_tied_weights_keys
    return sum(tensor.numel() for name, tensor in model.named_parameters() if name not in tied)


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers, tied ones once, and of what kernels packed."""
    held = (part for tensor in (*model.parameters(), *model.buffers()) for part in gpu.parts(tensor))
    tensors = {part.data_ptr(): part.nbytes for part in held}
    packed = sum(module.packed_bytes for module in model.modules() if isinstance(module, KernelLinear))
    return cast(int, sum(tensors.values())) + packed
