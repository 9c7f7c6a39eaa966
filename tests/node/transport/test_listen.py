"""Where we listen, and whom we let in."""

from __future__ import annotations

import asyncio

import pytest

from node.transport.errors import AddressInUse, AddressUnavailable
from node.transport.listen import Doorkeeper, bound_address, listen
from tests.fakes.pools import LOOPBACK
from wire import limits
from wire.types import Address


async def test_a_free_port_is_filled_in() -> None:
    server = await listen(LOOPBACK, asyncio.Protocol)
    address = bound_address(server)
    assert address.ip == "127.0.0.1"
    assert address.port > 0
    server.close()


async def test_a_port_in_use_names_the_address() -> None:
    server = await listen(LOOPBACK, asyncio.Protocol)
    address = bound_address(server)
    with pytest.raises(AddressInUse, match=str(address)) as raised:
        await listen(address, asyncio.Protocol)
    assert raised.value.address == address
    assert "port" in raised.value.next_step
    server.close()


async def test_an_address_of_another_machine_is_unavailable() -> None:
    with pytest.raises(AddressUnavailable, match=r"192\.0\.2\.1"):
        await listen(Address("192.0.2.1", 0), asyncio.Protocol)


def test_handshakes_under_way_are_bounded() -> None:
    door = Doorkeeper()
    assert all(door.admit(f"10.0.0.{number}") for number in range(limits.MAX_HANDSHAKES))
    assert not door.admit("10.0.1.1")
    door.greeted()
    assert door.admit("10.0.1.1")


def test_links_of_one_address_are_bounded() -> None:
    door = Doorkeeper()
    for _ in range(limits.MAX_LINKS_PER_ADDRESS):
        assert door.admit("10.0.0.1")
        door.greeted()
    assert not door.admit("10.0.0.1")
    assert door.admit("10.0.0.2")
    door.leave("10.0.0.1")
    assert door.admit("10.0.0.1")
