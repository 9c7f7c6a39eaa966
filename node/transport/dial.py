"""From an address to an established link, or to an error that says what to do next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from crypto.identity import PeerId
from node.errors import NodeError
from node.transport.errors import (
    DialError,
    DialRefused,
    DialTimedOut,
    DialUnreachable,
    HandshakeRefused,
    LinkClosed,
    PeerHungUp,
    WrongPeer,
)
from node.transport.link import Link
from wire import limits
from wire.codes import Code
from wire.types import Address

Connect = Callable[[Link], Awaitable[None]]
"""Gives a link the stream it runs on. Raises `OSError` or `NodeError`."""


async def dial(link: Link, address: Address, peer_id: PeerId | None, connect: Connect | None = None) -> None:
    """Connect `link` and wait until it is established.

    Args:
        link: a fresh outbound link, whose connection expects `peer_id`.
        address: where to connect; of a relay, where the link is carried.
        peer_id: for the errors.
        connect: how to connect; by a socket to `address` unless said otherwise.

    Raises:
        DialError: with cause and next step. The link is dropped then, as it is when the caller is cancelled.
    """
    established = False
    try:
        async with asyncio.timeout(limits.DIAL_TIMEOUT_S):
            await (connect(link) if connect is not None else _connect(link, address))
            await link.ready()
            established = True
    except TimeoutError as error:
        raise DialTimedOut(
            address,
            peer_id,
            f"{address} did not answer within {limits.DIAL_TIMEOUT_S:g} s",
            "check that the machine is up and that no firewall drops this port",
        ) from error
    except ConnectionRefusedError as error:
        raise DialRefused(
            address, peer_id, f"nothing listens at {address}", "check the port, and that the node is running"
        ) from error
    except OSError as error:
        raise DialUnreachable(
            address,
            peer_id,
            f"{address} cannot be reached ({error.strerror or error})",
            "check the address and this machine's network",
        ) from error
    except LinkClosed as error:
        raise explain(address, peer_id, error) from error
    except DialError:
        raise
    except NodeError as error:
        raise DialUnreachable(
            address, peer_id, f"no link is carried by the relay at {address}: {error.cause}", error.next_step
        ) from error
    finally:
        if not established:
            link.abort()


async def _connect(link: Link, address: Address) -> None:
    await asyncio.get_running_loop().create_connection(lambda: link, address.ip, address.port)


def explain(address: Address, peer_id: PeerId | None, closed: LinkClosed) -> DialError:
    """Say in a dialler's words why a link ended before it could be used."""
    if closed.code is Code.WRONG_PEER:
        return WrongPeer(
            address,
            peer_id,
            f"not the peer that was meant answers at {address}: {closed.detail}",
            "ask for its current address; nothing was sent to it",
        )
    if closed.code is Code.CONNECTION_LOST:
        return PeerHungUp(
            address,
            peer_id,
            f"{address} hung up during the handshake",
            "it may be full, or not a node: try again later or choose another peer",
        )
    if closed.code is Code.TOO_MANY_LINKS:
        return PeerHungUp(
            address,
            peer_id,
            f"{address} has no room for another link",
            "try again later or choose another peer",
        )
    if closed.code is Code.TIMEOUT:
        return DialTimedOut(
            address,
            peer_id,
            f"{address} accepts connections but does not shake hands",
            "check that a node listens there and not another program",
        )
    return HandshakeRefused(
        address,
        peer_id,
        f"{address} does not speak this network's protocol: {closed.detail}",
        "check that both sides use the same network name and versions of this program that fit",
    )
