"""Everything one relay promises, and what nobody can make it do."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crypto.identity import Identity, PeerId
from wire import limits
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.relay import (
    RelayAccept,
    RelayClose,
    RelayConnect,
    RelayCredit,
    RelayData,
    RelayIncoming,
    RelayNo,
    RelayReserve,
    RelayReserved,
)
from wire.relay import Relay, Sent, Terms
from wire.reservation import verify_reservation

ME = Identity.from_seed(b"r" * 32)
HOST, CLIENT, OTHER = (PeerId(one * 32) for one in (b"h", b"c", b"o"))
NAME = bytes(16)
WINDOW, PIECE = limits.RELAY_WINDOW_BYTES, limits.RELAY_DATA_BYTES


class Desk:
    """A relay and a clock; links are called by the names of their peers."""

    def __init__(self, **terms: int) -> None:
        self.relay = Relay(ME, Terms(**terms))
        self.now = 0.0

    def take(self, peer: PeerId, message: Message, *, end: object = None) -> list[Sent]:
        return self.relay.receive(end or peer, peer, message, now=self.now, clock=1_000.5 + self.now)

    def open(self, name: bytes = NAME, client: PeerId = CLIENT) -> Desk:
        """A circuit from a client to the host."""
        self.take(HOST, RelayReserve())
        assert self.take(client, RelayConnect(circuit=name, host=HOST)) == [
            (HOST, RelayIncoming(circuit=name, client=client))
        ]
        assert self.take(HOST, RelayAccept(circuit=name)) == [(client, RelayAccept(circuit=name))]
        return self


def data(size: int = 10, name: bytes = NAME) -> RelayData:
    return RelayData(circuit=name, body=bytes(size))


def codes(sent: list[Sent]) -> list[tuple[object, int]]:
    """Whom a refusal or an end goes to, and why."""
    return [(end, one.code) for end, one in sent if isinstance(one, RelayClose | RelayNo)]


def test_a_reservation_is_signed_by_the_relay_for_the_host() -> None:
    [(end, reserved)] = Desk().take(HOST, RelayReserve())
    assert end == HOST
    assert isinstance(reserved, RelayReserved)
    assert (reserved.expires, reserved.lifetime_s) == (
        1_000 + limits.RESERVATION_SECONDS,
        limits.RESERVATION_SECONDS,
    )
    verify_reservation(reserved.key, HOST, reserved.expires, reserved.signature)


def test_bytes_and_credit_pass_both_ways_as_they_came() -> None:
    desk = Desk().open()
    for end, other in ((CLIENT, HOST), (HOST, CLIENT)):
        for message in (data(), RelayCredit(circuit=NAME, taken=10)):
            if isinstance(message, RelayData):
                assert desk.take(end, message) == [(other, message)]
            else:
                assert desk.take(other, message) == [(end, message)]
    assert desk.relay.carried_bytes == 20


def test_a_host_that_has_not_reserved_or_no_longer_is_not_called() -> None:
    connect = RelayConnect(circuit=NAME, host=HOST)
    desk = Desk()
    assert codes(desk.take(CLIENT, connect)) == [(CLIENT, Code.NO_RESERVATION)]
    desk.take(HOST, RelayReserve())
    desk.now = limits.RESERVATION_SECONDS
    assert codes(desk.take(CLIENT, connect)) == [(CLIENT, Code.NO_RESERVATION)]
    desk.take(HOST, RelayReserve())
    desk.relay.gone(HOST)
    assert codes(desk.take(CLIENT, connect)) == [(CLIENT, Code.NO_RESERVATION)]


def test_a_host_is_not_connected_with_itself() -> None:
    desk = Desk()
    desk.take(HOST, RelayReserve())
    assert codes(desk.take(HOST, RelayConnect(circuit=NAME, host=HOST))) == [(HOST, Code.NO_RESERVATION)]


def test_reservations_and_circuits_are_bounded_in_all_and_for_each_peer() -> None:
    desk = Desk(reservations=1, circuits=3, circuits_per_peer=2)
    desk.open(b"1" * 16).open(b"2" * 16)
    assert codes(desk.take(OTHER, RelayReserve())) == [(OTHER, Code.RELAY_FULL)]
    for peer in (CLIENT, OTHER):
        assert codes(desk.take(peer, RelayConnect(circuit=b"3" * 16, host=HOST))) == [(peer, Code.RELAY_FULL)]
    desk.take(CLIENT, RelayClose(circuit=b"1" * 16, code=100, detail=""))
    desk.open(b"4" * 16)
    assert desk.relay.circuits == 2


def test_requests_are_rationed() -> None:
    desk = Desk()
    answers = [desk.take(OTHER, RelayReserve()) for _ in range(limits.RELAY_REQUEST_BURST + 1)]
    assert codes(answers[-2]) == []
    assert codes(answers[-1]) == [(OTHER, Code.RELAY_FULL)]
    desk.now = 1.0 / limits.RELAY_REQUEST_RATE_HZ
    assert codes(desk.take(OTHER, RelayReserve())) == []


def test_a_name_in_use_is_not_taken_over() -> None:
    desk = Desk().open()
    assert desk.take(OTHER, RelayConnect(circuit=NAME, host=HOST)) == []
    assert desk.take(CLIENT, data()) == [(HOST, data())]


@pytest.mark.parametrize("message", [data(), RelayCredit(circuit=NAME, taken=1), RelayAccept(circuit=NAME),
                                     RelayClose(circuit=NAME, code=1, detail="")])  # fmt: skip
def test_a_stranger_to_a_circuit_is_not_heard(message: Message) -> None:
    desk = Desk().open()
    assert desk.take(OTHER, message) == []
    assert desk.relay.circuits == 1


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (CLIENT, RelayAccept(circuit=NAME)),
        (HOST, RelayAccept(circuit=NAME)),
        (CLIENT, data(0)),
        (CLIENT, data(PIECE + 1)),
        (CLIENT, RelayCredit(circuit=NAME, taken=1)),
    ],
)
def test_what_is_out_of_order_closes_the_circuit_for_both(end: PeerId, message: Message) -> None:
    desk = Desk().open()
    assert codes(desk.take(end, message)) == [(CLIENT, Code.PROTOCOL), (HOST, Code.PROTOCOL)]
    assert desk.relay.circuits == 0


def test_data_before_the_host_has_accepted_closes_the_circuit() -> None:
    desk = Desk()
    desk.take(HOST, RelayReserve())
    desk.take(CLIENT, RelayConnect(circuit=NAME, host=HOST))
    assert codes(desk.take(CLIENT, data())) == [(CLIENT, Code.PROTOCOL), (HOST, Code.PROTOCOL)]


def test_a_client_cannot_accept_for_the_host() -> None:
    desk = Desk()
    desk.take(HOST, RelayReserve())
    desk.take(CLIENT, RelayConnect(circuit=NAME, host=HOST))
    assert codes(desk.take(CLIENT, RelayAccept(circuit=NAME)))[1] == (HOST, Code.PROTOCOL)


def test_data_beyond_the_credit_closes_the_circuit() -> None:
    desk = Desk().open()
    for _ in range(WINDOW // PIECE):
        assert desk.take(CLIENT, data(PIECE)) == [(HOST, data(PIECE))]
    assert codes(desk.take(CLIENT, data(1)))[0] == (CLIENT, Code.PROTOCOL)


def test_a_circuit_ends_when_its_bytes_or_its_time_are_used_up() -> None:
    desk = Desk(circuit_bytes=25).open()
    desk.take(CLIENT, data())
    desk.take(HOST, data())
    spent = [(CLIENT, Code.CIRCUIT_SPENT), (HOST, Code.CIRCUIT_SPENT)]
    assert codes(desk.take(CLIENT, data())) == spent
    desk = Desk(circuit_s=60).open()
    assert desk.relay.on_time(59.0) == []
    assert codes(desk.relay.on_time(60.0)) == spent
    assert not desk.relay.knows(CLIENT, NAME)


def test_a_host_that_does_not_answer_is_given_up() -> None:
    desk = Desk()
    desk.take(HOST, RelayReserve())
    desk.take(CLIENT, RelayConnect(circuit=NAME, host=HOST))
    assert desk.relay.on_time(limits.RELAY_OPEN_TIMEOUT_S - 0.1) == []
    assert codes(desk.relay.on_time(limits.RELAY_OPEN_TIMEOUT_S))[0] == (CLIENT, Code.TIMEOUT)


@pytest.mark.parametrize(("lost", "told"), [(CLIENT, HOST), (HOST, CLIENT)])
def test_when_one_end_is_gone_the_other_is_told(lost: PeerId, told: PeerId) -> None:
    desk = Desk().open()
    assert desk.relay.is_busy(lost)
    assert codes(desk.relay.gone(lost)) == [(told, Code.CIRCUIT_CLOSED)]
    assert not desk.relay.is_busy(lost)
    assert desk.relay.circuits == 0


def test_what_one_end_says_at_the_end_reaches_the_other() -> None:
    desk = Desk().open()
    last = RelayClose(circuit=NAME, code=Code.CIRCUIT_CLOSED, detail="bye")
    assert desk.take(HOST, last) == [(CLIENT, last)]
    assert desk.take(HOST, last) == []


PEERS = st.sampled_from([HOST, CLIENT, OTHER])
NAMES = st.sampled_from([bytes((n,)) * 16 for n in range(4)])


class AnyOrder(RuleBasedStateMachine):
    """Peers say anything in any order; the relay's books always add up."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(circuits=3, circuits_per_peer=2, circuit_bytes=3 * PIECE, circuit_s=50)
        self.under_way: dict[tuple[object, bytes], int] = {}

    def _see(self, sent: list[Sent]) -> None:
        for end, message in sent:
            if isinstance(message, RelayData):
                key = end, message.circuit
                self.under_way[key] = self.under_way.get(key, 0) + len(message.body)
                assert self.under_way[key] <= WINDOW
            if isinstance(message, RelayClose | RelayAccept):
                for peer in (HOST, CLIENT, OTHER):
                    self.under_way.pop((peer, message.circuit), None)

    @rule(peer=PEERS)
    def reserve(self, peer: PeerId) -> None:
        self._see(self.desk.take(peer, RelayReserve()))

    @rule(peer=PEERS, host=PEERS, name=NAMES)
    def connect(self, peer: PeerId, host: PeerId, name: bytes) -> None:
        self._see(self.desk.take(peer, RelayConnect(circuit=name, host=host)))

    @rule(peer=PEERS, name=NAMES)
    def accept(self, peer: PeerId, name: bytes) -> None:
        self._see(self.desk.take(peer, RelayAccept(circuit=name)))

    @rule(peer=PEERS, name=NAMES, size=st.sampled_from([1, PIECE, PIECE + 1]))
    def send(self, peer: PeerId, name: bytes, size: int) -> None:
        self._see(self.desk.take(peer, data(size, name)))

    @rule(peer=PEERS, name=NAMES, taken=st.sampled_from([1, PIECE]))
    def credit(self, peer: PeerId, name: bytes, taken: int) -> None:
        sent = self.desk.take(peer, RelayCredit(circuit=name, taken=taken))
        if any(isinstance(message, RelayCredit) for _, message in sent):
            self.under_way[peer, name] = self.under_way.get((peer, name), 0) - taken
            assert self.under_way[peer, name] >= 0

    @rule(peer=PEERS)
    def leave(self, peer: PeerId) -> None:
        self._see(self.desk.relay.gone(peer))

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.desk.now += seconds
        self._see(self.desk.relay.on_time(self.desk.now))

    @invariant()
    def the_books_add_up(self) -> None:
        circuits = self.desk.relay._circuits.values()
        assert len(circuits) <= 3
        for peer in (HOST, CLIENT, OTHER):
            assert sum(one.client_peer == peer for one in circuits) <= 2
            assert sum(one.host_peer == peer for one in circuits) <= 2
        for one in circuits:
            assert one.client != one.host
            assert one.used_bytes <= 3 * PIECE
            assert all(0 <= left <= WINDOW for left in one.credit.values())


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
