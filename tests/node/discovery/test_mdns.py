"""Peers of one local network find each other, over real multicast on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from crypto.identity import PeerId
from node.discovery.interfaces import LocalAddress
from node.discovery.mdns import (
    MAX_ADDRESSES,
    MAX_SERVICES,
    SERVICE_TYPE,
    Announced,
    Lan,
    announced_ips,
    contacts_of,
)
from tests.fakes.deadline import until
from wire.contacts import Contact
from wire.lan import LanText
from wire.networks import network_tag
from wire.types import Address

LOOPBACK = LocalAddress("127.0.0.1", 8, 1)
HOME = frozenset({LocalAddress("192.168.1.5", 24, 2), LocalAddress("2a00:1450::5", 64, 2)})
A, B = PeerId(b"a" * 32), PeerId(b"b" * 32)


class Ears:
    """A program that listens, and what it knows at the moment."""

    def __init__(self) -> None:
        self.now: set[Contact] = set()
        self.local = frozenset({LOOPBACK})

    def lan(self, announced: Announced | None = None, network: str = "main") -> Lan:
        return Lan(
            network,
            found=self.now.add,
            gone=self.now.remove,
            announced=announced,
            addresses=lambda: self.local,
            watch_s=0.05,
        )


def announced(peer: PeerId, port: int, token: str) -> Announced:
    return Announced(peer=peer, listen=Address("127.0.0.1", port), token=token)


def at(peer: PeerId, port: int) -> Contact:
    return Contact(peer=peer, address=Address("127.0.0.1", port))


@contextlib.asynccontextmanager
async def running(*lans: Lan) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(one.run()) for one in lans]
        try:
            yield
        finally:
            for one in started:
                one.cancel()


def info_of(values: dict[bytes, bytes | None], ips: list[str], port: int = 7311) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"someone.{SERVICE_TYPE}",
        port=port,
        properties=values,
        server="someone.local.",
        parsed_addresses=ips,
    )


def text(network: str = "main") -> dict[bytes, bytes | None]:
    return dict(LanText(peer=A, network=network_tag(network)).encode())


async def test_two_peers_and_one_who_only_listens_find_each_other() -> None:
    first, second, third = Ears(), Ears(), Ears()
    async with running(
        first.lan(announced(A, 7001, "first0001")), second.lan(announced(B, 7002, "second001")), third.lan()
    ):
        await until(lambda: third.now == {at(A, 7001), at(B, 7002)})
        await until(lambda: first.now == {at(B, 7002)} and second.now == {at(A, 7001)})


async def test_who_stops_is_no_longer_named() -> None:
    ears, other = Ears(), Ears()
    async with running(ears.lan()):
        async with running(other.lan(announced(A, 7003, "stops0001"))):
            await until(lambda: ears.now == {at(A, 7003)})
        await until(lambda: not ears.now)


async def test_another_network_is_not_seen() -> None:
    ears, elsewhere = Ears(), Ears()
    async with running(
        ears.lan(),
        elsewhere.lan(announced(A, 7004, "private01"), network="private"),
        Ears().lan(announced(B, 7005, "public001")),
    ):
        await until(lambda: ears.now == {at(B, 7005)})
        assert not elsewhere.now
    assert contacts_of(info_of(text("private"), ["127.0.0.1"]), network_tag("main"), {LOOPBACK}) == ()


async def test_an_interface_that_goes_and_comes_back_is_noticed() -> None:
    ears, other = Ears(), Ears()
    listening = ears.lan()
    async with running(listening, other.lan(announced(A, 7006, "comeback1"))):
        await until(lambda: ears.now == {at(A, 7006)})
        ears.local = frozenset()
        await until(lambda: not ears.now and listening.trouble is not None)
        assert "no network" in str(listening.trouble)
        ears.local = frozenset({LOOPBACK})
        await until(lambda: ears.now == {at(A, 7006)} and listening.trouble is None)


async def test_an_interface_that_cannot_be_used_is_named_and_does_not_end_the_search() -> None:
    ears = Ears()
    ears.local = frozenset({LocalAddress("198.51.100.7", 24, 9)})
    listening = ears.lan()
    async with running(listening):
        await until(lambda: listening.trouble is not None)
        assert "port 5353" in str(listening.trouble)


async def test_junk_on_the_network_harms_nobody() -> None:
    ears = Ears()
    async with running(ears.lan()):
        mdns = AsyncZeroconf(interfaces=["127.0.0.1"])
        try:
            spoiled: list[dict[bytes, bytes | None]] = [
                {},
                {b"v": b"2"},
                {**text(), b"id": b"\xff"},
                {**text(), b"x": b"y" * 200},
            ]
            for number, values in enumerate(spoiled):
                info = AsyncServiceInfo(
                    SERVICE_TYPE,
                    f"junk{number}.{SERVICE_TYPE}",
                    port=7,
                    properties=values,
                    server=f"junk{number}.local.",
                    parsed_addresses=["127.0.0.1"],
                )
                await (await mdns.async_register_service(info, cooperating_responders=True))
            async with running(Ears().lan(announced(B, 7007, "honest001"))):
                await until(lambda: ears.now == {at(B, 7007)})
        finally:
            await mdns.async_close()


async def test_two_names_for_one_contact_are_gone_when_both_are() -> None:
    ears = Ears()
    lan = ears.lan()
    lan._replace("one", (at(A, 1),))
    lan._replace("two", (at(A, 1), at(A, 2)))
    assert ears.now == {at(A, 1), at(A, 2)}
    lan._replace("one", ())
    assert ears.now == {at(A, 1), at(A, 2)}
    lan._replace("two", (at(A, 2),))
    assert ears.now == {at(A, 2)}


async def test_a_flood_of_names_is_bounded() -> None:
    ears = Ears()
    lan = ears.lan()
    for number in range(3 * MAX_SERVICES):
        lan._replace(f"name {number}", (at(A, number + 1),))
    assert len(ears.now) == MAX_SERVICES


@pytest.mark.parametrize(
    ("ip", "taken"),
    [
        ("192.168.1.9", True),
        ("10.0.0.9", True),
        ("169.254.1.1", True),
        ("2a00:1450::9", True),
        ("2a00:1451::9", False),
        ("8.8.8.8", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("0.0.0.0", False),
        ("224.0.0.251", False),
        ("255.255.255.255", False),
        ("fe80::1", False),
        ("::ffff:8.8.8.8", False),
    ],
)
def test_an_announcement_cannot_send_us_to_third_parties(ip: str, taken: bool) -> None:
    assert bool(contacts_of(info_of(text(), [ip]), network_tag("main"), HOME)) == taken


def test_an_announcement_has_few_addresses_and_a_port() -> None:
    many = [f"192.168.1.{number}" for number in range(1, 100)]
    assert len(contacts_of(info_of(text(), many), network_tag("main"), HOME)) == MAX_ADDRESSES
    assert contacts_of(info_of(text(), many, port=0), network_tag("main"), HOME) == ()


@given(st.lists(st.ip_addresses().map(str), max_size=20), st.integers(0, 65_535))
def test_whatever_is_announced_becomes_contacts_that_may_be_named(ips: list[str], port: int) -> None:
    for contact in contacts_of(info_of(text(), ips, port), network_tag("main"), HOME):
        assert contact.peer == A and contact.address.port == port


def test_we_announce_where_links_are_taken() -> None:
    local = {*HOME, LocalAddress("fe80::7", 64, 2), LocalAddress("10.0.0.5", 8, 3)}
    assert announced_ips(Address("0.0.0.0", 1), local) == ["10.0.0.5", "192.168.1.5"]
    assert announced_ips(Address("::", 1), local)[0] == "2a00:1450::5"
    assert set(announced_ips(Address("::", 1), local)) == {one.ip for one in local}
    assert announced_ips(Address("192.168.1.5", 1), local) == ["192.168.1.5"]
    assert announced_ips(Address("127.0.0.1", 1), local) == []
