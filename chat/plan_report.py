"""A plan in words and as JSON. Values in, text out; nothing but the commands to paste is wider than 80 columns."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from node.planning.advice import Advice
from node.planning.cost import Load
from node.planning.machines import Machine
from node.planning.partition import Plan, Stage
from node.planning.replicas import Replica
from node.planning.shape import ModelShape
from node.planning.words import gb
from node.slices.spec import CPU

WIDTH: Final = 80
PORT: Final = 7311
_MOST_NAME: Final = 20
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A plan with what it was made for."""

    model: str
    """As it was named."""
    shape: ModelShape
    load: Load
    plan: Plan
    advice: Advice | None
    assumed_client: bool


def lines(told: Told) -> list[str]:
    """The plan for a person."""
    plan, load = told.plan, told.load
    sessions = "one session" if load.sessions == 1 else f"{load.sessions} sessions"
    sessions += f" of {load.context:,} positions"
    head = f"{told.model}: {told.shape.num_layers} layers in {plan.weights.value} weights, {sessions}"
    found = [*textwrap.wrap(head, WIDTH), "", *_table(told), ""]
    found += _entry("expected", f"{plan.tokens_per_s:.1f} tokens/s of one session alone (an estimate)")
    found += _entry(
        "a token",
        f"{1e3 * plan.step_s:.1f} ms: {1e3 * plan.compute_s:.1f} in layers, {1e3 * plan.links_s:.1f} in links, "
        f"{1e3 * plan.hops_s:.1f} in hops",
    )
    rates = [
        f"{one.weights.value} " + ("does not fit" if one.tokens_per_s is None else f"{one.tokens_per_s:.1f}")
        for one in plan.expected
    ]
    found += _entry("weights", f"tokens/s: {', '.join(rates)}")
    found += _entry("because", plan.reason)
    for left in plan.left_out:
        found += _entry("left out", f"{_short(left.machine)}: {left.reason}")
    for copy in plan.replicas:
        found += _entry("stands by", f"{_short(copy.machine)}: {copy.reason}")
    if told.advice is not None:
        better = f"{told.advice.tokens_per_s:.1f} tokens/s instead of {plan.tokens_per_s:.1f}"
        found += _entry("would help", f"{told.advice.change}: {better}")
    if told.assumed_client:
        found += _entry("note", "no machine is marked client = true, so one of 8G was assumed")
    return [*found, "", *_commands(told)]


def as_json(told: Told) -> dict[str, Any]:
    """The plan for a script: times in ms, sizes in bytes."""
    plan = told.plan
    return {
        "model": told.model,
        "weights": plan.weights.value,
        "sessions": told.load.sessions,
        "context": told.load.context,
        "client": _stage_json(plan.client) | {"assumed": told.assumed_client},
        "stages": [
            _stage_json(stage) | {"command": shlex.join(_node_words(told, stage))} for stage in plan.stages
        ],
        "replicas": [
            {
                "machine": copy.machine.name,
                "layers": str(copy.layers),
                "head": copy.head,
                "memory_bytes": copy.memory_bytes,
                "reason": copy.reason,
                "command": shlex.join(_node_words(told, copy)),
            }
            for copy in plan.replicas
        ],
        "left_out": [{"machine": one.machine.name, "reason": one.reason} for one in plan.left_out],
        "estimate": {
            "tokens_per_s": round(plan.tokens_per_s, 3),
            "step_ms": _ms(plan.step_s),
            "layers_ms": _ms(plan.compute_s),
            "links_ms": _ms(plan.links_s),
            "hops_ms": _ms(plan.hops_s),
        },
        "formats": {
            one.weights.value: None if one.tokens_per_s is None else round(one.tokens_per_s, 3)
            for one in plan.expected
        },
        "reason": plan.reason,
        "advice": None
        if told.advice is None
        else {"change": told.advice.change, "tokens_per_s": round(told.advice.tokens_per_s, 3)},
    }


def _stage_json(stage: Stage) -> dict[str, Any]:
    return {
        "machine": stage.machine.name,
        "layers": str(stage.layers),
        "head": stage.head,
        "memory_bytes": stage.memory_bytes,
        "given_bytes": stage.machine.memory,
        "link_ms": _ms(stage.link_s),
        "compute_ms": _ms(stage.compute_s),
    }


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)


def _table(told: Told) -> Iterator[str]:
    plan = told.plan
    rows = [("machine", "serves", "memory", "link ms", "compute ms")]
    parts = (plan.client, *plan.stages)
    for stage in parts:
        link = f"{1e3 * stage.link_s:.1f}" if stage is not plan.client else ""
        compute = f"{1e3 * stage.compute_s:.1f}"
        rows.append(
            (_short(stage.machine), _served(stage, stage is plan.client), _memory(stage), link, compute)
        )
    if plan.stages:
        rows.append(("", f"back to {_short(plan.client.machine)}", "", f"{1e3 * plan.return_s:.1f}", ""))
    rows += [
        (_short(copy.machine), _served(copy, False), _memory(copy), "", "stands by") for copy in plan.replicas
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _served(part: Stage | Replica, is_client: bool) -> str:
    words = ["embedding"] if is_client else []
    words += [str(part.layers)] if len(part.layers) else []
    return ", ".join([*words, *(["head"] if part.head else [])])


def _memory(part: Stage | Replica) -> str:
    return f"{gb(part.memory_bytes)} of {gb(part.machine.memory)}"


def _short(machine: Machine) -> str:
    return machine.name if len(machine.name) <= _MOST_NAME else machine.name[: _MOST_NAME - 1] + "…"


def _entry(name: str, text: str) -> list[str]:
    return textwrap.wrap(f"{name:<11}{text}", WIDTH, subsequent_indent=" " * 11)


def _commands(told: Told) -> Iterator[str]:
    """What to type on each machine."""
    parts: list[Stage | Replica] = [*told.plan.stages, *told.plan.replicas]
    for part in parts:
        yield f"# on {part.machine.name}"
        yield from _folded(_node_words(told, part))
    plan = told.plan
    words = ["lamella", "ask", "what is 17 squared?", "--model", told.model]
    words += ["--front-layers", str(len(plan.client.layers))]
    words += ["--private-ends"] if plan.client.head else []
    words += ["--context", str(told.load.context)]
    words += _weights(told)
    for stage in plan.stages:
        words += ["--peer", f"{_placeholder(stage.machine)}:{PORT}"]
    yield f"# on {plan.client.machine.name}" + (", with addresses for the names" if plan.stages else "")
    yield from _folded(words)


def _node_words(told: Told, part: Stage | Replica) -> list[str]:
    kept = told.load.sessions * told.shape.kv_bytes(part.layers, told.load.context)
    words = ["lamella-node", "--model", told.model, "--layers", str(part.layers), *_weights(told)]
    words += ["--kv-memory", f"{max(1, -(-kept // _MIB))}M", "--listen", f"0.0.0.0:{PORT}"]
    return words + (["--device", part.machine.device] if part.machine.device != CPU else [])


def _weights(told: Told) -> list[str]:
    """The option for the weights, where the folder does not have them so already."""
    chosen, as_stored = told.plan.weights, told.shape.formats[0]
    return [] if chosen is as_stored else ["--weights", chosen.value]


def _placeholder(machine: Machine) -> str:
    return "IP_OF_" + re.sub(r"[^A-Z0-9]+", "_", machine.name.upper())


def _folded(words: list[str]) -> Iterator[str]:
    """A command, broken between its options where it is too wide for a line."""
    quoted = [shlex.quote(word) for word in words]
    pieces: list[str] = []
    for word in quoted:
        if word.startswith("--") or not pieces:
            pieces.append(word)
        else:
            pieces[-1] += f" {word}"
    line = pieces[0]
    for piece in pieces[1:]:
        if len(line) + len(piece) + 3 > WIDTH:
            yield line + " \\"
            line = f"    {piece}"
        else:
            line += f" {piece}"
    yield line
