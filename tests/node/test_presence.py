"""Two hosts that know one address find each other, are proven, announce what they serve, and leave no trace."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crypto.identity import Identity
from node import presence as module
from node.config import NodeConfig
from node.discovery.join_string import read_join_string
from node.finding import Finder
from node.manners.pacing import Gate, Pacer
from node.presence import Presence
from tests.fakes.deadline import until
from tests.node.test_finding import OFFER, port
from wire.codes import Code
from wire.contacts import Contact
from wire.types import Address, LayerRange


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@asynccontextmanager
async def present(number: int, pacer: Pacer | None = None, **config: Any) -> AsyncIterator[Presence]:
    identity = Identity.from_seed(bytes([number]) * 32)
    config = {"listen": (Address("127.0.0.1", port()),), **config}
    made = Presence(
        identity,
        NodeConfig(slices=(), **config),
        on_message=lambda *_: None,
        on_closed=lambda *_: None,
        is_busy=lambda _: False,
        pacer=pacer,
    )
    failed: list[bool] = []
    await made.open(lambda: failed.append(True))
    try:
        yield made
    finally:
        await made.close(Code.SHUTTING_DOWN, "done")
        assert failed == []


class CountingGate(Gate):
    """Remembers the sizes of what passed."""

    def __init__(self) -> None:
        super().__init__(1e9)
        self.spent: list[int] = []

    def spend(self, nbytes: int) -> None:
        self.spent.append(nbytes)
        super().spend(nbytes)


async def test_links_and_datagrams_pass_the_same_limit_both_ways() -> None:
    pacer = Pacer()
    pacer.upload, pacer.download = gates = CountingGate(), CountingGate()
    async with present(1) as first:
        known = (Contact(address=first.addresses[0]),)
        async with present(2, pacer, peers=known) as second:
            await until(lambda: bool(second.pool.links) and bool(second.nodes))
            links = second.pool.links.values()
            assert [link._pace is pacer for link in links] == [True]
            for gate in gates:
                await until(lambda passed=gate.spent: len(passed) > 6)  # type: ignore[misc]  # bound now
            sockets = second._finder._directory._sockets
            before = [len(gate.spent) for gate in gates]
            sockets.send(b"x" * 777, first.addresses[0])
            assert gates[0].spent[-1] == 777
            first._finder._directory._sockets.send(b"y" * 778, second.addresses[0])
            await until(lambda: 778 in gates[1].spent[before[1] :])


async def test_hosts_that_know_one_of_them_are_proven_and_found_by_what_they_serve() -> None:
    async with present(1) as first:
        known = (Contact(address=first.addresses[0]),)
        async with present(2, peers=known) as second, present(3, peers=known) as third:
            for number, one in enumerate((first, second, third)):
                one.announce([replace(OFFER, layers=LayerRange(number * 4, number * 4 + 4))])
            asking = Finder(Identity.from_seed(b"c" * 32), "main", cache=None, serves=False)
            await asking.start([Address("127.0.0.1", 0)], [first.addresses[0]])
            async with asyncio.timeout(20):
                while len(await asking.hosts(OFFER.model)) < 3:  # noqa: ASYNC110 - asks the swarm each time
                    await asyncio.sleep(0.05)
            # Nobody told the second of the third, but the first did.
            await until(lambda: third._identity.peer_id in second.pool.links)
            await third.leave()
            async with asyncio.timeout(10):
                while len(await asking.hosts(OFFER.model)) > 2:  # noqa: ASYNC110 - asks the swarm each time
                    await asyncio.sleep(0.05)
            await asking.close()


async def test_a_join_string_leads_to_the_host() -> None:
    async with present(1, network="club") as one:
        text = await one.join_string()
        assert text is not None
        found = read_join_string(text)
        contact = Contact(peer=Identity.from_seed(bytes([1]) * 32).peer_id, address=one.addresses[0])
        assert (found.network, found.contacts) == ("club", (contact,))
        async with present(2, network="club", invited=found.contacts) as other:
            await until(lambda: other.pool.links)


async def test_both_families_are_listened_on() -> None:
    number = port()
    async with present(1, listen=(Address("127.0.0.1", number), Address("::1", number))) as one:
        assert one.addresses == (Address("127.0.0.1", number), Address("::1", number))
        async with present(
            2, peers=(Contact(address=Address("::1", number)),), listen=(Address("::1", 0),)
        ) as other:
            await until(lambda: other.reaching.addresses)
            assert other.reaching.addresses == other.addresses


async def test_the_usual_port_gives_way_to_a_free_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with present(1) as one:
        monkeypatch.setattr(module, "USUAL_LISTEN", one.addresses[0])
        async with present(2, listen=(), lan=False, maps=False) as other:
            assert other.addresses[0].port not in (0, one.addresses[0].port)
    assert "a free port is taken instead" in caplog.text


async def test_what_only_this_machine_can_reach_looks_for_nobody_on_the_local_network() -> None:
    async with present(1) as one:
        assert not one._road_terms().lan
        assert one.reaching._mapper is None


async def test_a_part_that_fails_is_started_again_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts: list[int] = []
    async with present(1) as one:
        made = Presence(
            Identity.from_seed(bytes([2]) * 32),
            NodeConfig(
                slices=(),
                listen=(Address("127.0.0.1", 0),),
                peers=(Contact(address=one.addresses[0]),),
            ),
            on_message=lambda *_: None,
            on_closed=lambda *_: None,
            is_busy=lambda _: False,
        )
        meet = made._meeting.run

        async def fails_once() -> None:
            starts.append(len(starts))
            if len(starts) == 1:
                raise ZeroDivisionError
            await meet()

        made._meeting.run = fails_once  # type: ignore[method-assign]  # stands for a defect
        failed: list[bool] = []
        await made.open(lambda: failed.append(True))
        await until(lambda: made.pool.links)
        await made.close(Code.SHUTTING_DOWN, "done")
    assert (len(starts), failed) == (2, [])
    assert "ZeroDivisionError" in caplog.text
