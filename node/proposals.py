"""What a machine could host of a model, as values: how much of it fits in each format, and about how fast it would be.

Pure: measurements go in, proposals come out. What was measured and what is an estimate of the planner (`node.planning`)
is kept apart all the way to the sentence.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from node.planning import words
from node.planning.cost import LAYER_S, PROCESS_BYTES, READ_PART, Costs, Load
from node.planning.feasible import reach
from node.planning.machines import Machine
from node.planning.shape import ModelShape
from node.slices.spec import CPU
from wire.tensors import WeightFormat
from wire.types import LayerRange

_KV_MOST: Final = 1 << 30
"""What a host keeps for sessions where it is told nothing."""
_MEGABYTE: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Where layers could be held and computed."""

    name: str
    """As `--device` takes it."""
    budget_bytes: int
    """What Lamella may take of its memory."""
    gb_per_s: Mapping[WeightFormat, float]
    """Bytes of weights that one token's product reads a second, by format, as measured on it; the memory's rate as far
    as it bounds them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """What one token took through layers that were loaded, on the device that was measured."""

    layers: int
    head: bool
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One model in one format on one device."""

    model: str
    weights: WeightFormat
    device: str
    num_layers: int
    """Of the whole model."""
    layers: int
    """As many as fit, from any layer on, with sessions; all with the head where `whole`."""
    whole: bool
    memory_bytes: int
    """What a process with so many takes, one session included."""
    weight_bytes: int
    tokens_per_s: float | None
    """Of one session through these layers alone, links not counted; None where nothing fits."""
    measured: bool
    """Whether layers of this very model were timed for that, and not only its bytes divided by the memory's rate."""
    dtype: str | None
    """To ask for with `--dtype`; None for the checkpoint's own."""
    kv_bytes: int
    """To ask for with `--kv-memory`."""

    @property
    def command(self) -> str | None:
        """The command that hosts it, for a shell; None where nothing fits."""
        if not self.layers:
            return None
        parts = ["lamella-node", "--model", self.model]
        parts += ["--weights", self.weights.value] if self.weights is not WeightFormat.NATIVE else []
        parts += ["--dtype", self.dtype] if self.dtype is not None else []
        parts += ["--device", self.device] if self.device != CPU else []
        if self.whole:
            parts += ["--kv-memory", f"{max(1, self.kv_bytes // _MEGABYTE)}M"]
        else:
            # Which of its layers a swarm lacks is known by the swarm only.
            parts += ["--auto", "--memory", f"{self.memory_bytes // _MEGABYTE + 1}M"]
        return shlex.join(parts)

    def facts(self) -> dict[str, Any]:
        """For a script, in types of JSON."""
        return {
            "model": self.model,
            "weights": self.weights.value,
            "device": self.device,
            "layers": self.layers,
            "num_layers": self.num_layers,
            "whole": self.whole,
            "memory_bytes": self.memory_bytes,
            "weight_bytes": self.weight_bytes,
            "tokens_per_s": self.tokens_per_s,
            "measured": self.measured,
            "command": self.command,
        }


def propose(
    model: str,
    shape: ModelShape,
    device: Device,
    load: Load,
    timed: Mapping[WeightFormat, Timed] | None = None,
) -> list[Proposal]:
    """What would fit of a model in each of its formats that the device was measured for, most bits first."""
    known = timed or {}
    return [
        _proposal(model, Costs(shape, form, load), device, known.get(form))
        for form in shape.formats
        if form in device.gb_per_s
    ]


def best(proposals: list[Proposal]) -> Proposal | None:
    """The one to follow: all of the model in the most bits that fit, or else the most layers; None for nothing."""
    whole = [one for one in proposals if one.whole]
    if whole:
        # A GPU before the processor, where both hold it in the same format.
        first = whole[0].weights
        return max((one for one in whole if one.weights is first), key=lambda one: one.tokens_per_s or 0.0)
    some = [one for one in proposals if one.layers]
    return max(some, key=lambda one: one.layers) if some else None


def sentence(one: Proposal) -> str:
    """A proposal for a person."""
    if not one.layers:
        return f"{one.weights.value} on {one.device}: not one layer fits beside the process and a session"
    what = "the whole model" if one.whole else f"{one.layers} of {one.num_layers} layers"
    rate = "" if one.tokens_per_s is None else f", {one.tokens_per_s:.1f} tokens/s"
    how = "from layers of it that were timed here" if one.measured else "estimated from the rates above"
    return f"{one.weights.value} on {one.device}: {what} in {words.gb(one.memory_bytes)}{rate} ({how})"


def _proposal(model: str, costs: Costs, device: Device, timed: Timed | None) -> Proposal:
    shape = costs.shape
    machine = Machine(
        name=device.name,
        memory=device.budget_bytes,
        bandwidth=device.gb_per_s[costs.weights] / READ_PART[costs.weights],
        device=device.name,
    )
    end = reach(costs, machine, 0, head=True)
    whole = end == shape.num_layers
    held = LayerRange(0, end)
    memory = costs.host_bytes(held, head=whole)
    narrow = costs.weights is not WeightFormat.NATIVE and shape.dtype != "bfloat16"
    session = costs.load.sessions * shape.kv_bytes(held, costs.load.context)
    return Proposal(
        model=model,
        weights=costs.weights,
        device=device.name,
        num_layers=shape.num_layers,
        layers=end,
        whole=whole,
        memory_bytes=memory if end else PROCESS_BYTES,
        weight_bytes=shape.weight_bytes(held, costs.weights, head=whole),
        tokens_per_s=_tokens_per_s(costs, machine, held, whole, timed) if end else None,
        measured=timed is not None and end > 0,
        dtype="bfloat16" if narrow else None,
        kv_bytes=max(session, min(_KV_MOST, session + device.budget_bytes - memory)),
    )


def _tokens_per_s(
    costs: Costs, machine: Machine, held: LayerRange, whole: bool, timed: Timed | None
) -> float:
    if timed is None:
        return 1 / costs.stage_s(machine, held, head=whole)
    if timed.layers == len(held) and timed.head == whole:
        return 1 / timed.seconds
    each = timed.seconds / timed.layers
    head_s = costs.head_s / machine.bandwidth if whole else 0.0
    return 1 / (max(each, LAYER_S / 10) * len(held) + head_s)
