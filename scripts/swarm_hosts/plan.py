"""Which hosts a local swarm has: a model's layers, less those the client keeps, over so many hosts."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.store import checkpoint
from node.store.errors import StoreError
from scripts.swarm_hosts.errors import BadPlan
from wire.types import LayerRange

CLIENT_LAYERS: Final = 1
"""Layers, after the embedding, that the asking side computes itself unless it is told otherwise."""
MAX_HOSTS: Final = 64
LOOPBACK: Final = "127.0.0.1"
NETWORK: Final = "local-swarm"
"""A swarm of its own: nothing of this machine's other hosts and clients meets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmPlan:
    """What is to be started."""

    model: str
    """`pocket`, or the absolute path of a checkpoint's folder."""
    layers: tuple[LayerRange, ...]
    """One range per host."""
    base_port: int = 0
    """The first host's port, the next host has the next one; 0 lets the system pick each."""
    meeting_port: int = 0
    """The first host's, which the others and the client know; they find each other by it."""
    threads: int = 1
    """Compute threads of each host: they share one machine."""

    def address(self, number: int) -> str:
        """Where host `number`, counted from 1, listens."""
        if number == 1 and self.meeting_port:
            return f"{LOOPBACK}:{self.meeting_port}"
        return f"{LOOPBACK}:{self.base_port + number - 1 if self.base_port else 0}"


def make(
    model: str, *, hosts: int | None, layers: Sequence[LayerRange], base_port: int, threads: int
) -> SwarmPlan:
    """Check what was asked for, splitting the model's layers evenly where none are named. Raises `BadPlan`."""
    try:
        folder = checkpoint.resolve(model)
    except StoreError as error:
        raise BadPlan(str(error)) from error
    ranges = tuple(layers)
    if not ranges:
        ranges = split(num_layers(folder), hosts or 3)
    elif hosts not in (None, len(ranges)):
        raise BadPlan(
            f"--hosts {hosts} and {len(ranges)} times --layers: give one of them, or make them agree"
        )
    if len(ranges) > MAX_HOSTS:
        raise BadPlan(f"{len(ranges)} hosts are too many for one machine; {MAX_HOSTS} are the most")
    if base_port and base_port + len(ranges) - 1 > 65_535:
        raise BadPlan(f"--base-port {base_port} leaves no room for {len(ranges)} ports")
    name = model if model == checkpoint.POCKET else str(folder)
    return SwarmPlan(
        model=name,
        layers=ranges,
        base_port=base_port,
        meeting_port=base_port or _free_port(),
        threads=threads,
    )


def _free_port() -> int:
    """A port that nothing listens at just now, for links and for datagrams."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def split(total: int, hosts: int) -> tuple[LayerRange, ...]:
    """Split layers `[CLIENT_LAYERS, total)` evenly, the longer ranges last. Raises `BadPlan`."""
    serving = total - CLIENT_LAYERS
    if not 1 <= hosts <= serving:
        raise BadPlan(
            f"{total} layers, of which the client keeps {CLIENT_LAYERS}, cannot be shared by {hosts} hosts; "
            f"give --hosts from 1 to {max(1, serving)}"
        )
    share, longer = divmod(serving, hosts)
    ranges, start = [], CLIENT_LAYERS
    for index in range(hosts):
        end = start + share + (index >= hosts - longer)
        ranges.append(LayerRange(start, end))
        start = end
    return tuple(ranges)


def num_layers(folder: Path) -> int:
    """Return how many layers a checkpoint's config names; loads no library. Raises `BadPlan`."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
        count = config.get("num_hidden_layers") or config["text_config"]["num_hidden_layers"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadPlan(
            f"{path} does not say how many layers the model has; name each host's with --layers"
        ) from error
    if type(count) is not int or count < 1:
        raise BadPlan(f"{path} claims {count!r} layers; name each host's with --layers")
    return count
