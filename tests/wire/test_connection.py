"""Two connections joined in memory: who meets, what arrives, what ends them, and what newer peers may say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.identity import Identity
from tests.fakes.joined import (
    MIB,
    OTHER_SESSION,
    SESSION,
    SPEAKERS,
    Joined,
    bodyless,
    closed,
    config,
    only,
    slip,
    slip_raw,
    small,
    step,
    steps,
)
from wire import codec, limits
from wire.cbor import dumps
from wire.codes import Code
from wire.connection import Connection
from wire.connection_table import State
from wire.errors import IllegalState, InvalidValue
from wire.events import Closed, Established, MessageReceived
from wire.messages.base import Message
from wire.messages.forward import Forward
from wire.messages.link import Ack, Goodbye, Ping, Unsupported

# Establishing


def test_both_sides_report_whom_they_met() -> None:
    pair = Joined(responder=config(initiator=False, features=(1,)))
    pair.exchange()
    met = only(pair.take(pair.initiator), Established)
    assert (met.peer_id, met.agent, met.features, met.version) == (
        Identity.from_seed(b"r" * 32).peer_id,
        "agent-r",
        (1,),
        1,
    )
    assert only(pair.take(pair.responder), Established).peer_id == Identity.from_seed(b"i" * 32).peer_id
    assert pair.initiator.peer_id == met.peer_id


def test_the_handshake_gives_the_first_round_trip() -> None:
    pair = Joined()
    pair.move(pair.initiator)
    pair.now += 0.05
    pair.exchange()
    assert pair.initiator.round_trip_s == pytest.approx(0.05)


@pytest.mark.parametrize("silent", SPEAKERS)
def test_a_handshake_that_does_not_end_in_time_is_given_up(silent: str) -> None:
    pair = Joined()
    other = pair.ends(silent)[1]
    pair.wait(limits.HANDSHAKE_TIMEOUT_S + 0.1, moving=False)
    assert closed(pair.take(other)).code is Code.TIMEOUT


def test_a_wrong_peer_is_given_up_before_any_message() -> None:
    stranger = Identity.from_seed(b"z" * 32).peer_id
    pair = Joined(initiator=config(initiator=True, expected_peer=stranger))
    pair.exchange()
    assert [type(event) for event in pair.take(pair.initiator)] == [Closed]
    assert pair.initiator.state is State.CLOSED
    assert pair.initiator.peer_id is None
    assert pair.take(pair.responder) == []


def test_a_foreign_network_is_given_up() -> None:
    pair = Joined(initiator=config(initiator=True, network="elsewhere"))
    pair.exchange()
    ending = closed(pair.take(pair.initiator))
    assert ending.code is Code.HANDSHAKE_FAILED
    assert "network or version" in ending.detail


def test_a_refused_initiator_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Joined()
    pair.move(pair.initiator)
    pair.move(pair.responder)
    monkeypatch.setattr("wire.handshake.OLDEST_VERSION", 2)
    pair.exchange()
    assert closed(pair.take(pair.responder)).code is Code.VERSION
    established, ending = pair.take(pair.initiator)
    assert isinstance(established, Established)
    assert isinstance(ending, Closed)
    assert (ending.code, ending.by_peer) == (Code.VERSION, True)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\x00\x00", bytes(34)])
def test_a_speaker_of_something_else_is_given_up(data: bytes) -> None:
    side = Connection(config(initiator=False), now=0.0)
    side.receive_data(data, now=0.0)
    [ending] = side.events()
    assert isinstance(ending, Closed)
    assert ending.code in (Code.BAD_FRAME, Code.HANDSHAKE_FAILED)
    assert side.data_to_send() == []


# Messages


@pytest.mark.parametrize("speaker", SPEAKERS)
@pytest.mark.parametrize("size", [2, 64, 2048, 65_518, 70_000, 2 * 1024 * 1024])
def test_a_message_arrives_whole(speaker: str, size: int) -> None:
    pair = Joined.established()
    sent = step(size, number=7)
    [event] = pair.say(pair.ends(speaker)[0], sent)
    assert isinstance(event, MessageReceived)
    assert isinstance(event.message, Forward)
    assert event.message.step == 7
    assert event.message.body == sent.body
    assert isinstance(event.message.body, memoryview)
    assert not event.message.body.readonly


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_messages_of_a_session_keep_their_order_whatever_their_size(speaker: str) -> None:
    pair = Joined.established()
    messages = [step(size, number=number) for number, size in enumerate([MIB, 64, 64, MIB, 64])]
    assert steps(pair.say(pair.ends(speaker)[0], *messages)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_a_decode_step_overtakes_another_sessions_prefill(speaker: str) -> None:
    pair = Joined.established()
    side, other = pair.ends(speaker)
    side.send(step(MIB, number=1), now=pair.now)
    pair.move(side, 70_000)
    side.send(small(2, OTHER_SESSION), now=pair.now)
    pair.move(side, 70_000)
    assert steps(pair.take(other)) == [2]
    pair.exchange()
    assert steps(pair.take(other)) == [1]


def test_a_body_of_wider_elements_is_sent_as_its_bytes() -> None:
    pair = Joined.established()
    body = memoryview(bytearray(range(64))).cast("H")
    message = step(64)
    wide = Forward(**{name: getattr(message, name) for name in message.declaration.fields}, body=body)
    [event] = pair.say(pair.initiator, wide)
    assert isinstance(event, MessageReceived)
    assert isinstance(event.message, Forward)
    assert bytes(event.message.body) == bytes(range(64))


SIZES = st.sampled_from([2, 64, 5000, 66_000, 200_000])


@settings(max_examples=40, deadline=None)
@given(st.lists(SIZES, min_size=1, max_size=6), st.lists(st.integers(1, 90_000), min_size=1, max_size=20))
def test_any_split_of_the_byte_stream_gives_the_same_messages(sizes: list[int], cuts: list[int]) -> None:
    pair = Joined.established()
    for number, size in enumerate(sizes):
        pair.initiator.send(step(size, number=number), now=pair.now)
    data = b"".join(pair.initiator.data_to_send())
    at = 0
    for size in (*cuts, len(data)):
        pair.responder.receive_data(memoryview(data)[at : at + size], now=pair.now)
        at += size
    assert steps(pair.responder.events()) == list(range(len(sizes)))


def test_a_whole_conversation_byte_by_byte_is_the_same() -> None:
    pair = Joined()
    here, there = pair.initiator, pair.responder
    for _ in range(4):
        for side in (here, there):
            for buffer in side.data_to_send():
                for at in range(len(buffer)):
                    pair.other(side).receive_data(buffer[at : at + 1], now=pair.now)
    assert here.state is there.state is State.ESTABLISHED
    there.events()
    here.send(small(3), now=pair.now)
    for buffer in here.data_to_send():
        for at in range(len(buffer)):
            there.receive_data(buffer[at : at + 1], now=pair.now)
    assert steps(there.events()) == [3]


def test_many_small_messages_share_records() -> None:
    pair = Joined.established()
    for number in range(50):
        pair.initiator.send(small(number), now=pair.now)
    [buffer] = pair.initiator.data_to_send()
    length = int.from_bytes(buffer[:2], "big")
    assert length + 2 == len(buffer)


# Commands that the state or a bound forbids


@pytest.mark.parametrize("role", [True, False])
def test_nothing_is_sent_before_the_handshake_or_after_the_end(role: bool) -> None:
    side = Connection(config(initiator=role), now=0.0)
    with pytest.raises(IllegalState):
        side.send(small(), now=0.0)
    side.close(Code.SHUTTING_DOWN, now=0.0)
    with pytest.raises(IllegalState, match="closed"):
        side.send(small(), now=0.0)


@pytest.mark.parametrize(
    "message", [Ping(nonce=0), Ack(count=0), Goodbye(code=1, detail=""), Unsupported(id=1)]
)
def test_the_connections_own_messages_are_not_for_callers(message: Message) -> None:
    pair = Joined.established()
    with pytest.raises(InvalidValue, match="itself"):
        pair.initiator.send(message, now=pair.now)


def test_a_message_longer_than_a_peer_accepts_is_refused_and_harmless() -> None:
    pair = Joined.established()
    with pytest.raises(InvalidValue, match="at most"):
        pair.initiator.send(step(limits.MAX_MESSAGE_BYTES), now=pair.now)
    assert steps(pair.say(pair.initiator, small(1))) == [1]


def test_a_peer_that_does_not_read_fills_a_bounded_queue() -> None:
    pair = Joined.established()
    for number in range(200):
        pair.initiator.send(step(MIB, number=number), now=pair.now)
        if pair.initiator.state is State.CLOSED:
            break
    assert pair.initiator.pending_bytes < limits.MAX_HEADER_BYTES
    ending = closed(pair.initiator.events())
    assert ending.code is Code.TIMEOUT
    assert "does not read" in ending.detail
    assert number * MIB <= limits.SEND_QUEUE_BYTES + 2 * MIB


# Ending


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_a_goodbye_reaches_the_peer_after_what_is_urgent(speaker: str) -> None:
    pair = Joined.established()
    side, other = pair.ends(speaker)
    side.send(step(MIB, number=1, session=OTHER_SESSION), now=pair.now)
    side.send(small(2), now=pair.now)
    side.close(Code.DRAINING, "back\nsoon " + "x" * 300, now=pair.now)
    pair.exchange()
    message, ending = pair.take(other)
    assert steps([message]) == [2]
    assert isinstance(ending, Closed)
    assert (ending.code, ending.by_peer) == (Code.DRAINING, True)
    assert ending.detail.startswith("back soon x")
    assert closed(pair.take(side)).by_peer is False


def test_closing_twice_is_one_end() -> None:
    pair = Joined.established()
    pair.initiator.close(Code.IDLE, now=pair.now)
    pair.initiator.close(Code.SHUTTING_DOWN, now=pair.now)
    pair.initiator.receive_eof(now=pair.now)
    assert closed(pair.initiator.events()).code is Code.IDLE
    assert pair.initiator.next_timeout() is None


def test_a_stream_that_ends_without_a_goodbye_is_a_lost_connection() -> None:
    pair = Joined.established()
    pair.initiator.receive_eof(now=pair.now)
    ending = closed(pair.initiator.events())
    assert (ending.code, ending.by_peer) == (Code.CONNECTION_LOST, True)


def test_a_goodbye_with_a_code_from_the_future_still_ends_it() -> None:
    pair = Joined.established()
    slip(pair.initiator, Goodbye(code=9999, detail="new words"))
    pair.exchange()
    ending = closed(pair.take(pair.responder))
    assert ending.code is Code.CONNECTION_LOST
    assert ending.detail == "new words (code 9999)"


def test_nothing_after_a_goodbye_is_read() -> None:
    pair = Joined.established()
    slip(pair.initiator, Goodbye(code=1, detail=""))
    pair.initiator.send(small(), now=pair.now)
    pair.exchange()
    assert [type(event) for event in pair.take(pair.responder)] == [Closed]


# Newer peers


def test_an_unknown_message_is_answered_and_ignored() -> None:
    pair = Joined.established()
    slip_raw(pair.initiator, dumps({"t": 999, "x": [1, 2]}), b"body")
    pair.exchange()
    assert pair.take(pair.responder) == []
    assert pair.take(pair.initiator) == [MessageReceived(Unsupported(id=999))]
    assert steps(pair.say(pair.initiator, small(5))) == [5]


def test_unknown_fields_are_ignored() -> None:
    pair = Joined.established()
    slip_raw(pair.initiator, dumps({"t": 37, "session": SESSION.raw, "reason": "tomorrow's field"}))
    pair.exchange()
    assert pair.take(pair.responder) == [MessageReceived(bodyless())]


@pytest.mark.parametrize(
    "header", [dumps({"t": 999}), codec.encode(Ping(nonce=1))[0], codec.encode(Ack(count=0))[0]]
)
def test_a_flood_of_link_messages_ends_the_link(header: bytes) -> None:
    pair = Joined.established()
    for _ in range(limits.CHATTER_BURST + 1):
        slip_raw(pair.initiator, header)
    pair.exchange()
    assert closed(pair.take(pair.responder)).code is Code.FLOODING
    assert closed(pair.take(pair.initiator)).code is Code.FLOODING


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"\xff", b""),
        (dumps([1]), b""),
        (dumps({}), b""),
        (dumps({"t": -1}), b""),
        (dumps({"t": 37}), b""),
        (dumps({"t": 37, "session": b"short"}), b""),
        (dumps({"t": 37, "session": bytes(16)}), b"a body it must not have"),
        (dumps({"t": 48}), b""),
        (b"\xa1\x61t\xc2\x41\x01", b""),
    ],
)
def test_a_malformed_message_ends_the_link_and_both_sides_know_why(header: bytes, body: bytes) -> None:
    pair = Joined.established()
    slip_raw(pair.initiator, header, body)
    pair.exchange()
    assert closed(pair.take(pair.responder)).code is Code.BAD_MESSAGE
    ending = closed(pair.take(pair.initiator))
    assert (ending.code, ending.by_peer) == (Code.BAD_MESSAGE, True)
