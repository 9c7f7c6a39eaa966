"""Directories on real sockets of this machine find each other's slices, and forget those that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from node.dht.announcing import SliceOffer
from node.dht.errors import CannotListen
from node.dht.service import Directory, Options
from node.supervising import PartGaveUp, RestartTerms, Supervisor
from tests.fakes.deadline import until
from tests.fakes.records import MODEL, identity
from wire import limits
from wire.dht_messages import Help
from wire.records import RecordState, Relay
from wire.tensors import DType
from wire.types import Address, LayerRange

HERE = Address("127.0.0.1", 0)
OFFER = SliceOffer(
    model=MODEL, name="tiny/model", layers=LayerRange(0, 4), head=False, num_layers=8, dtype=DType.BFLOAT16
)
Start = Callable[..., Awaitable[Directory]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts directories and closes those that are left."""
    running: list[Directory] = []

    async def begin(
        number: int,
        contacts: Sequence[Directory] = (),
        *,
        network: str = "main",
        listen: Sequence[Address] = (HERE,),
        options: Options | None = None,
    ) -> Directory:
        directory = Directory(identity(number), network, options)
        running.append(directory)
        await directory.start(listen, [address for one in contacts for address in one.addresses])
        return directory

    yield begin
    for directory in running:
        await directory.close()


async def found(directory: Directory) -> int:
    records = {}
    async for record in directory.find(MODEL):
        records[record.place] = record
    return sum(record.state is RecordState.SERVING for record in records.values())


async def finds(directory: Directory, count: int) -> None:
    async with asyncio.timeout(20):
        while await found(directory) != count:  # noqa: ASYNC110 - what is found has no event of its own
            await asyncio.sleep(0.05)


async def test_three_that_know_one_prove_each_other_announce_and_withdraw(start: Start) -> None:
    one = await start(1)
    two = await start(2, [one])
    three = await start(3, [one])
    for directory in (one, two, three):
        directory.announce([OFFER])
    await finds(three, 3)
    await until(lambda: one.serves and two.serves and three.serves)
    assert set(two.proven) == set(two.addresses)
    assert [record.name async for record in one.models()] == ["tiny/model"] * 3
    await two.close()
    await finds(three, 2)
    one.announce([])
    await finds(three, 1)
    await until(lambda: len(three.contacts()) >= 1)


async def test_a_client_finds_hosts_and_nobody_takes_it_as_a_contact(start: Start) -> None:
    host = await start(1, options=Options(serves=True))
    host.set_addresses([Address("127.0.0.1", 7311)])
    host.announce([OFFER])
    client = await start(2, [host], options=Options(serves=False))
    await finds(client, 1)
    assert not client.serves
    assert [known.peer for known in client.contacts()] == [identity(1).peer_id]
    assert host.contacts() == []
    assert client.counts["requests"] > 0
    assert (host.announced, client.announced, client.stored) == (2, 0, 0)


async def test_both_ip_families_are_proven_and_announced(start: Start) -> None:
    both = (HERE, Address("::1", 0))
    one = await start(1, listen=both)
    two = await start(2, [one], listen=both)
    two.announce([OFFER])
    await until(lambda: set(two.proven) == set(two.addresses))
    await finds(one, 1)


async def test_only_proven_addresses_are_announced(start: Start) -> None:
    one = await start(1, options=Options(serves=True))
    two = await start(2, [one], options=Options(links_share_port=False))
    two.announce([OFFER])
    await until(lambda: two.proven)
    assert await found(one) == 0
    relay = Relay(identity(9).peer_id, Address("203.0.113.1", 1))
    two.set_addresses([Address("203.0.113.9", 7311)], [relay])
    await finds(one, 1)
    (record,) = [record async for record in one.find(MODEL)]
    assert record.addresses == (Address("203.0.113.9", 7311),)
    assert record.relays == (relay,)


async def test_networks_do_not_mix(start: Start) -> None:
    one = await start(1, options=Options(serves=True))
    other = await start(2, [one], network="other")
    notices: list[str] = []
    other.notice = notices.append
    one.announce([OFFER])
    await until(lambda: notices)
    assert "none of the 1 contacts answers" in notices[0]
    assert other.contacts() == [] == one.contacts()
    assert await found(other) == 0


async def test_contacts_come_back_from_disk(start: Start, tmp_path: Path) -> None:
    one = await start(1, options=Options(serves=True))
    options = Options(cache=tmp_path / "peers")
    two = await start(2, [one], options=options)
    await until(two.contacts)
    await two.close()
    again = await start(2, options=options)
    await until(again.contacts)


async def test_contacts_may_come_later_and_from_another_road(start: Start) -> None:
    one = await start(1, options=Options(serves=True))
    two = await start(2)
    assert two.contacts() == []
    seen: list[Address] = []
    two.on_observed = lambda address, _: seen.append(address)
    two.add_contacts(one.addresses)
    await until(two.contacts)
    assert set(seen) == set(two.addresses)


async def test_a_port_that_is_taken_is_said(start: Start) -> None:
    one = await start(1)
    with pytest.raises(CannotListen):
        await start(2, listen=one.addresses)


async def test_changes_of_what_is_offered_are_announced_at_once(start: Start) -> None:
    one = await start(1, options=Options(serves=True))
    one.set_addresses([Address("127.0.0.1", 7311)])
    two = await start(2, [one])
    one.announce([OFFER])
    await finds(two, 1)
    one.announce([OFFER, replace(OFFER, layers=LayerRange(4, 8), head=True)])
    await finds(two, 2)


async def test_before_its_start_a_directory_cannot_be_asked() -> None:
    directory = Directory(identity(1), "main")
    with pytest.raises(RuntimeError):
        directory.find(MODEL)
    with pytest.raises(RuntimeError):
        directory.announce([])
    await directory.close()


async def test_a_node_that_is_seen_elsewhere_has_its_address_proven_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "REACH_RETRY_S", 0.05)
    one = await start(1, options=Options(serves=True))
    two = await start(2, [one])
    await until(lambda: two.proven)
    here = two.proven
    two._proven[False] = Address("127.0.0.1", 1)
    two.add_contacts(one.addresses)
    await two.running.greet(one.addresses)
    await until(lambda: two.proven == here)


async def test_who_is_not_reached_is_told_what_to_do(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "REACH_RETRY_S", 0.3)
    monkeypatch.setattr(limits, "KNOCK_TIMEOUT_S", 0.05)
    one = await start(1, options=Options(serves=True))
    one.running.protocol.on_reach = lambda *_: Help.NOBODY
    two = await start(2, [one])
    notices: list[str] = []
    two.notice = notices.append
    await until(lambda: notices)
    assert f"let UDP through to port {two.addresses[0].port}" in notices[0]
    assert not two.serves


async def test_a_part_that_fails_is_started_again_and_the_others_go_on(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = await start(1)
    two = await start(2, [one])
    announcer = two._announcer
    assert announcer is not None
    whole, failed = announcer.announce, asyncio.Event()

    async def broken() -> bool:
        failed.set()
        announcer.announce = whole  # type: ignore[method-assign]  # it is whole again at the next start
        raise RuntimeError("by a defect")

    announcer.announce = broken  # type: ignore[method-assign]  # a defect, once
    two.announce([OFFER])
    await failed.wait()
    await finds(one, 1)
    assert "announcing failed by a defect of this program" in caplog.text


async def test_a_part_that_fails_too_often_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = partial(Supervisor, terms=RestartTerms(failures=1))
    monkeypatch.setattr("node.dht.service.Supervisor", impatient)
    directory, over, said = Directory(identity(1), "main"), asyncio.Event(), list[str]()
    directory.on_failed, directory.notice = over.set, said.append
    await directory.start([HERE])
    announcer = directory._announcer
    assert announcer is not None

    async def broken() -> bool:
        raise RuntimeError("by a defect")

    announcer.announce = broken  # type: ignore[method-assign]  # a defect
    directory.announce([OFFER])
    async with asyncio.timeout(5):
        await over.wait()
    assert "announcing failed 1 times" in said[-1]
    with pytest.raises(PartGaveUp):
        await directory.close()
