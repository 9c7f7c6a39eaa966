"""What the control socket's commands do in a host: joins `node.control` with slices, sessions and links."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from importlib.metadata import version

from crypto.identity import PeerId
from node.changes import Changes
from node.config import NodeConfig
from node.control.arguments import (
    DrainArguments,
    JoinArguments,
    LogsArguments,
    NoArguments,
    SliceArguments,
    StopArguments,
)
from node.control.commands import Handlers, Nothing, Tell
from node.control.results import (
    Changed,
    DaemonState,
    Drained,
    DrainProgress,
    Hosting,
    Joined,
    JoinProgress,
    LogRecord,
    LogsEnd,
    Memory,
    Metrics,
    Peers,
    Relaying,
    Reloaded,
    Sessions,
    SliceLine,
    SliceState,
    Status,
    Stopping,
)
from node.control_lines import (
    STATES,
    join_progress,
    log_record,
    name_in_memory,
    name_of,
    peer_line,
    session_line,
    slice_facts,
    slice_line,
)
from node.errors import NodeError
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.lifecycle.errors import LifecycleError, NotHeld
from node.lifecycle.following import SliceStatus
from node.lifecycle.happenings import Pauser
from node.lifecycle.keeper import Keeper
from node.lifecycle.table import State
from node.lifecycle.wishes import SliceKey, Wish
from node.presence import Presence
from node.sight.ring import Ring
from node.slices.budget import KVBudget
from node.traffic import Traffic


class CannotReload(NodeError):
    """There is nothing to read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What one host consists of, as far as it is looked at and told what to do."""

    me: PeerId
    config: NodeConfig
    host: SessionHost
    keeper: Keeper[HostedSlice]
    presence: Presence
    budget: KVBudget
    traffic: Traffic


class Controlling:
    """The handlers of one host."""

    def __init__(self, parts: Parts, stop: asyncio.Event, ring: Ring) -> None:
        """`stop` ends the host; `ring` has the latest records of the log."""
        self._config = parts.config
        self._host = parts.host
        self._keeper = parts.keeper
        self._presence = parts.presence
        self._budget = parts.budget
        self._traffic = parts.traffic
        self._me = parts.me
        self._stopped = stop
        self._grace_s: float | None = None
        self.configured_grace_s = parts.config.grace_s
        """How long sessions may still take when the host stops, unless whoever stops it says otherwise."""
        self.drain_grace_s = parts.config.drain_grace_s
        """The same for a slice that is drained or left."""
        self._began = time.monotonic()
        self._ring = ring
        self.reloaded: Callable[[], Awaitable[Changes]] = _cannot_reload
        """Reads the configuration again."""
        self.measured: Callable[[], Mapping[str, float]] = dict
        """Every measured value, by its name."""
        self.held_back: Callable[[], str | None] = lambda: None
        """Why the machine itself takes no new sessions now."""
        self.is_ready = False
        """Whether all that was asked for at the start is loaded."""

    def handlers(self) -> Handlers:
        """What to give the server."""
        return Handlers(
            status=self._status,
            hosting=self._hosting,
            join=self._join,
            leave=self._leave,
            drain=self._drain,
            undrain=self._undrain,
            pause=self._pause,
            resume=self._resume,
            peers=self._peers,
            sessions=self._sessions,
            metrics=self._metrics,
            logs=self._logs,
            reload=self._reload,
            stop=self._stop,
        )

    @property
    def state(self) -> DaemonState:
        """What the host as a whole does."""
        slices = self._keeper.status()
        if self._stopped.is_set():
            return DaemonState.STOPPING
        if not self.is_ready:
            return DaemonState.STARTING
        serving = [one for one in slices if one.state is State.SERVING]
        if serving and all(one.paused_by for one in serving):
            return DaemonState.PAUSED
        if not serving and any(STATES[one.state] is SliceState.DRAINING for one in slices):
            return DaemonState.DRAINING
        return DaemonState.SERVING

    async def _status(self, _: NoArguments, _tell: Tell[Nothing]) -> Status:
        offers = self._host.slices
        return Status(
            peer_id=str(self._me),
            version=version("lamella"),
            pid=os.getpid(),
            uptime_s=time.monotonic() - self._began,
            state=self.state,
            why=self.why(),
            network=self._config.network,
            addresses=tuple(map(str, self._presence.addresses)),
            slices=self.lines(),
            sessions=self._host.sessions,
            memory=Memory(
                weight_bytes=sum(one.slice.weight_bytes for one in offers),
                kv_used_bytes=self._budget.used,
                kv_total_bytes=self._budget.total,
            ),
            rates=self._traffic.rates(),
            links=len(self._presence.pool.links),
            dht_nodes=self._presence.nodes,
            reachability=self._presence.reaching.sentence(),
            relay=self._relaying(),
        )

    def _relaying(self) -> Relaying | None:
        reaching = self._presence.reaching
        if not self._config.relay:
            return None
        return Relaying(circuits=reaching.circuits, carried_bytes=reaching.carried_bytes)

    async def _hosting(self, _: NoArguments, _tell: Tell[Nothing]) -> Hosting:
        handles = self._keeper.handles()
        held = {name_of(one): handles[one.wish.key] for one in self._held() if one.wish.key in handles}
        facts = []
        for line in self.lines():
            one = held.get(line.name)
            kv_bytes = sum(self._budget.held(run) for run in self._host.running if run.slice is one)
            facts.append(slice_facts(line, one, device=self._config.device, kv_bytes=kv_bytes))
        return Hosting(slices=tuple(facts))

    async def _join(self, arguments: JoinArguments, tell: Tell[JoinProgress]) -> Joined:
        await self._keeper.recovered()
        began = time.monotonic()
        key = SliceKey(arguments.model, arguments.layers)
        try:
            async with aclosing(self._keeper.join(Wish(key=key))) as told:
                async for one in told:
                    status = one
                    if one.state is not State.FAILED:
                        await tell(join_progress(one))
        except asyncio.CancelledError:
            # Whoever asked for it has given it up.
            with suppress(LifecycleError):
                await self._keeper.leave(key, 0.0)
            raise
        return Joined(slice=slice_line(status), seconds=time.monotonic() - began)

    async def _leave(self, arguments: DrainArguments, tell: Tell[DrainProgress]) -> Drained:
        await self._keeper.recovered()
        chosen = self._chosen(arguments.slice)
        for one in chosen:
            await self._keeper.leave(one.wish.key, self._grace(arguments.grace_s))
        return await self._until_empty(chosen, tell)

    async def _drain(self, arguments: DrainArguments, tell: Tell[DrainProgress]) -> Drained:
        await self._keeper.recovered()
        chosen = self._chosen(arguments.slice)
        for one in chosen:
            await self._keeper.drain(one.wish.key, self._grace(arguments.grace_s))
        return await self._until_empty(chosen, tell)

    async def _undrain(self, arguments: SliceArguments, tell: Tell[JoinProgress]) -> Changed:
        await self._keeper.recovered()
        chosen = self._chosen(arguments.slice)
        for one in chosen:
            await self._keeper.undrain(one.wish.key)
        for one in chosen:
            async for status in self._watched(one.wish.key):
                if status.state is not State.FAILED:
                    await tell(join_progress(status))
        return self._changed()

    async def _pause(self, _: NoArguments, _tell: Tell[Nothing]) -> Changed:
        await self._keeper.recovered()
        await self._keeper.pause(None)
        return self._changed()

    async def _resume(self, _: NoArguments, _tell: Tell[Nothing]) -> Changed:
        await self._keeper.recovered()
        await self._keeper.resume(None)
        return self._changed()

    async def _peers(self, _: NoArguments, _tell: Tell[Nothing]) -> Peers:
        counts = Counter(run.client.peer_id for run in self._host.running)
        links = self._presence.pool.links
        return Peers(peers=tuple(peer_line(link, counts[peer]) for peer, link in links.items()))

    async def _sessions(self, _: NoArguments, _tell: Tell[Nothing]) -> Sessions:
        handles = self._keeper.handles()
        names = {id(handles[one.wish.key]): name_of(one) for one in self._held() if one.wish.key in handles}
        return Sessions(
            sessions=tuple(
                session_line(run, names.get(id(run.slice), name_in_memory(run.slice)))
                for run in self._host.running
            )
        )

    async def _metrics(self, _: NoArguments, _tell: Tell[Nothing]) -> Metrics:
        return Metrics(values=self.measured())

    async def _logs(self, arguments: LogsArguments, tell: Tell[LogRecord]) -> LogsEnd:
        level = getattr(logging, arguments.level.name)
        if not arguments.follow:
            past = self._ring.past(arguments.lines, level)
            for one in past:
                await tell(log_record(one))
            return LogsEnd(records=len(past))
        told = 0
        with self._ring.follow(arguments.lines, level) as following:
            async for one in following:
                await tell(log_record(one))
                told += 1
        return LogsEnd(records=told, dropped=following.dropped)

    async def _reload(self, _: NoArguments, _tell: Tell[Nothing]) -> Reloaded:
        changed = await self.reloaded()
        return Reloaded(applied=changed.applied, needs_restart=changed.needs_restart)

    async def _stop(self, arguments: StopArguments, _tell: Tell[Nothing]) -> Stopping:
        self._grace_s = arguments.grace_s
        self._stopped.set()
        return Stopping(sessions=self._host.sessions, grace_s=self.stop_grace_s)

    @property
    def stop_grace_s(self) -> float:
        """How long sessions may still take when the host stops."""
        return self.configured_grace_s if self._grace_s is None else self._grace_s

    async def _until_empty(self, chosen: Sequence[SliceStatus], tell: Tell[DrainProgress]) -> Drained:
        cut_off, open_before = 0, sum(one.sessions for one in chosen)
        for one in chosen:
            last = one
            async for last in self._watched(one.wish.key):
                await tell(
                    DrainProgress(
                        slice=name_of(last),
                        state=STATES[last.state],
                        sessions=last.sessions,
                        left_s=last.grace_left_s or 0.0,
                    )
                )
            cut_off += last.cut_off - one.cut_off
        return Drained(
            slices=tuple(map(name_of, chosen)), finished=max(open_before - cut_off, 0), cut_off=cut_off
        )

    async def _watched(self, key: SliceKey) -> AsyncIterator[SliceStatus]:
        """What becomes of a slice until it is at rest; nothing more of one that has gone."""
        try:
            async with aclosing(self._keeper.watch(key)) as told:
                async for one in told:
                    yield one
        except NotHeld:
            return

    def _chosen(self, name: str | None) -> list[SliceStatus]:
        """The slices of a name, or all. Raises `NotHeld`."""
        known = self._held()
        chosen = [one for one in known if name in (None, name_of(one))]
        if not chosen:
            names = ", ".join(map(name_of, known)) or "none"
            raise NotHeld(f"there is no slice {name!r} here", f"name one of those that are held: {names}")
        return chosen

    def _grace(self, given: float | None) -> float:
        return self.drain_grace_s if given is None else given

    def _changed(self) -> Changed:
        return Changed(state=self.state, slices=self.lines())

    def lines(self) -> tuple[SliceLine, ...]:
        """The slices, each in few words."""
        return tuple(map(slice_line, self._held()))

    def _held(self) -> list[SliceStatus]:
        """The slices, but for those that have just gone."""
        return [one for one in self._keeper.status() if one.state not in (State.LEFT, State.CLOSED)]

    def why(self) -> str | None:
        """Why no new sessions are taken; None when they are."""
        held_back = self.held_back()
        if held_back is not None:
            return held_back
        paused = {who for one in self._keeper.status() for who in one.paused_by}
        if Pauser.PERSON in paused:
            return "paused by hand"
        if paused:
            return "paused by this machine's limits"
        is_empty = self.is_ready and not self._config.relay and not self.lines()
        return "it holds no slice; join one with `lamella-node ctl join MODEL`" if is_empty else None


async def _cannot_reload() -> Changes:
    raise CannotReload("this host was not started from a configuration", "start it anew")
