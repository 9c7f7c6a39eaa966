"""Errors name the cause and the next step."""

from __future__ import annotations

from node.dht.errors import CannotListen
from node.errors import NodeError
from wire.types import Address


def test_an_error_says_where_why_and_what_to_do() -> None:
    error = CannotListen(Address("127.0.0.1", 1), "no", "do this")
    assert isinstance(error, NodeError)
    assert str(error) == "no; do this"
    assert error.address.port == 1
