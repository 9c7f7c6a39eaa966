"""Layers played back from a recording: for a few tokens most of a step's time is Python walking through modules.

A layer is cut at its attention. What comes before gives queries, keys and values; what comes after takes what the
attention gave. Both are recorded once with torch's tracer, which notes the operations that the family's own code runs,
so the numbers are the same to the bit; the cache and the attention between them stay as they are. No family's code is
copied, and nothing is assumed of it: what was recorded is compared with the layer itself on several inputs, and a
layer that decides by its data, builds its own mask, works on keys after the cache gave them, or differs by one bit
is not played back.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import nn
from transformers.cache_utils import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from node.slices.kernels.linear import FEW_TOKENS

NAME: Final = "lamella_recording"
MOST_TOKENS: Final = min(FEW_TOKENS.values())
"""Recordings hold the kernels for few tokens."""
_TRIED: Final = (2, 1, 5) if MOST_TOKENS > 1 else (1,)
"""Tokens in the inputs that a recording is compared on; it is made with the first."""
_NOT_USED: Final = ("position_ids", "cache_position")
"""Tensors that layers hand to an attention function, and that none of ours looks at."""
_FAULTS: Final = (RuntimeError, ValueError, TypeError, LookupError, AttributeError)

Attend = Callable[..., tuple[torch.Tensor, Any]]


class _Stop(Exception):
    """Queries, keys and values are there; the rest of the layer is not wanted."""


class _Unsuited(Exception):
    """The layer cannot be played back."""


class _Probe:
    """Stands for the cache and the attention while a layer is looked at."""

    def __init__(self, answer: torch.Tensor | None = None) -> None:
        """`answer` is what the attention is to give; without one the layer ends there."""
        self.answer = answer
        self.stored: tuple[Any, Any] | None = None
        self.index = -1
        self.module: Any = None
        self.got: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
        self.options: dict[str, Any] = {}

    def update(self, keys: Any, values: Any, layer_idx: int, *_: Any, **__: Any) -> tuple[Any, Any]:
        """As a cache's."""
        if self.stored is not None:
            raise _Unsuited("it stores twice")
        self.stored, self.index = (keys, values), layer_idx
        return keys, values

    def attend(
        self, module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any
    ) -> tuple[torch.Tensor, None]:
        """As an attention function."""
        if (
            self.stored is None
            or key is not self.stored[0]
            or value is not self.stored[1]
            or mask is not None
        ):
            raise _Unsuited("it does not hand on what the cache gave it")
        self.module, self.options, self.got = module, options, (query, key, value)
        if self.answer is None:
            raise _Stop
        return self.answer, None


class _Half(nn.Module):
    """One half of a layer as a module over tensors alone, as the tracer wants it."""

    def __init__(self, layer: nn.Module, arguments: Arguments) -> None:
        super().__init__()
        # Not a module of this one: the tracer makes a class of each, which takes most of its time. Then weights become
        # constants, and only packed ones have to be found by a name.
        self.layer = (layer,)
        self.arguments = arguments
        self.probe = _Probe()
        held = (value for module in layer.modules() for value in vars(module).values())
        for number, packed in enumerate(one for one in held if isinstance(one, torch.ScriptObject)):
            setattr(self, f"packed_{number}", packed)

    def run(self, probe: _Probe, hidden: torch.Tensor, inputs: Sequence[torch.Tensor]) -> Any:
        """Call the layer with a probe in place of its cache and its attention."""
        self.probe = _current.probe = probe
        return self.layer[0](hidden, **self.arguments.filled(inputs, probe))


class _Before(_Half):
    """Hidden states `[1, T, D]` to queries, keys and values."""

    def forward(self, hidden: torch.Tensor, *inputs: torch.Tensor) -> Any:
        try:
            self.run(_Probe(), hidden, inputs)
        except _Stop:
            return self.probe.got
        raise _Unsuited("it does not attend")


class _After(_Half):
    """Hidden states and the attention's output to hidden states."""

    def __init__(self, layer: nn.Module, arguments: Arguments, finish: Callable[[Any], Any]) -> None:
        super().__init__(layer, arguments)
        self._finish = finish

    def forward(self, hidden: torch.Tensor, answer: torch.Tensor, *inputs: torch.Tensor) -> Any:
        out = self.run(_Probe(answer), hidden, inputs)
        if isinstance(out, tuple):
            if any(isinstance(rest, torch.Tensor) for rest in out[1:]):
                raise _Unsuited("it passes on more than hidden states")
            out = out[0]
        return self._finish(out)


class Arguments:
    """What a layer is called with beside its hidden states: which of it are tensors, and what must not change."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Look at the keyword arguments of one call."""
        self.names = tuple(given)
        self.cache = ""
        self.places: list[tuple[str, int | None]] = []
        self.constants: dict[str, Any] = {}
        for name, value in given.items():
            if isinstance(value, Cache):
                self.cache = name
            elif isinstance(value, torch.Tensor):
                self.places.append((name, None))
            elif isinstance(value, tuple) and value and all(isinstance(one, torch.Tensor) for one in value):
                self.places += [(name, index) for index in range(len(value))]
            elif value is None or isinstance(value, (bool, int, float, str)):
                self.constants[name] = value
            else:
                raise _Unsuited(f"{name} is a {type(value).__name__}")
        if not self.cache:
            raise _Unsuited("it gets no cache")

    def tensors(self, given: Mapping[str, Any]) -> list[torch.Tensor]:
        """The tensors of a call."""
        return [given[name] if index is None else given[name][index] for name, index in self.places]

    def filled(self, tensors: Sequence[torch.Tensor], cache: Any) -> dict[str, Any]:
        """The arguments of a call with these tensors."""
        filled: dict[str, Any] = {**self.constants, self.cache: cache}
        tuples: dict[str, list[torch.Tensor]] = {}
        for (name, index), tensor in zip(self.places, tensors, strict=True):
            if index is None:
                filled[name] = tensor
            else:
                tuples.setdefault(name, []).append(tensor)
        return filled | {name: tuple(held) for name, held in tuples.items()}


class Recorded:
    """A layer, ready to be played back."""

    def __init__(self, arguments: Arguments, probe: _Probe, before: Any, after: Any) -> None:
        self._arguments = arguments
        self._constants = tuple(arguments.constants.items())
        self._module = probe.module
        self._index = probe.index
        self._options = {name: value for name, value in probe.options.items() if name not in _NOT_USED}
        self._before = before
        self._after = after

    def fits(self, hidden: torch.Tensor, unnamed: Sequence[Any], given: Mapping[str, Any]) -> bool:
        """Whether this call can be played: it is as the recorded one in all but tensors and cache."""
        if unnamed or hidden.shape[1] > MOST_TOKENS or tuple(given) != self._arguments.names:
            return False
        for name, value in self._constants:
            here = given[name]
            if here is not value and (isinstance(here, torch.Tensor) or here != value):
                return False
        return True

    def play(self, hidden: torch.Tensor, given: Mapping[str, Any], attend: Attend) -> torch.Tensor:
        """What the layer gives for `[1, T, D]`, rounded as it leaves; stores keys and values in the call's cache."""
        inputs = self._arguments.tensors(given)
        query, key, value = self._before(hidden, *inputs)
        key, value = given[self._arguments.cache].update(key, value, self._index)
        answer, _ = attend(self._module, query, key, value, None, **self._options)
        out: torch.Tensor = self._after(hidden, answer, *inputs)
        return out


def record(
    layer: nn.Module, given: Mapping[str, Any], hidden: torch.Tensor, finish: Callable[[Any], Any]
) -> Recorded | None:
    """Record a layer; None when it is not one that can be played back.

    Args:
        layer: in a model that attends under `NAME`.
        given: keyword arguments of a call with one new token.
        hidden: `[1, 1, D]`, of that call.
        finish: what is done with the layer's output.
    """
    try:
        with torch.no_grad():
            return _record(layer, Arguments(given), given, hidden, finish)
    except (_Unsuited, *_FAULTS) as error:
        _log.debug("a %s is not played back: %s", type(layer).__name__, error)
        return None


def _record(
    layer: nn.Module,
    arguments: Arguments,
    given: Mapping[str, Any],
    hidden: torch.Tensor,
    finish: Callable[[Any], Any],
) -> Recorded:
    random = torch.Generator().manual_seed(_TRIED[0])
    before, after = _Before(layer, arguments).eval(), _After(layer, arguments, finish).eval()
    probe = traced = None
    for tokens in _TRIED:
        states = torch.randn(1, tokens, hidden.shape[2], generator=random).to(hidden.dtype)
        inputs = [_for_tokens(tensor, tokens, random) for tensor in arguments.tensors(given)]
        query, key, value = before(states, *inputs)
        shape = (1, tokens, query.shape[1], value.shape[3])
        answer = torch.randn(shape, generator=random).to(query.dtype)
        if probe is None or traced is None:
            probe = before.probe
            _check_options(probe.options)
            traced = _traced(before, states, *inputs), _traced(after, states, answer, *inputs)
            before(states, *inputs)  # lets go of what belongs to the tracer
        for got, wanted in zip(traced[0](states, *inputs), (query, key, value), strict=True):
            _check_same(got, wanted)
        _check_same(traced[1](states, answer, *inputs), after(states, answer, *inputs))
    if probe is None or traced is None:
        raise _Unsuited("nothing was tried")
    return Recorded(arguments, probe, *traced)


def _traced(half: nn.Module, *inputs: torch.Tensor) -> Any:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        traced = torch.jit.trace(half, inputs, check_trace=False)
        _count_tokens_at_the_door(traced.graph)
        frozen = torch.jit.freeze(traced)
        graph = frozen.graph.copy()
        for module in (traced, frozen):
            _empty(module.graph)
    for warning in told:
        if warning.category.__name__ == "TracerWarning":
            raise _Unsuited(f"it decides by its data ({str(warning.message).splitlines()[0]})")
    return _on_its_own(graph)


def _on_its_own(graph: Any) -> Any:
    """A function of its own, which goes when nobody holds it: what belongs to a traced module stays for ever."""
    module, *_ = graph.inputs()
    if module.uses():
        raise _Unsuited("its recording needs more than weights")
    graph.eraseInput(0)
    return torch._C._create_function_from_graph("forward", graph)


def _empty(graph: Any) -> None:
    """Take everything out of a graph, with the weights that are constants of it."""
    for _ in list(graph.outputs()):
        graph.eraseOutput(0)
    for node in reversed(list(graph.nodes())):
        node.destroy()


def _count_tokens_at_the_door(graph: Any) -> None:
    """Read the sizes of states `[1, T, D]` off the input, so that nothing is computed only for its size."""
    _, states, *_ = graph.inputs()
    for node in graph.findAllNodes("aten::size"):
        sizes = node.inputsAt(0).type().sizes() if node.inputsAt(0).type().kind() == "TensorType" else None
        if sizes is not None and len(sizes) == 3 and node.inputsAt(1).toIValue() in (0, 1):
            node.replaceInput(0, states)


def _for_tokens(tensor: torch.Tensor, tokens: int, random: torch.Generator) -> torch.Tensor:
    """An input of one token as it might be for several: the second dimension counts them."""
    if tensor.shape[:2] != (1, 1):
        raise _Unsuited(f"it takes a tensor of shape {list(tensor.shape)}")
    wide = tensor.expand(1, tokens, *tensor.shape[2:]).clone()
    if wide.is_floating_point():
        wide = torch.rand(wide.shape, generator=random).to(wide.dtype)
    return wide


def _check_options(options: Mapping[str, Any]) -> None:
    """Raise unless the attention's options are the same at every call."""
    for name, value in options.items():
        if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter) and name not in _NOT_USED:
            raise _Unsuited(f"its attention takes {name}, which may change")


def _check_same(got: torch.Tensor, wanted: torch.Tensor) -> None:
    if got.dtype is not wanted.dtype or not torch.equal(got, wanted):
        raise _Unsuited("its recording gives other numbers")


def _attend(
    module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any
) -> tuple[torch.Tensor, None]:
    probe: _Probe = _current.probe
    return probe.attend(module, query, key, value, mask, **options)


_current: Final = threading.local()
_log: Final = logging.getLogger(__name__)

ALL_ATTENTION_FUNCTIONS.register(NAME, _attend)
