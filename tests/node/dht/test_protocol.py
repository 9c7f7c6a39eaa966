"""What a node answers to whom, whom it takes as a contact, and what it costs to be attacked."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.dht.exchange import Ask, Failure, Reply
from node.dht.protocol import Knocked, Protocol
from scripts.make_record_vectors import REQUESTS
from tests.fakes.dht import Wire
from tests.fakes.records import NETWORK, NOW, identity, lifetime, signed, slice_record
from wire import limits
from wire.cbor import dumps
from wire.datagrams import HEAD_BYTES, read_head, write_knock, write_request
from wire.dht_messages import (
    Find,
    Found,
    Help,
    Outcome,
    Ping,
    Pong,
    Probe,
    Probed,
    Reach,
    Reaching,
    Request,
    Store,
    Stored,
)
from wire.endpoints import NodeId, network_tag
from wire.records import sign_record
from wire.types import Address

TAG = network_tag(NETWORK)
KEY = slice_record(identity(1)).key(NETWORK)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def ask(wire: Wire, asker: Protocol, target: Protocol, request: Request) -> Reply | Failure | None:
    """The answer to a request, or none."""
    results: list[Reply | Failure] = []
    asker.ask(Ask(request, wire.where(target), target.node, results.append), wire.now)
    wire.run()
    return results[0] if results else None


def answer(wire: Wire, asker: Protocol, target: Protocol, request: Request) -> object:
    reply = ask(wire, asker, target, request)
    assert isinstance(reply, Reply)
    return reply.answer


def token(wire: Wire, asker: Protocol, target: Protocol) -> bytes:
    pong = answer(wire, asker, target, Ping(sender=asker.node, serves=False))
    assert isinstance(pong, Pong)
    return pong.token


def store(
    wire: Wire, asker: Protocol, target: Protocol, data: bytes, shown: bytes | None = None
) -> Outcome | None:
    """What became of a record; none when that was not even answered."""
    shown = token(wire, asker, target) if shown is None else shown
    reply = ask(wire, asker, target, Store(sender=asker.node, serves=False, token=shown, record=data))
    if reply is None:
        return None
    assert isinstance(reply, Reply)
    stored = reply.answer
    assert isinstance(stored, Stored)
    assert stored.time == int(wire.wall)
    return stored.outcome


def pair(wire: Wire) -> tuple[Protocol, Protocol]:
    return wire.add(1, "20.0.1.1"), wire.add(2, "20.0.2.1")


def test_a_ping_tells_where_it_came_from(wire: Wire) -> None:
    one, two = pair(wire)
    pong = answer(wire, one, two, Ping(sender=one.node, serves=False))
    assert isinstance(pong, Pong)
    assert pong.observed == wire.where(one)


def test_who_serves_becomes_a_contact_after_a_challenge_and_a_client_does_not(wire: Wire) -> None:
    one, two = pair(wire)
    answer(wire, one, two, Ping(sender=one.node, serves=False))
    assert len(two.routing) == 0
    answer(wire, one, two, Ping(sender=one.node, serves=True))
    known = two.routing.get(one.node)
    assert known is not None
    assert known.contact.address == wire.where(one)
    assert known.peer == identity(1).peer_id


def test_a_sender_under_anothers_name_does_not_become_a_contact(wire: Wire) -> None:
    one, two = pair(wire)
    victim = wire.add(3, "20.0.3.1")
    answer(wire, one, two, Ping(sender=victim.node, serves=True))
    assert two.routing.get(victim.node) is None


def test_a_forged_source_gets_one_small_challenge_and_no_place(wire: Wire) -> None:
    _, two = pair(wire)
    silent = Address("20.9.9.9", 9)
    data = write_request(Ping(sender=NodeId(b"x" * 20), serves=True), tag=TAG, transaction=bytes(8))
    for _ in range(10):
        two.receive(data, silent, 0.0)
    sent = [one for one, target in two.datagrams_to_send() if target == silent]
    # Ten answers, and one challenge as long as the request.
    assert len(sent) == 11
    assert sum(map(len, sent)) <= limits.AMPLIFICATION * 10 * len(data)
    assert len(two.routing) == 0


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: type(one).__name__)
def test_no_answer_has_more_than_thrice_the_bytes_of_its_request(wire: Wire, request_: Request) -> None:
    one, two = pair(wire)
    for number in range(10, 60):
        two.storage.store(signed(number), slice_record(identity(number)), None, NOW)
        other = wire.add(number, f"20.1.{number}.1")
        answer(wire, other, two, Ping(sender=other.node, serves=True))
    wire.sent.clear()
    ask(wire, one, two, request_)
    here, there = wire.where(one), wire.where(two)
    asked = sum(len(data) for data, source, target in wire.sent if (source, target) == (here, there))
    answered = sum(len(data) for data, source, target in wire.sent if (source, target) == (there, here))
    assert answered <= limits.AMPLIFICATION * asked


def test_find_gives_contacts_and_a_page_within_a_datagram(wire: Wire) -> None:
    one, two = pair(wire)
    for number in range(10, 40):
        two.storage.store(signed(number), slice_record(identity(number)), None, NOW)
        other = wire.add(number, f"20.1.{number}.1")
        answer(wire, other, two, Ping(sender=other.node, serves=True))
    found = answer(wire, one, two, Find(sender=one.node, serves=False, key=KEY))
    assert isinstance(found, Found)
    assert len(found.contacts) == limits.CONTACTS_BESIDE_RECORDS
    assert len(found.records) >= 4
    bare = answer(wire, one, two, Find(sender=one.node, serves=False, key=KEY, records=False))
    assert isinstance(bare, Found)
    assert len(bare.contacts) == limits.MAX_ANSWER_CONTACTS
    assert (bare.records, bare.total) == ((), 30)
    assert found.total == 30
    assert found.next is not None
    more = answer(
        wire, one, two, Find(sender=one.node, serves=False, key=KEY, cursor=found.next, contacts=False)
    )
    assert isinstance(more, Found)
    assert more.contacts == ()
    assert len(more.records) > len(found.records)
    assert not set(more.records) & set(found.records)
    six = answer(wire, one, two, Find(sender=one.node, serves=False, key=KEY, v4=False))
    assert isinstance(six, Found)
    assert six.contacts == ()


def test_contacts_of_a_local_network_are_not_told_outside(wire: Wire) -> None:
    one, two = pair(wire)
    near, other = wire.add(3, "192.168.1.3"), wire.add(4, "192.168.1.4")
    answer(wire, near, two, Ping(sender=near.node, serves=True))
    find = Find(sender=one.node, serves=False, key=KEY)
    outside = answer(wire, one, two, find)
    inside = answer(wire, other, two, find)
    assert isinstance(outside, Found) and isinstance(inside, Found)
    assert outside.contacts == ()
    assert [contact.node for contact in inside.contacts] == [near.node]


def test_a_record_is_stored_and_found(wire: Wire) -> None:
    one, two = pair(wire)
    assert store(wire, one, two, signed(1)) is Outcome.STORED
    assert store(wire, one, two, signed(1)) is Outcome.STORED
    found = answer(wire, one, two, Find(sender=one.node, serves=False, key=KEY))
    assert isinstance(found, Found)
    assert found.records == (signed(1),)


def test_a_token_of_another_address_is_refused(wire: Wire) -> None:
    one, two = pair(wire)
    three = wire.add(3, "20.0.3.1")
    theirs = token(wire, three, two)
    assert store(wire, one, two, signed(1), theirs) is None
    assert store(wire, one, two, signed(1), bytes(8)) is None
    assert len(two.storage) == 0


FORGED = signed(1)[:-1] + bytes((signed(1)[-1] ^ 1,))
OTHER_NETWORK = sign_record(slice_record(identity(1)), identity(1), "other")


@pytest.mark.parametrize(
    ("data", "outcome"),
    [
        (FORGED, None),
        (OTHER_NETWORK, None),
        (signed(1)[:-64] + signed(2)[-64:], None),
        (b"\x81" * 200, None),
        (b"x", None),
        (bytes(limits.MAX_RECORD_BYTES), None),
        (signed(1, lifetime=lifetime(issued=NOW - 700)), Outcome.UNTIMELY),
        (signed(1, lifetime=lifetime(issued=NOW + 7200)), Outcome.UNTIMELY),
    ],
)
def test_what_is_not_a_record_of_now_and_here_is_not_kept(
    wire: Wire, data: bytes, outcome: Outcome | None
) -> None:
    one, two = pair(wire)
    assert store(wire, one, two, data) is outcome
    assert len(two.storage) == 0


def test_a_replayed_older_record_is_not_kept(wire: Wire) -> None:
    one, two = pair(wire)
    assert store(wire, one, two, signed(1, lifetime=lifetime(sequence=2))) is Outcome.STORED
    assert store(wire, one, two, signed(1)) is Outcome.STALE


def test_a_record_far_from_this_node_is_not_kept(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STORE_NEARER", 3)
    one, two = pair(wire)
    for number in range(10, 40):
        other = wire.add(number, f"20.1.{number}.1")
        answer(wire, other, two, Ping(sender=other.node, serves=True))
    outcomes = set()
    for number in range(40):
        model = slice_record(identity(1)).model
        record = slice_record(identity(1), model=type(model)(bytes([number]) * 32))
        outcomes.add(store(wire, one, two, sign_record(record, identity(1), NETWORK)))
    assert outcomes == {Outcome.STORED, Outcome.TOO_FAR}


def test_who_hands_over_a_forged_record_is_not_heard_for_a_while(wire: Wire) -> None:
    one, two = pair(wire)
    store(wire, one, two, FORGED)
    assert ask(wire, one, two, Ping(sender=one.node, serves=False)) is None
    assert two.counts["muted"] == 1
    wire.now += limits.MUTED_S
    assert ask(wire, one, two, Ping(sender=one.node, serves=False)) is not None


def test_nobody_pays_for_a_forgery_that_came_from_another_port_of_his_ip(wire: Wire) -> None:
    one, two = pair(wire)
    beside = Address(wire.where(one).ip, 9)
    forged = Store(sender=one.node, serves=False, token=two.token_for(beside, 0.0), record=FORGED)
    two.receive(write_request(forged, tag=TAG, transaction=bytes(8)), beside, 0.0)
    assert two.conducts.muted(beside, 0.0)
    assert store(wire, one, two, signed(1)) is Outcome.STORED


def test_another_network_hears_nothing(wire: Wire) -> None:
    one, _ = pair(wire)
    foreign = Protocol(identity(9), "other", random=wire.dice.randbytes, wall=lambda: NOW)
    wire.places[Address("20.0.9.1", 7311)] = foreign
    assert ask(wire, one, foreign, Ping(sender=one.node, serves=True)) is None
    assert foreign.counts["refused"] == 1
    assert len(foreign.routing) == 0


def test_a_contact_that_does_not_answer_is_dropped(wire: Wire) -> None:
    one, two = pair(wire)
    answer(wire, two, one, Ping(sender=two.node, serves=True))
    assert one.routing.get(two.node) is not None
    del wire.places[Address("20.0.2.1", 7311)]
    results: list[Reply | Failure] = []
    known = one.routing.get(two.node)
    assert known is not None
    one.ping(known.contact, wire.now, results.append)
    for moment in (0.3, 0.6, 1.3):
        one.on_time(moment)
        wire.run()
    assert results == [Failure.LOST]
    assert one.routing.get(two.node) is None
    assert one.next_timeout() is None


def test_a_full_bucket_has_its_longest_silent_contact_checked(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BUCKET_SIZE", 2)
    one = wire.add(1, "20.0.1.1", serves=False)
    others = [wire.add(number, f"20.1.{number}.1", serves=False) for number in range(10, 60)]
    for other in others:
        hello = ask(wire, one, other, Ping(sender=one.node, serves=False))
        assert isinstance(hello, Reply)
        one.welcome(hello, wire.where(other), wire.now)
    before = {known.contact for known in one.routing}
    assert 2 < len(before) < len(others)
    # Those that were to be checked are; when they are gone, others take their places.
    wire.run()
    for address in [known.contact.address for known in one.routing][::2]:
        del wire.places[address]
    for other in others:
        if other in wire.places.values():
            again = ask(wire, one, other, Ping(sender=one.node, serves=False))
            assert isinstance(again, Reply)
            one.welcome(again, wire.where(other), wire.now)
    for moment in (1.0, 3.0):
        one.on_time(moment)
        wire.run()
    assert {known.contact for known in one.routing} != before


def test_a_knock_from_a_stranger_is_told_and_one_from_where_we_sent_to_is_not(wire: Wire) -> None:
    one, two = pair(wire)
    heard: list[Knocked] = []
    one.on_knock = heard.append
    token(wire, one, two)
    data = write_knock(tag=TAG, nonce=b"nonce678")
    one.receive(data, wire.where(two), 0.0)
    one.receive(data, Address(wire.where(two).ip, 9999), 0.0)
    one.receive(data, Address("20.5.5.5", 1), 0.0)
    assert [(knock.nonce, knock.stranger) for knock in heard] == [(b"nonce678", False), (b"nonce678", True)]


def test_a_node_knocks_for_another_if_that_shows_a_token_and_the_target_is_not_in_its_own_network(
    wire: Wire,
) -> None:
    one, two = pair(wire)
    target = Address("20.7.7.7", 77)
    shown = token(wire, one, two)
    probe = Probe(sender=one.node, serves=False, token=shown, target=target, nonce=b"12345678")
    done = answer(wire, one, two, probe)
    assert isinstance(done, Probed) and done.done
    knocks = [data for data, _, where in wire.sent if where == target]
    assert [read_head(data, TAG).transaction for data in knocks] == [b"12345678"]
    # So soon after the last one it does not knock again, nor ever within its own network.
    again = answer(wire, one, two, probe)
    assert isinstance(again, Probed) and not again.done
    wire.now += 10
    inward = Probe(
        sender=one.node, serves=False, token=shown, target=Address("192.168.1.1", 1), nonce=b"12345678"
    )
    refused = answer(wire, one, two, inward)
    assert isinstance(refused, Probed) and not refused.done
    bad = Probe(sender=one.node, serves=False, token=bytes(8), target=target, nonce=b"12345678")
    assert ask(wire, one, two, bad) is None


def test_a_wish_to_be_knocked_at_is_handed_on_with_its_source(wire: Wire) -> None:
    one, two = pair(wire)
    wishes: list[tuple[bytes, Address]] = []

    def on_reach(reach: Reach, source: Address) -> Help:
        wishes.append((reach.nonce, source))
        return Help.ITSELF

    two.on_reach = on_reach
    reach = Reach(sender=one.node, serves=False, token=token(wire, one, two), nonce=b"12345678")
    told = answer(wire, one, two, reach)
    assert isinstance(told, Reaching) and told.help is Help.ITSELF
    assert wishes == [(b"12345678", wire.where(one))]
    bad = Reach(sender=one.node, serves=False, token=bytes(8), nonce=b"12345678")
    assert ask(wire, one, two, bad) is None


def test_a_node_does_not_talk_to_itself(wire: Wire) -> None:
    one, _ = pair(wire)
    data = write_request(Ping(sender=one.node, serves=True), tag=TAG, transaction=bytes(8))
    one.receive(data, Address("20.0.1.9", 1), 0.0)
    assert one.datagrams_to_send() == []


@settings(max_examples=200)
@given(st.binary(max_size=1400), st.sampled_from([0, 1, 2, 3, 4, 5, 6, 0x81, 0x82, 0x83]))
def test_no_datagram_raises_or_is_answered_with_more_than_thrice_its_bytes(body: bytes, kind: int) -> None:
    protocol = Protocol(identity(1), NETWORK, random=Wire().dice.randbytes, wall=lambda: NOW)
    for data in (body, bytes((0x4C, kind)) + TAG + bytes(8) + body):
        protocol.receive(data, Address("20.0.0.1", 5), 0.0)
        sent = protocol.datagrams_to_send()
        assert sum(len(one) for one, _ in sent) <= limits.AMPLIFICATION * len(data)


def test_hostile_datagrams_cost_little(wire: Wire) -> None:
    """Generous, for a busy machine; `scripts.bench.hostile` measures it."""
    one, two = pair(wire)
    head = write_request(Ping(sender=one.node, serves=False), tag=TAG, transaction=bytes(8))[:HEAD_BYTES]
    hostile = [
        b"\x81" * 1000,
        head + b"\x81" * 1000,
        head + dumps([[]] * 1200),
        bytes((0x4C, 0x82)) + TAG + bytes(8) + bytes(300),
    ]
    started = time.process_time()
    for _ in range(500):
        for data in hostile:
            two.receive(data, Address("127.0.0.1", 5), 0.0)
    assert (time.process_time() - started) / 2000 < 500e-6
    assert two.datagrams_to_send() == []
