"""Datagrams go out and come in on IPv4 and IPv6, and what the system refuses does no harm."""

from __future__ import annotations

import asyncio
import socket

import pytest

from node.dht.errors import CannotListen
from node.dht.sockets import Counters, Sockets, is_own, send_aside
from tests.fakes.deadline import until
from wire.types import Address

V4, V6 = Address("127.0.0.1", 0), Address("::1", 0)


async def test_both_families_are_heard_each_from_where_it_came() -> None:
    heard: list[tuple[bytes, Address]] = []
    received: list[int] = []
    sent: list[int] = []
    one = Sockets(lambda data, source: heard.append((data, source)), count=Counters(received=received.append))
    two = Sockets(lambda *_: None, count=Counters(sent=sent.append))
    here = await one.open([V4, V6])
    there = await two.open([V4, V6])
    assert one.families == two.families
    assert one.families.v4 and one.families.v6
    for target in here:
        two.send(b"hello", target)
    await until(lambda: len(heard) == 2)
    assert {source for _, source in heard} == set(there)
    assert sent == received == [5, 5], "each is counted where it leaves and where it arrives"
    await one.close()
    await two.close()


async def test_a_port_that_is_taken_is_said_and_nothing_stays_open() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        sockets = Sockets(lambda *_: None)
        with pytest.raises(CannotListen, match="another program"):
            await sockets.open([V4, Address("127.0.0.1", port)])
        assert not sockets.families.v6


async def test_an_address_of_another_machine_is_said() -> None:
    with pytest.raises(CannotListen, match="choose an address of this machine") as caught:
        await Sockets(lambda *_: None).open([Address("203.0.113.1", 0)])
    assert caught.value.address.ip == "203.0.113.1"


async def test_a_target_that_cannot_be_reached_does_no_harm() -> None:
    sockets = Sockets(lambda *_: None)
    await sockets.open([V4])
    sockets.send(b"x", Address("::1", 9))
    sockets.send(b"x", Address("127.0.0.1", 9))
    await asyncio.sleep(0)
    await sockets.close()
    sockets.send(b"x", Address("127.0.0.1", 9))


async def test_a_datagram_from_aside_comes_from_another_port() -> None:
    heard: list[Address] = []
    sockets = Sockets(lambda _, source: heard.append(source))
    (here,) = await sockets.open([V4])
    assert send_aside(b"knock", here)
    await until(lambda: heard)
    assert heard[0].port != here.port
    await sockets.close()
    assert not send_aside(b"x" * 70_000, here)


def test_only_this_machines_addresses_are_its_own() -> None:
    assert is_own("127.0.0.1")
    assert is_own("::1")
    assert not is_own("203.0.113.1")
    assert not is_own("0.0.0.0")
    assert not is_own("2001:db8::1")
