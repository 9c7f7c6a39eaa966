"""What a host answers over its control socket, as lines for people. Spec of the records: `specs/control.md`.

Everything a host says is cleaned of control characters before it reaches a terminal: names of models and programs,
and words of the log, come from other machines.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from node.control.results import (
    Changed,
    Drained,
    DrainProgress,
    Hosting,
    Joined,
    JoinProgress,
    LogRecord,
    LogsEnd,
    Metrics,
    Peers,
    Reloaded,
    Sessions,
    SliceFacts,
    SliceLine,
    Status,
    Stopping,
)
from node.progress import duration

_MIB: Final = 1 << 20
_GAP: Final = "  "
_NONE: Final = "-"
_NUMBER: Final = re.compile(r"[0-9][0-9.]*( [A-Za-z]+)?")


def lines(record: Any) -> list[str]:
    """The lines of a progress or result record; none for those that say nothing to people."""
    writer = _WRITERS.get(type(record))
    return [] if writer is None else [clean(line) for line in writer(record)]


def clean(text: str) -> str:
    """Text without what could move a terminal's cursor, or end its line."""
    return "".join(one if one.isprintable() else " " for one in text).rstrip()


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in columns as wide as they need; numbers to the right."""
    cleaned = [[clean(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[at]) for row in cleaned) for at in range(len(header))]
    right = [bool(rows) and all(_is_number(row[at]) for row in cleaned[1:]) for at in range(len(header))]
    return [
        _GAP.join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cleaned
    ]


def _status(one: Status) -> list[str]:
    state = one.state.value if one.why is None else f"{one.state.value}: {one.why}"
    dht = "off" if one.dht_nodes is None else f"{one.dht_nodes} nodes known"
    memory = one.memory
    facts = {
        "state": state,
        "host": one.peer_id,
        "program": f"lamella-node {one.version}, process {one.pid}, up {duration(one.uptime_s)}",
        "network": f"{one.network}, {one.links} links, DHT {dht}",
        "addresses": ", ".join(one.addresses) or "none",
        "reached": one.reachability,
        "memory": f"{_size(memory.weight_bytes)} weights, {_size(memory.kv_used_bytes)} of "
        f"{_size(memory.kv_total_bytes)} for sessions",
        "sessions": str(one.sessions),
    }
    return [f"{name:<11}{value}" for name, value in facts.items()] + ["", *_slices(one.slices)]


def _slices(slices: Sequence[SliceLine]) -> list[str]:
    if not slices:
        return ["no slices"]
    header = ("SLICE", "MODEL", "LAYERS", "STATE", "SESSIONS", "")
    return table(
        header,
        [
            (
                one.name,
                one.model,
                _or_none(one.layers),
                _state(one),
                str(one.sessions),
                one.detail or "",
            )
            for one in slices
        ],
    )


def _hosting(one: Hosting) -> list[str]:
    if not one.slices:
        return ["no slices"]
    found = []
    for each in one.slices:
        kept = each.weights or _NONE
        facts = {
            "model": each.model,
            "id": each.model_id or _NONE,
            "layers": _or_none(each.layers) + (", with the head" if each.head else ""),
            "state": _state(each),
            "numerics": f"{each.dtype or _NONE}, weights {kept}, on {each.device}",
            "memory": f"{_size(each.weight_bytes)} weights, {_size(each.kv_bytes)} for {_sessions_word(each.sessions)}",
            "a token": "not measured yet" if each.step_us is None else f"{each.step_us / 1e3:.1f} ms",
        }
        if each.detail:
            facts["detail"] = each.detail
        found += [each.name, *(f"  {name:<10}{value}" for name, value in facts.items())]
    return found


def _peers(one: Peers) -> list[str]:
    if not one.peers:
        return ["no links"]
    header = ("PEER", "ADDRESS", "PROGRAM", "LINK", "AGE", "RTT", "SESSIONS", "SENT", "RECEIVED")
    rows = [
        (
            each.peer,
            each.address or _NONE,
            each.agent or _NONE,
            ("dialled" if each.dialled else "taken") + (" by relay" if each.relayed else ""),
            duration(each.linked_s),
            _NONE if each.rtt_ms is None else f"{each.rtt_ms:.1f} ms",
            str(each.sessions),
            _NONE if each.sent_bytes is None else _size(each.sent_bytes),
            _NONE if each.received_bytes is None else _size(each.received_bytes),
        )
        for each in one.peers
    ]
    return table(header, rows)


def _sessions(one: Sessions) -> list[str]:
    if not one.sessions:
        return ["no sessions"]
    header = ("SESSION", "CLIENT", "SLICE", "LAYERS", "POSITIONS", "OF", "TOKENS", "IDLE", "")
    rows = [
        (
            each.session,
            each.client,
            each.slice,
            str(each.layers),
            str(each.positions),
            str(each.max_positions),
            str(each.tokens),
            f"{each.idle_s:.1f} s" if each.idle_s < 60 else duration(each.idle_s),
            "active" if each.active else "",
        )
        for each in one.sessions
    ]
    return table(header, rows)


def _metrics(one: Metrics) -> list[str]:
    return [f"{name} {value:.17g}" for name, value in sorted(one.values.items())] or ["no metrics"]


def _join_progress(one: JoinProgress) -> list[str]:
    far = "" if one.fraction is None else f" {one.fraction:.0%}"
    return [f"{one.slice}: {one.phase.value}{far}" + (f", {one.detail}" if one.detail else "")]


def _joined(one: Joined) -> list[str]:
    return [f"{one.slice.name} is {one.slice.state.value} after {duration(one.seconds)}"]


def _drain_progress(one: DrainProgress) -> list[str]:
    return [f"{one.slice}: {one.state.value}, {_sessions_word(one.sessions)}, {duration(one.left_s)} left"]


def _drained(one: Drained) -> list[str]:
    names = ", ".join(one.slices) or "nothing"
    return [f"stopped {names}: {_sessions_word(one.finished)} finished, {one.cut_off} cut off"]


def _changed(one: Changed) -> list[str]:
    return [f"the host is {one.state.value}", *_slices(one.slices)]


def _record(one: LogRecord) -> list[str]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(max(one.time, 0.0), 2.0**40)))
    about = "" if one.session is None else f" [{one.session}]"
    first, *more = one.message.splitlines() or [""]
    return [f"{when} {one.level.upper():<7} {one.logger}{about}: {first}", *(f"    {line}" for line in more)]


def _logs_end(one: LogsEnd) -> list[str]:
    return [f"{one.dropped} records were left out: they were not read in time"] if one.dropped else []


def _reloaded(one: Reloaded) -> list[str]:
    if not (one.applied or one.needs_restart):
        return ["nothing has changed"]
    said = []
    if one.applied:
        said.append(f"took effect: {', '.join(one.applied)}")
    if one.needs_restart:
        said.append(f"needs a restart: {', '.join(one.needs_restart)}")
    return said


def _stopping(one: Stopping) -> list[str]:
    if not one.sessions:
        return ["the host stops"]
    return [f"the host stops: {_sessions_word(one.sessions)} may take {duration(one.grace_s)} to finish"]


_WRITERS: Final[Mapping[type[Any], Callable[[Any], list[str]]]] = {
    Status: _status,
    Hosting: _hosting,
    Peers: _peers,
    Sessions: _sessions,
    Metrics: _metrics,
    JoinProgress: _join_progress,
    Joined: _joined,
    DrainProgress: _drain_progress,
    Drained: _drained,
    Changed: _changed,
    LogRecord: _record,
    LogsEnd: _logs_end,
    Reloaded: _reloaded,
    Stopping: _stopping,
}


def _state(one: SliceLine | SliceFacts) -> str:
    return one.state.value + ("" if one.progress is None else f" {one.progress:.0%}")


def _or_none(value: object) -> str:
    return _NONE if value is None else str(value)


def _sessions_word(count: int) -> str:
    return f"{count} session" + ("" if count == 1 else "s")


def _size(size_bytes: int) -> str:
    if size_bytes >= 1024 * _MIB:
        return f"{size_bytes / (1024 * _MIB):.1f} GiB"
    return f"{size_bytes / _MIB:.1f} MiB"


def _is_number(cell: str) -> bool:
    return cell == _NONE or _NUMBER.fullmatch(cell) is not None
