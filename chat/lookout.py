"""`lamella models` and `lamella peers`: what is in the swarm, as its hosts announce it, once or again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TextIO

from chat.coverage import Answer, HostView, ModelView, bar, view
from chat.driver import ClientOptions
from chat.errors import ChatError, HostUnreachable, ModelError
from chat.event_json import error_json
from chat.swarm import Swarm
from node import keyfile, paths
from node.errors import NodeError
from wire.types import ModelId

MODELS: Final = "models"
PEERS: Final = "peers"
WATCH_S: Final = 5.0
"""Between two looks of `--watch`."""
_BAR_CHARS: Final = 48
_CLEAR: Final = "\x1b[H\x1b[2J"
_AT_ONCE: Final = 8
"""Models that are searched for at one time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookOptions:
    """What to show, and how."""

    what: str
    json: bool = False
    watch: bool = False


async def look(options: ClientOptions, show: LookOptions, *, out: TextIO) -> None:
    """Look at the swarm and print what is there; with `watch` until cancelled.

    Raises:
        HostUnreachable: no node of the swarm answers.
        ModelError: this machine's identity cannot be used.
    """
    try:
        await _look(options, show, out)
    except ChatError as error:
        if show.json:
            print(json.dumps(error_json(error), ensure_ascii=False), file=out)
        raise


async def _look(options: ClientOptions, show: LookOptions, out: TextIO) -> None:
    try:
        identity = keyfile.load_or_create(options.identity_file or paths.identity_file())
    except NodeError as error:
        raise ModelError(str(error)) from error
    swarm = Swarm(identity, options)
    try:
        await _open(swarm)
        while True:
            _print(await _models(swarm), show, out)
            if not show.watch:
                return
            await asyncio.sleep(WATCH_S)
    finally:
        await swarm.close()


async def _open(swarm: Swarm) -> None:
    """Wait until somebody is known: a node of the DHT, or a host. Raises `HostUnreachable`, `ModelError`."""
    try:
        await swarm.open()
    except NodeError as error:
        raise ModelError(str(error)) from error
    try:
        await swarm.hosts.reach_somebody()
    except HostUnreachable:
        if not await swarm.finder.joined():
            raise


async def _models(swarm: Swarm) -> list[ModelView]:
    """All models: those that the DHT tells of, and those of hosts that are reached, in these hosts' own words."""
    index = await swarm.finder.models()
    try:
        reached = await swarm.hosts.reach()
    except HostUnreachable:
        reached = []
    answers = [
        Answer(
            peer=one.said.peer,
            addresses=tuple(map(str, one.ways)),
            offers=() if one.said.hosting.draining else one.said.hosting.offers,
        )
        for one in reached
    ]
    offered = {offer.model for one in answers for offer in one.offers}
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(model: ModelId) -> ModelView:
        async with turns:
            records = await swarm.finder.slices(model)
        return view(model, [each for each in index if each.model == model], records, answers)

    ids = sorted({one.model for one in index} | offered, key=str)
    return list(await asyncio.gather(*map(one, ids)))


def _print(found: Sequence[ModelView], show: LookOptions, out: TextIO) -> None:
    if show.json:
        as_json = _models_json if show.what == MODELS else _peers_json
        print(json.dumps(as_json(found), ensure_ascii=False), file=out, flush=True)
        return
    lines: Callable[[Sequence[ModelView]], list[str]] = _model_lines if show.what == MODELS else _peer_lines
    clear = _CLEAR if show.watch and out.isatty() else ""
    print(clear + "\n".join(lines(found)), file=out, flush=True)


def _model_lines(found: Sequence[ModelView]) -> list[str]:
    if not found:
        return ["no model is announced; `lamella-node --model ... --layers ...` serves one"]
    lines = []
    for one in found:
        hosts = "1 host" if one.peers == 1 else f"{one.peers} hosts"
        state = _has(one) if one.is_whole else _lacks(one)
        lines.append(f"{one.name or 'unnamed'}  {one.model.short}  {one.num_layers} layers, {hosts}: {state}")
        lines.append(f"  {bar(one, _BAR_CHARS)}")
        lines.append(f"  {', '.join(one.numerics) or 'nothing served'}; {one.sessions} sessions; {one.model}")
    return lines


def _has(one: ModelView) -> str:
    kept = f" but the first {one.front_layers}, for --front-layers" if one.front_layers else ""
    return f"every layer{kept}, each at {one.least} or more"


def _lacks(one: ModelView) -> str:
    missing = [gap for gap in one.gaps if gap.start > 0 or not one.hosts]
    gaps = [f"layers {', '.join(map(str, missing))}"] if missing else []
    return "nobody has " + " and ".join([*gaps, *(["the head"] if not one.heads else [])])


def _peer_lines(found: Sequence[ModelView]) -> list[str]:
    rows = _peers(found)
    if not rows:
        return ["no host is announced"]
    lines = []
    for peer, slices in rows.items():
        addresses = sorted({address for _, one in slices for address in one.addresses})
        lines.append(f"{peer[:8]}  {', '.join(addresses) or 'by relay only'}")
        for model, one in slices:
            head = ", head" if one.head else ""
            pace = "" if one.step_ms is None else f", {one.step_ms:.1f} ms a token"
            lines.append(
                f"          {model.name or model.model.short} {one.layers}{head}  {one.numerics}, "
                f"{one.sessions} sessions{pace}"
            )
    return lines


def _peers(found: Sequence[ModelView]) -> dict[str, list[tuple[ModelView, HostView]]]:
    rows: dict[str, list[tuple[ModelView, HostView]]] = {}
    for model in found:
        for one in model.hosts:
            rows.setdefault(str(one.peer), []).append((model, one))
    return dict(sorted(rows.items()))


def _models_json(found: Sequence[ModelView]) -> dict[str, Any]:
    return {
        "models": [
            {
                "model": str(one.model),
                "name": one.name,
                "num_layers": one.num_layers,
                "hosts": one.peers,
                "whole": one.is_whole,
                "front_layers": one.front_layers,
                "gaps": [str(gap) for gap in one.gaps],
                "heads": one.heads,
                "least_hosts": one.least,
                "sessions": one.sessions,
                "numerics": list(one.numerics),
                "slices": [{"peer": str(each.peer), **_slice_json(each)} for each in one.hosts],
            }
            for one in found
        ]
    }


def _peers_json(found: Sequence[ModelView]) -> dict[str, Any]:
    return {
        "peers": [
            {
                "peer": peer,
                "slices": [
                    {"model": str(model.model), "name": model.name, **_slice_json(one)}
                    for model, one in slices
                ],
            }
            for peer, slices in _peers(found).items()
        ]
    }


def _slice_json(one: HostView) -> dict[str, Any]:
    return {
        "addresses": list(one.addresses),
        "layers": str(one.layers),
        "head": one.head,
        "numerics": one.numerics,
        "sessions": one.sessions,
        "step_ms": one.step_ms,
    }
