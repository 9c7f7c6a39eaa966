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
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from node.slices.errors import UnsupportedModel
from wire.types import LayerRange


class Crossing:
    """Puts hidden states in at one boundary between layers and takes them out at another, for one forward.

    Boundary k lies before layer k; boundary L after the last.
    """

    def __init__(self) -> None:
        self.layers = LayerRange(0, 0)
        self.incoming: torch.Tensor | None = None
        self.outgoing: torch.Tensor | None = None

    def begin(self, layers: LayerRange, incoming: torch.Tensor | None) -> None:
        """Run only `layers`; start them from `incoming` `[1, T, D]`, or from the embedding where it is None."""
        self.layers, self.incoming, self.outgoing = layers, incoming, None

    def take(self) -> torch.Tensor:
        """The hidden states `[1, T, D]` after the range."""
        if self.outgoing is None:
            raise RuntimeError(f"the forward did not pass the end of layers {self.layers}")
        return self.outgoing

    def end(self) -> None:
        """Let go of the forward's tensors."""
        self.incoming = self.outgoing = None

    def at(self, boundary: int, hidden_states: torch.Tensor) -> torch.Tensor:
        """The hidden states as they go on from `boundary`."""
        if boundary == self.layers.start and self.incoming is not None:
            hidden_states = self.incoming
        if boundary == self.layers.end:
            self.outgoing = hidden_states
        return hidden_states


class Position(nn.Module):
    """One layer's place in the model: runs the layer if there is one and the forward's range has it."""

    def __init__(
        self, index: int, num_layers: int, layer: nn.Module, crossing: Crossing, *, keep: bool
    ) -> None:
        super().__init__()
        self.index = index
        self.is_last = index == num_layers - 1
        self.crossing = crossing
        self.layer = layer if keep else None
        # Some families' forwards read plain facts off their layers, as in `layer.attention_type`.
        for name, value in vars(layer).items():
            if isinstance(value, (str, int, float)) and not name.startswith("_") and not hasattr(self, name):
                setattr(self, name, value)

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        crossing = self.crossing
        hidden_states = crossing.at(self.index, hidden_states)
        if self.layer is not None and self.index in crossing.layers:
            hidden_states = self.layer(hidden_states, *args, **kwargs)
        if self.is_last:
            hidden_states = crossing.at(self.index + 1, hidden_states)
        return hidden_states


class PassThrough(nn.Module):
    """Stands for a module that is not owned."""

    def forward(self, hidden_states: torch.Tensor, *_args: Any, **_kwargs: Any) -> torch.Tensor:
        return hidden_states


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What of a model is kept."""

    layers: LayerRange
    embed: bool
    head: bool


def holed_class(cls: Any, parts: Parts, crossing: Crossing, check: Callable[[Any], None]) -> Any:
    """A throw-away subclass of a `*ForCausalLM` whose instances have only `parts`.

    `check` sees each instance before it has any memory, and may refuse it by raising.
    """

    def __init__(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        cls.__init__(self, config, *args, **kwargs)
        _prune(self, parts, crossing)
        check(self)

    namespace = {"__init__": __init__, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    return type(cls.__name__, (cls,), namespace)


def close_positions(model: Any, layers: LayerRange, crossing: Crossing) -> None:
    """Put every owned layer into its `Position`, once its weights are loaded under their own names."""
    stack = layer_stack(model)
    for index in range(layers.start, layers.end):
        stack[index] = Position(index, len(stack), stack[index], crossing, keep=True)


def layer_stack(model: Any) -> nn.ModuleList:
    """The list of all layers. Raises `UnsupportedModel` for a model that is not built as expected."""
    decoder = getattr(model, model.base_model_prefix, None)
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList) or len(layers) != model.config.num_hidden_layers:
        raise UnsupportedModel(model.config.model_type, "its layers are not one list")
    return layers


def _prune(model: Any, parts: Parts, crossing: Crossing) -> None:
    stack = layer_stack(model)
    for index in range(len(stack)):
        if index not in parts.layers:
            stack[index] = Position(index, len(stack), stack[index], crossing, keep=False)
    tied = bool(model.config.get_text_config().tie_word_embeddings)
    decoder = getattr(model, model.base_model_prefix)
    if not (parts.embed or (parts.head and tied)):
        decoder.embed_tokens = PassThrough()
    if not parts.head:
        decoder.norm = PassThrough()
        model.lm_head = PassThrough()
        model.all_tied_weights_keys = {}
        model._tp_plan = {}


def needs_tensor(name: str, layer: int | None, parts: Parts, *, tied: bool) -> bool:
    """Whether a tensor on disk, of `layer` or of neither, belongs to `parts`."""
    if layer is not None:
        return layer in parts.layers
    if "embed_tokens." in name:
        return parts.embed or (parts.head and tied)
    return parts.head


def untied_elements(model: Any) -> int:
    """Numbers that the model's parameters need from a checkpoint."""
    tied = model.all_tied_weights_keys
    return sum(tensor.numel() for name, tensor in model.named_parameters() if name not in tied)


def weight_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and buffers, tied ones once."""
    tensors = {t.data_ptr(): t.nbytes for t in (*model.parameters(), *model.buffers())}
    return cast(int, sum(tensors.values()))
