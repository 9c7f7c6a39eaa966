"""What a host answers over its control socket, as lines for people. Spec of the records: `specs/control.md`.

Everything a host says is cleaned of control characters before it reaches a terminal: names of models and programs,
and words of the log, come from other machines.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from node import sizes
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
    SliceState,
    Status,
    Stopping,
)
from node.progress import duration

_MIB: Final = 1 << 20
_NEWS_S: Final = 30
_EXACT: Final = 2.0**53
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


def step_of(record: Any) -> object:
    """What of a progress record is news; records that are alike in it need not all be told.

    Tenths of what is loaded, and half minutes of a grace.
    """
    if isinstance(record, JoinProgress):
        return record.slice, record.phase, None if record.fraction is None else int(record.fraction * 10)
    if isinstance(record, DrainProgress):
        return record.slice, record.state, record.sessions, int(record.left_s // _NEWS_S)
    return record


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


def count_of(count: int, what: str = "session") -> str:
    """`1 session`, `2 sessions`."""
    return f"{count} {what}" + ("" if count == 1 else "s")


def size(size_bytes: int) -> str:
    """A number of bytes for people."""
    if size_bytes >= 1024 * _MIB:
        return f"{size_bytes / (1024 * _MIB):.1f} GiB"
    return f"{size_bytes / _MIB:.1f} MiB"


def state_of(one: Status) -> str:
    """What the host as a whole does, and why."""
    state = one.state.value
    if one.why is None:
        return state
    return one.why if one.why.startswith(state) else f"{state}: {one.why}"


def _status(one: Status) -> list[str]:
    dht = "off" if one.dht_nodes is None else f"{count_of(one.dht_nodes, 'node')} known"
    memory = one.memory
    facts = {
        "state": state_of(one),
        "host": one.peer_id,
        "program": f"lamella-node {one.version}, process {one.pid}, up {duration(one.uptime_s)}",
        "network": f"{one.network}, {count_of(one.links, 'link')}, DHT {dht}",
        "addresses": ", ".join(one.addresses) or "none",
        "reached": one.reachability,
        "memory": f"{size(memory.weight_bytes)} weights, {size(memory.kv_used_bytes)} of "
        f"{size(memory.kv_total_bytes)} for sessions",
        "sessions": str(one.sessions),
        "rates": f"{_rate(one.rates.upload_bytes_per_s)} up, {_rate(one.rates.download_bytes_per_s)} down",
    }
    if one.relay is not None:
        facts["relay"] = (
            f"carries {count_of(one.relay.circuits, 'link')} for others, {size(one.relay.carried_bytes)} so far"
        )
    return [f"{name:<11}{value}" for name, value in facts.items()] + ["", *_slices(one.slices)]


def _slices(slices: Sequence[SliceLine]) -> list[str]:
    if not slices:
        return ["no slices"]
    rows = [(one.name, one.model, _or_none(one.layers), _state(one), str(one.sessions)) for one in slices]
    header, *found = table(("SLICE", "MODEL", "LAYERS", "STATE", "SESSIONS"), rows)
    drawn = [header]
    for one, line in zip(slices, found, strict=True):
        # Why a slice failed is a sentence, which as a column would push the table off a terminal.
        drawn += [line, f"  {one.detail}"] if one.detail else [line]
    if any(one.state is SliceState.FAILED for one in slices):
        drawn.append("`lamella-node ctl leave SLICE` forgets one that failed")
    return drawn


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
            "memory": f"{size(each.weight_bytes)} weights, {size(each.kv_bytes)} for {count_of(each.sessions)}",
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
            _NONE if each.sent_bytes is None else size(each.sent_bytes),
            _NONE if each.received_bytes is None else size(each.received_bytes),
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
    return [f"{name} {_figure(value)}" for name, value in sorted(one.values.items())] or ["no metrics"]


def _join_progress(one: JoinProgress) -> list[str]:
    far = "" if one.fraction is None else f" {one.fraction:.0%}"
    return [f"{one.slice}: {one.phase.value}{far}" + (f", {one.detail}" if one.detail else "")]


def _joined(one: Joined) -> list[str]:
    return [f"{one.slice.name} is {one.slice.state.value} after {duration(one.seconds)}"]


def _drain_progress(one: DrainProgress) -> list[str]:
    if not one.sessions:
        return [f"{one.slice}: {one.state.value}"]
    return [f"{one.slice}: {one.state.value}, {count_of(one.sessions)}, {duration(one.left_s)} left"]


def _drained(one: Drained) -> list[str]:
    names = ", ".join(one.slices) or "nothing"
    return [f"stopped {names}: {count_of(one.finished)} finished, {one.cut_off} cut off"]


def _changed(one: Changed) -> list[str]:
    return [f"the host is {one.state.value}", *_slices(one.slices)]


def _record(one: LogRecord) -> list[str]:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(max(one.time, 0.0), 2.0**40)))
    about = "" if one.session is None else f" [{one.session}]"
    first, *more = one.message.splitlines() or [""]
    return [f"{when} {one.level.upper():<7} {one.logger}{about}: {first}", *(f"    {line}" for line in more)]


def _logs_end(one: LogsEnd) -> list[str]:
    if not one.dropped:
        return []
    return [f"{count_of(one.dropped, 'record')} left out: not read in time"]


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
    return [f"the host stops: {count_of(one.sessions)} may take {duration(one.grace_s)} to finish"]


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


def _figure(value: float) -> str:
    """The shortest digits that stand for this value and no other."""
    whole = value.is_integer() and abs(value) < _EXACT
    return str(int(value)) if whole else repr(value)


def _rate(bytes_per_s: float | None) -> str:
    return "no bound" if bytes_per_s is None else f"{sizes.written(round(bytes_per_s))} a second"


def _is_number(cell: str) -> bool:
    return cell == _NONE or _NUMBER.fullmatch(cell) is not None
