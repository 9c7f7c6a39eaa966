"""How one hop is told to reach the next: what a client knows of both, put together.

A host's address may mean something to the client and nothing to another host, as one on the client's local network does
to a host elsewhere. So a hop is told the nearest address of the next that reaches as far as its own does.
"""

from __future__ import annotations

from chat.route import Hop
from node.discovery.scope import Scope, scope_of
from wire.types import Address, Relayed


def way_between(before: Hop, after: Hop) -> Address | Relayed:
    """How `before` should reach `after`: directly if it can, by a relay if it must.

    Where nothing that is known reaches far enough, it is the way that the client itself uses.
    """
    needed = _reach(before.ways[0]) if before.ways else scope_of(before.address)
    fitting = [way for way in after.ways if _reach(way) >= needed]
    return min(fitting, key=lambda way: (isinstance(way, Relayed), _reach(way)), default=after.address)


def _reach(way: Address | Relayed) -> Scope:
    return scope_of(way) if isinstance(way, Address) else Scope.GLOBAL
