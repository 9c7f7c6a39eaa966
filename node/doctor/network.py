"""Whether there is a way out of this machine, and what a running host knows of the way in. Sends nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from node.doctor.examining import aside
from node.doctor.finding import Finding, ok, warning
from node.doctor.host import Host
from node.reach.gateway import Gateway, gateways


async def look(host: Host, routes: Callable[[], Sequence[Gateway]] = gateways) -> Finding:
    """Look at the default gateways, and ask the host."""
    found = await aside(lambda: list(routes()))
    status = (await host.heard()).status
    said = None if status is None else status.reachability
    facts = {
        "gateways": [
            {"ip": one.ip, "interface": one.interface, "own_ip": one.own_ip, "private": _is_private(one)}
            for one in found
        ],
        "host_says": said,
        "links": None if status is None else status.links,
        "dht_nodes": None if status is None else status.dht_nodes,
    }
    if not found:
        return warning(
            "this machine has no way out: no default gateway",
            "connect it to a network; until then only peers of the local network are found",
            **facts,
        )
    ways = " and ".join(f"{one.ip} on {one.interface}" for one in found)
    if said is not None:
        return ok(f"the way out is {ways}; the host says: {said}", **facts)
    behind = (
        "; its address is a private one, so others reach it through the router or a relay"
        if all(map(_is_private, found))
        else ""
    )
    return ok(f"the way out is {ways}{behind}; the way in is tried by a running host only", **facts)


def _is_private(gateway: Gateway) -> bool:
    try:
        return ipaddress.ip_address(gateway.own_ip.partition("%")[0]).is_private
    except ValueError:
        return True
