"""Looks at running hosts again and again: what the system says of each, and what it says of itself when asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from node.control.arguments import NoArguments
from node.control.client import ControlClient, connected
from node.control.commands import METRICS
from scripts.bench import process
from scripts.bench.daemons import Daemon

_AGAIN_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One host at one moment."""

    at_s: float
    resident_bytes: int
    own_bytes: int
    files: int
    threads: int
    tasks: int
    """Of its event loop; the one that answers is among them."""
    links: int
    sessions: int
    kv_bytes: int
    late_s: float = 0.0
    """How late its event loop was, all told; what a machine that is busy with other things does to it."""

    def beyond(self, other: Sample) -> list[str]:
        """What is more here than there, of all that has to be given back."""
        names = ("files", "tasks", "links", "sessions", "kv_bytes")
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return [f"{now} {name} where there were {was}" for name, now, was in pairs if now > was]


class Sampler:
    """Hosts that are looked at. Made by `sampling`."""

    def __init__(self, daemons: Sequence[Daemon], clients: Sequence[ControlClient]) -> None:
        self._hosts = list(zip(daemons, clients, strict=True))

    async def look(self) -> list[Sample]:
        """Look at every host once. Raises `ControlError` or `OSError` when one does not answer, or has ended."""
        return [await self._look(daemon, client) for daemon, client in self._hosts]

    async def until(
        self, condition: Callable[[list[Sample]], bool], within_s: float
    ) -> tuple[list[Sample], bool]:
        """Look until a condition holds, or the time is over; returns the last look, and whether it holds."""
        deadline = time.monotonic() + within_s
        while True:
            samples = await self.look()
            if condition(samples) or time.monotonic() > deadline:
                return samples, condition(samples)
            await asyncio.sleep(_AGAIN_S)

    async def _look(self, daemon: Daemon, client: ControlClient) -> Sample:
        values = (await client.call(METRICS, NoArguments())).values
        held = process.held(daemon.pid)
        return Sample(
            at_s=time.monotonic(),
            resident_bytes=held.resident_bytes,
            own_bytes=held.own_bytes,
            files=held.files,
            threads=held.threads,
            tasks=int(values["lamella_tasks"]),
            links=int(sum(value for name, value in values.items() if name.startswith("lamella_links{"))),
            sessions=int(values["lamella_sessions_open"]),
            kv_bytes=int(values["lamella_kv_used_bytes"]),
            late_s=values["lamella_loop_lag_seconds_sum"],
        )


@asynccontextmanager
async def sampling(daemons: Sequence[Daemon]) -> AsyncIterator[Sampler]:
    """A sampler, connected to every host's control socket while it is used."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(one.control)) for one in daemons]
        yield Sampler(daemons, clients)
