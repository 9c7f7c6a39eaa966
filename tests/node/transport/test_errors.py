"""Errors carry facts and a next step."""

from __future__ import annotations

from node.errors import NodeError
from node.transport.errors import DialRefused, LinkClosed, TransportError
from wire.codes import Code
from wire.types import Address

ADDRESS = Address("127.0.0.1", 7)


def test_a_dial_error_says_what_happened_where_and_what_to_do() -> None:
    error = DialRefused(ADDRESS, None, f"nothing listens at {ADDRESS}", "check the port")
    assert str(error) == "nothing listens at 127.0.0.1:7; check the port"
    assert (error.address, error.peer_id) == (ADDRESS, None)
    assert isinstance(error, TransportError)
    assert isinstance(error, NodeError)


def test_a_closed_link_says_why() -> None:
    error = LinkClosed(ADDRESS, Code.IDLE, "unused", by_peer=True)
    assert "127.0.0.1:7 is closed (idle: unused)" in error.cause
    assert error.code is Code.IDLE
    assert error.by_peer
