"""What the panel of this machine's host says: records in, lines out. Knows no widget.

A host's words are cleaned of control characters, as everywhere: names of models come from other machines.
"""

from __future__ import annotations

from typing import Any, Final

from chat.own_host import Seen
from node.control.errors import ConnectionEnded, NoHostRuns
from node.control.results import Changed, DaemonState, SliceLine, SliceState
from node.control_text import clean, count_of, lines, size, state_of, table
from node.errors import NodeError
from node.progress import duration

LOOKING: Final = "looking for this machine's host"
AWAY_KEYS: Final = "Tab for its keys · ^o closes"
"""While something else has the keys."""
ASKING_KEYS: Final = "y drains · n leaves it as it is"
DOING_KEYS: Final = "Esc calls it off"
_MOST_SESSIONS: Final = 12
"""Rows of sessions; what is more is counted."""
_CHOSEN: Final = "›"
_HOW: Final = """\
To serve layers until you stop it:
  lamella-node --model pocket
To serve at every start of this machine:
  lamella-node service install -- --model pocket
What this machine could host: lamella-node suggest"""
_DRAINABLE: Final = frozenset({SliceState.SERVING, SliceState.LOADING})
_DRAINED: Final = frozenset({SliceState.DRAINING, SliceState.STOPPED})


def facts(seen: Seen) -> list[str]:
    """The host as a whole, without its slices."""
    one = seen.status
    dht = "DHT off" if one.dht_nodes is None else f"{count_of(one.dht_nodes, 'DHT node')}"
    memory = one.memory
    found = [
        f"this machine's host: {state_of(one)}, up {duration(one.uptime_s)}",
        f"reached: {one.reachability}",
        f"network {one.network}: {count_of(one.links, 'link')}, {dht}",
        f"memory: {size(memory.weight_bytes)} weights, {size(memory.kv_used_bytes)} of "
        f"{size(memory.kv_total_bytes)} for sessions",
    ]
    return [clean(line) for line in found]


def slices(seen: Seen, chosen: str | None) -> list[str]:
    """The slices, the chosen one marked; below each that failed or waits, why."""
    held = seen.status.slices
    if not held:
        return ["no slices: `lamella-node ctl join MODEL` adds one"]
    rows = [(one.name, _state(one), str(one.sessions)) for one in held]
    first, *found = table(("SLICE", "STATE", "SESSIONS"), rows)
    drawn = [f"  {first}"]
    for one, line in zip(held, found, strict=True):
        drawn.append(f"{_CHOSEN if one.name == chosen else ' '} {line}")
        if one.detail is not None and one.state is not SliceState.SERVING:
            drawn.append(clean(f"   {one.detail}"))
    return drawn


def sessions(seen: Seen) -> list[str]:
    """Who is served now."""
    count = seen.status.sessions
    if not count:
        return ["nobody is served now"]
    header = ("SERVED NOW", "SLICE", "POSITIONS", "")
    rows = [
        (one.client, one.slice, f"{one.positions} of {one.max_positions}", "active" if one.active else "")
        for one in seen.sessions[:_MOST_SESSIONS]
    ]
    more = count - len(rows)
    return (table(header, rows) if rows else []) + ([f"and {more} more"] if more > 0 else [])


def away(error: NodeError) -> str:
    """Why there is nothing to see, and what to do about it."""
    if isinstance(error, NoHostRuns):
        return (
            clean(f"{_sentence(error.cause)}. A socket elsewhere is named with --control PATH.")
            + f"\n\n{_HOW}"
        )
    if isinstance(error, ConnectionEnded):
        return clean(f"{_sentence(error.cause)}: it stopped, or was stopped. Looking for it again.")
    return trouble(error)


def trouble(error: NodeError) -> str:
    """An error as a sentence with the next step."""
    return clean(_sentence(f"{error}".rstrip(".")) + ".")


def drain_question(one: SliceLine) -> str:
    """What draining a slice means for others, to be answered with yes or no."""
    if one.sessions:
        who = (
            "1 answer is under way or open"
            if one.sessions == 1
            else f"{one.sessions} answers are under way or open"
        )
        means = f"{who} on it: they get some minutes to finish, and what is left then is cut off"
    else:
        means = "nobody uses it now; new answers go elsewhere and its memory is freed"
    return clean(f"Drain {one.name}? {means[:1].upper()}{means[1:]}. It stays drained until you undrain it.")


def done(result: Any, name: str | None) -> str:
    """What came of something the host was told, about the slice of a name where it was about one."""
    if isinstance(result, Changed) and name is not None:
        found = [clean(f"{one.name} is {_state(one)}") for one in result.slices if one.name == name]
        if found:
            return found[0]
    return lines(result)[0]


def not_drainable(one: SliceLine) -> str | None:
    """Why a slice cannot be drained; None when it can."""
    return None if one.state in _DRAINABLE else clean(f"{one.name} is {one.state.value}; nothing to drain.")


def not_drained(one: SliceLine) -> str | None:
    """Why a slice cannot be undrained; None when it can."""
    return None if one.state in _DRAINED else clean(f"{one.name} is {one.state.value}; nothing to undrain.")


def keys(seen: Seen | None, chosen: SliceLine | None) -> str:
    """The keys that do something now."""
    found = []
    if seen is not None:
        found.append("p resumes" if seen.status.state is DaemonState.PAUSED else "p pauses")
        if chosen is not None and chosen.state in _DRAINABLE:
            found.append("d drains")
        if chosen is not None and chosen.state in _DRAINED:
            found.append("u undrains")
        if len(seen.status.slices) > 1:
            found.append("↑↓ choose")
    return " · ".join([*found, "Esc closes"])


def _state(one: SliceLine) -> str:
    paused = f" ({one.detail})" if one.detail and one.state is SliceState.SERVING else ""
    return one.state.value + ("" if one.progress is None else f" {one.progress:.0%}") + paused


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
