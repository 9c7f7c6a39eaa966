"""Slices, links and sessions as the control socket tells of them: short ids, figures, and nothing of what is said in
them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from node.control.results import (
    JoinPhase,
    JoinProgress,
    LogRecord,
    PeerLine,
    SessionLine,
    SliceFacts,
    SliceLine,
    SliceState,
)
from node.hosting import HostedSlice
from node.lifecycle.following import SliceStatus
from node.lifecycle.table import State
from node.running import Running
from node.sight.records import Record
from node.transport.link import Link

STATES: Final[Mapping[State, SliceState]] = {
    State.LEFT: SliceState.STOPPED,
    State.LOADING: SliceState.LOADING,
    State.SERVING: SliceState.SERVING,
    State.DRAINING: SliceState.DRAINING,
    State.STOPPING: SliceState.DRAINING,
    State.STOPPED: SliceState.STOPPED,
    State.LEAVING: SliceState.DRAINING,
    State.CLEARING: SliceState.DRAINING,
    State.RENEWING: SliceState.LOADING,
    State.FAILED: SliceState.FAILED,
    State.CLOSING: SliceState.DRAINING,
    State.ENDING: SliceState.DRAINING,
    State.CLOSED: SliceState.STOPPED,
}
"""What people are told of each state."""


def name_of(one: SliceStatus) -> str:
    """What people call a slice that was asked for."""
    key = one.wish.key
    return f"{key.model}@{key.layers or 'all'}"


def name_in_memory(one: HostedSlice) -> str:
    """What to call a slice that nobody asks for any more."""
    return f"{one.name}@{one.layers}"


def slice_line(one: SliceStatus) -> SliceLine:
    """A slice that was asked for."""
    detail = "paused" if one.paused_by else "chosen by this host" if one.chosen else None
    if one.failure is not None:
        detail = f"{one.failure.cause}; {one.failure.next_step}"
    return SliceLine(
        name=name_of(one),
        model=one.wish.key.model,
        layers=one.wish.key.layers,
        state=STATES[one.state],
        progress=one.fraction,
        sessions=one.sessions,
        detail=detail,
    )


def slice_facts(line: SliceLine, held: HostedSlice | None, *, device: str, kv_bytes: int) -> SliceFacts:
    """Everything about a slice.

    Args:
        held: what is in memory of it.
        kv_bytes: memory that its sessions have reserved.
    """
    if held is None:
        return SliceFacts(
            name=line.name,
            model=line.model,
            model_id=None,
            layers=line.layers,
            state=line.state,
            sessions=line.sessions,
            progress=line.progress,
            detail=line.detail,
        )
    return SliceFacts(
        name=line.name,
        model=line.model,
        model_id=str(held.model),
        layers=held.layers,
        state=line.state,
        head=held.slice.spec.head,
        dtype=held.dtype.value,
        weights=held.weights.value,
        device=device,
        weight_bytes=held.slice.weight_bytes,
        kv_bytes=kv_bytes,
        sessions=line.sessions,
        step_us=held.offer(free_kv_bytes=0, sessions=0).step_us or None,
        progress=line.progress,
        detail=line.detail,
    )


def join_progress(one: SliceStatus) -> JoinProgress:
    """How far a slice is that is being loaded."""
    phase = JoinPhase.LOADING if one.state in (State.LOADING, State.RENEWING) else JoinPhase.ANNOUNCING
    return JoinProgress(slice=name_of(one), phase=phase, fraction=one.fraction)


def log_record(one: Record) -> LogRecord:
    """A record of the log."""
    return LogRecord(
        time=one.time, level=one.level, logger=one.logger, message=one.message, session=one.session
    )


def peer_line(link: Link, sessions: int) -> PeerLine:
    """A peer that a link leads to."""
    return PeerLine(
        peer=link.peer_id.short,
        agent=link.peer.agent,
        address=str(link.remote),
        dialled=not link.inbound,
        relayed=link.via is not None,
        linked_s=time.monotonic() - link.since,
        rtt_ms=link.round_trip_s * 1000 or None,
        sessions=sessions,
    )


def session_line(run: Running, slice_name: str) -> SessionLine:
    """A session that is open here, on a slice of this name."""
    return SessionLine(
        session=str(run.id),
        client=run.client.peer_id.short,
        slice=slice_name,
        layers=run.machine.opened.layers,
        positions=0 if run.cache is None else run.cache.length,
        max_positions=run.machine.opened.positions,
        tokens=run.tokens,
        idle_s=max(0.0, time.monotonic() - run.last_step_s),
        active=run.is_active,
    )
