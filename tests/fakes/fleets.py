"""Machines that nobody owns, for planners."""

from __future__ import annotations

from node.planning.machines import GIB, Fleet, Link, Machine


def host(name: str, gib: float, bandwidth: float = 10.0) -> Machine:
    """A machine of so much memory."""
    return Machine(name=name, memory=round(gib * GIB), bandwidth=bandwidth)


def fleet(
    *hosts: Machine,
    client_gib: float = 4.0,
    bandwidth: float = 10.0,
    latency_ms: float = 1.0,
    links: dict[tuple[str, str], float] | None = None,
) -> Fleet:
    """A client and some hosts; `links` are latencies in ms, by names."""
    return Fleet(
        client=Machine(name="me", memory=round(client_gib * GIB), bandwidth=bandwidth, client=True),
        hosts=hosts,
        links={frozenset(pair): Link(latency_ms=ms) for pair, ms in (links or {}).items()},
        usual=Link(latency_ms=latency_ms),
    )
