"""Contacts of all roads come together; how they answer is remembered; what strangers say goes no further."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crypto.identity import Identity
from node import roads as module
from node.discovery.book_file import BookFile
from node.discovery.entries import Failure, Road
from node.discovery.errors import BootstrapExpired, BootstrapRefused
from node.discovery.interfaces import LocalAddress
from node.discovery.mdns import Announced
from node.finding import Found
from node.roads import Roads, RoadTerms
from node.transport.errors import DialError, DialRefused, DialUnreachable
from node.transport.pool import LinkPool
from tests.fakes.asked_hosts import AskedHost, Searching, asked_by
from tests.fakes.deadline import until
from wire.bootstrap_list import BootstrapList
from wire.contacts import Contact
from wire.types import Address, Relayed

SIGNER = Identity.from_seed(b"s" * 32)
PEER = Identity.from_seed(b"p" * 32).peer_id
NOBODY = Contact(address=Address("127.0.0.1", 1))
RELAY = Relayed(PEER, Address("192.0.2.9", 7311))


def listed(path: Path, *, network: str = "main", expires_in_s: int = 3600) -> Path:
    now = int(time.time())
    made = BootstrapList(
        network=network,
        issued=now - 7200,
        expires=now + expires_in_s,
        contacts=(Contact(peer=PEER, address=Address("192.0.2.7", 7311)),),
    )
    path.write_bytes(made.sign(SIGNER))
    return path


def terms(path: Path) -> RoadTerms:
    return RoadTerms(network="main", bootstrap=path, signer=SIGNER.public_key)


async def test_contacts_of_every_road_are_asked_and_those_of_trusted_ones_go_to_the_dht(
    tmp_path: Path,
) -> None:
    finder = Searching()
    named, invited = (Contact(address=Address("192.0.2.1", port)) for port in (1, 2))
    made = Roads(
        RoadTerms(
            network="main",
            named=(named,),
            invited=(invited,),
            bootstrap=listed(tmp_path / "list"),
            signer=SIGNER.public_key,
        ),
        finder=finder,
    )
    await made.open()
    assert made.news.is_set()
    assert finder.told == [Address("192.0.2.1", 1), Address("192.0.2.1", 2), Address("192.0.2.7", 7311)]
    assert made.found([Found(PEER, (Address("192.0.2.8", 7311), RELAY))]) == 2
    assert finder.told[-1] != Address("192.0.2.8", 7311)
    # The one that was found by two roads is one, with all the ways to it.
    whole = next(one for one in made.somebody() if one.peer == PEER)
    assert whole.ways == (Address("192.0.2.7", 7311), Address("192.0.2.8", 7311), RELAY)
    assert len(made.somebody()) == 3
    assert made.addresses(PEER) == [Address("192.0.2.7", 7311), Address("192.0.2.8", 7311)]
    assert [one.roads for one in made.known()] == [
        (Road.CONFIGURED,),
        (Road.INVITED,),
        (Road.BOOTSTRAP,),
        (Road.DHT,),
    ]
    assert made.named


async def test_a_host_behind_a_relay_is_forgotten_as_such_once_it_is_not() -> None:
    made = Roads(RoadTerms(network="main"))
    made.found([Found(PEER, (RELAY,))])
    assert [one.ways for one in made.somebody()] == [(RELAY,)]
    made.found([Found(PEER, (Address("192.0.2.8", 7311),))])
    assert [one.ways for one in made.somebody()] == [(Address("192.0.2.8", 7311),)]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"expires_in_s": -60}, BootstrapExpired, "expired on"),
        ({"network": "other"}, Exception, "'other'"),
    ],
)
async def test_a_list_that_was_asked_for_and_cannot_be_used_is_an_error(
    tmp_path: Path, changes: dict[str, object], error: type[Exception], said: str
) -> None:
    path = listed(tmp_path / "list", **changes)  # type: ignore[arg-type]  # each test case names keywords of it
    with pytest.raises(error, match=said):
        await Roads(terms(path)).open()


async def test_a_list_of_the_release_that_is_over_is_told_and_no_reason_not_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "PACKAGED", listed(tmp_path / "list", expires_in_s=-60))
    made = Roads(RoadTerms(network="main", signer=SIGNER.public_key))
    await made.open()
    assert made.somebody() == []
    assert "expired on" in caplog.text


async def test_a_list_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BootstrapRefused, match="cannot be read"):
        await Roads(terms(tmp_path / "none")).open()


async def test_who_answered_is_remembered_for_the_next_start_and_told_to_the_dht(tmp_path: Path) -> None:
    host = AskedHost(1)
    finder = Searching()
    async with asked_by(9, host, finder=finder) as made:
        made.roads._file = BookFile(tmp_path, "main")
        await made.roads.reach(made.roads.somebody()[0])
        assert finder.told == [made.addresses[0]] * 2
        await made.roads.save()
        again = Roads(RoadTerms(network="main", memory=tmp_path))
        await again.open()
        assert [one.contacts for one in again.somebody()] == [
            (Contact(peer=host.peer_id, address=made.addresses[0]),)
        ]


async def test_why_nobody_can_be_reached_is_told_once_for_those_a_person_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with asked_by(9, besides=[NOBODY]) as made:
        assert made.roads.why_alone() is None
        (one,) = made.roads.somebody()
        for _ in range(3):
            with pytest.raises(DialRefused):
                await made.roads.reach(one)
        assert made.roads.why_alone() == (
            "127.0.0.1:1 refuses the connection; make sure the other side runs, and that the port is right"
        )
    assert caplog.text.count("refuses the connection") == 1


async def test_with_nobody_known_the_next_step_is_told() -> None:
    async with asked_by(9) as made:
        assert "name one with --peer" in str(made.roads.why_alone())


async def test_contacts_due_are_those_that_no_link_leads_to() -> None:
    host = AskedHost(1)
    async with asked_by(9, host, besides=[NOBODY]) as made:
        assert len(made.roads.due(8)) == 2
        assert made.roads.due(8) == []
        await made.roads.reach(made.roads.somebody()[1])


async def test_the_local_network_brings_contacts_and_takes_them_away(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Announced | None] = []
    contact = Contact(peer=PEER, address=Address("192.168.0.7", 7311))

    class FakeLan:
        trouble = None

        def __init__(
            self,
            network: str,
            *,
            found: Callable[[Contact], None],
            gone: Callable[[Contact], None],
            announced: Announced | None,
        ) -> None:
            seen.append(announced)
            self.found, self.gone = found, gone

        async def run(self) -> None:
            self.found(contact)
            await leave.wait()
            self.gone(contact)
            await asyncio.Event().wait()

    leave = asyncio.Event()
    monkeypatch.setattr(module, "Lan", FakeLan)
    finder = Searching()
    made = Roads(
        RoadTerms(network="main", lan=True), own=Identity.from_seed(bytes(32)).peer_id, finder=finder
    )
    await made.open([Address("0.0.0.0", 7311), Address("::", 7311)])
    running = asyncio.create_task(made.run())
    await until(made.somebody)
    assert finder.told == [contact.address]
    assert seen[0] is not None and seen[0].listen == Address("::", 7311)
    leave.set()
    await until(lambda: not made.somebody())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_on_another_network_everybody_is_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.005)
    here = [frozenset({LocalAddress("192.0.2.1", 24, 1)})]
    monkeypatch.setattr(module, "local_addresses", lambda: here[0])
    async with asked_by(9, besides=[NOBODY]) as made:
        running = asyncio.create_task(made.roads.run())
        with pytest.raises(DialError):
            await made.roads.reach(made.roads.somebody()[0])
        assert made.roads.somebody() == []
        here[0] = frozenset()
        await until(made.roads.somebody)
        # Whoever waits for it is told by the loop's own thread, a moment after.
        await until(made.roads.moved.is_set)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_a_machine_without_network_is_not_the_contacts_fault() -> None:
    error = DialUnreachable(NOBODY.address, None, "x", "y")
    assert module._why(error) is Failure.SILENT
    error.__cause__ = OSError(errno.ENETUNREACH, "x")
    assert module._why(error) is Failure.NO_NETWORK


async def test_roads_need_links() -> None:
    made = Roads(RoadTerms(network="main", named=(NOBODY,)))
    await made.open()
    with pytest.raises(RuntimeError, match="no links yet"):
        await made.reach(made.somebody()[0])
    pool = LinkPool(SIGNER, "main", "x", on_message=lambda *_: None, on_closed=lambda *_: None)
    made.connect(pool)
    with pytest.raises(DialRefused):
        await made.reach(made.somebody()[0])
    await pool.close()


async def test_another_host_with_this_ones_identity_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    own = Identity.from_seed(bytes(32)).peer_id
    made = Roads(RoadTerms(network="main"), own=own)
    for _ in range(3):
        made._lan_found(Contact(peer=own, address=Address("192.168.0.7", 7311)))
    assert (
        caplog.text.count("another host, at 192.168.0.7:7311, announces itself with this one's identity") == 1
    )
    assert made.somebody() == []
