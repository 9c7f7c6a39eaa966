"""What a host does, in one line for people: systemd shows it beside the service."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from node.control.results import DaemonState, SliceLine, SliceState

_AT_WORK = {SliceState.LOADING: "loads", SliceState.DRAINING: "drains", SliceState.FAILED: "could not load"}
_VERBS = {
    DaemonState.STARTING: "getting ready",
    DaemonState.PAUSED: "is paused with",
    DaemonState.DRAINING: "takes no new sessions",
    DaemonState.STOPPING: "no answer under way",
}


def doing(held: Sequence[str], *, relays: bool) -> str:
    """Say what a host does for others, by the names of its slices and whether it carries links."""
    does = [f"serves {', '.join(held) or 'nothing'}"] if held or not relays else []
    does += ["relays for peers that nobody can dial"] if relays else []
    return " and ".join(does)


def sentence(
    state: DaemonState,
    held: Sequence[str],
    lines: Sequence[SliceLine],
    *,
    where: str | None,
    why: str | None,
    relays: bool = False,
) -> str:
    """Say what a host does.

    Args:
        held: the slices that are in memory, as people call them.
        relays: whether it carries links for others.
        lines: every slice; those at work are told of each.
        where: the address that others dial; None while there is none.
        why: what keeps the host from serving, when something does.
    """
    said = _VERBS.get(state, "")
    if state is DaemonState.SERVING:
        said = doing(held, relays=relays)
    elif state is DaemonState.PAUSED:
        said = f"{said} {', '.join(held) or 'nothing'}"
    elif state is DaemonState.STOPPING:
        under_way = sum(one.sessions for one in lines)
        said = f"{under_way} answers under way" if under_way else said
    if where is not None and state is DaemonState.SERVING:
        said = f"{said} on {where}"
    at_work = [] if state is DaemonState.STOPPING else [one for one in lines if one.state in _AT_WORK]
    return "; ".join([said, *map(_told, at_work), *([why] if why else [])])


def _told(one: SliceLine) -> str:
    progress = "" if one.progress is None else f" {one.progress:.0%}"
    name = PurePath(one.model).name if one.model.startswith("/") else one.model
    layers = "" if one.layers is None else f" {one.layers}"
    return f"{_AT_WORK[one.state]} {name}{layers}{progress}"
