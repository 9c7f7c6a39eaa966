from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import (
    CipherError,
    CryptoError,
    DecryptionFailed,
    HandshakeError,
    HandshakeFailed,
    MessageTooLong,
    OutOfTurn,
)
from crypto.keys import KeyPair
from crypto.noise.cipher import MAX_MESSAGE_BYTES
from crypto.noise.handshake import PATTERN, PROTOCOL_NAME, Handshake
from tests.fakes.handshakes import PAYLOADS, PROLOGUE, Pair, key_pair, new_pair

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "specs" / "vectors" / "noise_xx.json").read_text(encoding="utf-8")
)
OVERHEAD = (32, 32 + 48 + 16, 48 + 16)
"""Bytes of each message beside its payload."""
MESSAGES = range(len(PATTERN))


def assert_closed(handshake: Handshake) -> None:
    """After a failure nothing works, not even what would have worked before."""
    assert not handshake.complete
    assert not handshake.writes_next
    for call in (
        lambda: handshake.write_message(b""),
        lambda: handshake.read_message(new_pair(after=1).messages[0]),
        handshake.split,
        lambda: handshake.remote_static,
    ):
        with pytest.raises(OutOfTurn):
            call()


def deliver(pair: Pair, message: bytes) -> None:
    """Hand `message` over in place of the one just written, then go on untouched until someone refuses."""
    _, receiver = pair.turn(len(pair.messages))
    receiver.read_message(message)
    pair.messages.append(message)
    pair.advance(len(PATTERN) - len(pair.messages))


@pytest.mark.parametrize("vector", VECTORS["handshakes"], ids=lambda vector: vector["name"])
def test_handshakes_and_transports_equal_the_vectors(vector: dict[str, Any]) -> None:
    sides = {
        side: Handshake(
            initiator=side == "initiator",
            static=KeyPair.from_seed(bytes.fromhex(vector[f"{side}_static_seed"])),
            ephemeral=KeyPair.from_seed(bytes.fromhex(vector[f"{side}_ephemeral_seed"])),
            prologue=bytes.fromhex(vector["prologue"]),
        )
        for side in ("initiator", "responder")
    }
    other = {"initiator": "responder", "responder": "initiator"}
    for step in vector["messages"]:
        assert sides[step["sender"]].writes_next
        message = sides[step["sender"]].write_message(bytes.fromhex(step["payload"]))
        assert message.hex() == step["message"]
        assert sides[other[step["sender"]]].read_message(message).hex() == step["payload"]
    keys = {side: handshake.split() for side, handshake in sides.items()}
    assert {each.handshake_hash.hex() for each in keys.values()} == {vector["handshake_hash"]}
    for step in vector["transport"]:
        if "rekey" in step:
            keys[step["rekey"]].send.rekey()
            keys[other[step["rekey"]]].receive.rekey()
            continue
        ciphertext = keys[step["sender"]].send.encrypt(b"", bytes.fromhex(step["plaintext"]))
        assert ciphertext.hex() == step["ciphertext"]
        assert keys[other[step["sender"]]].receive.decrypt(b"", ciphertext).hex() == step["plaintext"]


def test_the_vectors_are_of_this_protocol() -> None:
    assert VECTORS["protocol_name"] == PROTOCOL_NAME.decode()


def test_both_sides_learn_each_others_static_key_and_agree_on_the_hash() -> None:
    pair = new_pair(after=3)
    assert pair.initiator.remote_static == key_pair("responder static ").public
    assert pair.responder.remote_static == key_pair("initiator static ").public
    ours, theirs = pair.split()
    assert ours.handshake_hash == theirs.handshake_hash
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        assert receiver.receive.decrypt(b"", sender.send.encrypt(b"", b"text")) == b"text"


def test_the_two_directions_have_different_keys() -> None:
    ours, theirs = new_pair(after=3).split()
    assert ours.send.encrypt(b"", b"text") != theirs.send.encrypt(b"", b"text")
    with pytest.raises(DecryptionFailed):
        ours.receive.decrypt(b"", ours.send.encrypt(b"", b"reflected"))


@pytest.mark.parametrize("done", range(4))
def test_each_side_knows_whose_turn_it_is(done: int) -> None:
    pair = new_pair(after=done)
    assert pair.initiator.writes_next == (done in {0, 2})
    assert pair.responder.writes_next == (done == 1)
    assert pair.initiator.complete == pair.responder.complete == (done == 3)


ILLEGAL: dict[str, Callable[[Handshake], object]] = {
    "write": lambda handshake: handshake.write_message(b""),
    "read": lambda handshake: handshake.read_message(bytes(100)),
    "split": lambda handshake: handshake.split(),
}


@pytest.mark.parametrize("done", range(4))
@pytest.mark.parametrize("initiator", [True, False], ids=["initiator", "responder"])
@pytest.mark.parametrize("call", ILLEGAL)
def test_every_call_out_of_turn_is_refused(done: int, initiator: bool, call: str) -> None:
    pair = new_pair(after=done)
    side = pair.initiator if initiator else pair.responder
    legal = "split" if side.complete else "write" if side.writes_next else "read"
    if call == legal:
        return
    with pytest.raises(OutOfTurn):
        ILLEGAL[call](side)
    assert_closed(side)


def test_a_handshake_splits_once_so_that_no_nonce_serves_twice() -> None:
    pair = new_pair(after=3)
    pair.split()
    with pytest.raises(OutOfTurn):
        pair.initiator.split()
    assert_closed(pair.initiator)


@pytest.mark.parametrize("number", MESSAGES)
def test_a_message_altered_in_any_byte_fails_the_handshake(number: int) -> None:
    for position in range(OVERHEAD[number] + len(PAYLOADS[number])):
        pair = new_pair(after=number)
        sender, receiver = pair.turn(number)
        altered = bytearray(sender.write_message(PAYLOADS[number]))
        altered[position] ^= 0x80
        if number == 0:
            # Nothing in message 1 is authenticated yet: message 2 is what does not fit.
            receiver.read_message(altered)
            pair.messages.append(bytes(altered))
            with pytest.raises(HandshakeFailed) as caught:
                pair.advance(1)
            assert caught.value.message_number == 2
            assert_closed(sender)
            continue
        with pytest.raises(HandshakeFailed) as caught:
            receiver.read_message(altered)
        assert caught.value.message_number == number + 1
        assert_closed(receiver)


@pytest.mark.parametrize("number", MESSAGES)
def test_a_message_of_any_shorter_length_fails_the_handshake(number: int) -> None:
    message = new_pair(after=number + 1).messages[number]
    for length in range(len(message)):
        pair = new_pair(after=number)
        _, receiver = pair.turn(number)
        with pytest.raises(HandshakeFailed):
            receiver.read_message(message[:length])
        assert_closed(receiver)


@pytest.mark.parametrize("number", MESSAGES)
@pytest.mark.parametrize("extra", [b"\0", bytes(16), bytes(100)], ids=len)
def test_a_message_with_bytes_added_fails_the_handshake(number: int, extra: bytes) -> None:
    pair = new_pair(after=number)
    sender, receiver = pair.turn(number)
    message = sender.write_message(PAYLOADS[number])
    with pytest.raises(HandshakeFailed):
        deliver(pair, message + extra)
    assert_closed(receiver if number else sender)


@pytest.mark.parametrize("number", MESSAGES)
@pytest.mark.parametrize("foreign", MESSAGES)
def test_a_message_of_another_handshake_fails_this_one(number: int, foreign: int) -> None:
    """Replayed, reordered and reflected messages are all of this kind."""
    recorded = new_pair(after=3, name="recorded").messages[foreign]
    pair = new_pair(after=number)
    sender, receiver = pair.turn(number)
    sender.write_message(PAYLOADS[number])
    with pytest.raises(HandshakeFailed):
        deliver(pair, recorded)
    assert_closed(receiver if number else sender)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("own", MESSAGES)
def test_a_message_of_this_handshake_in_another_place_fails_it(number: int, own: int) -> None:
    if own == number:
        return
    message = new_pair(after=3).messages[own]
    pair = new_pair(after=number)
    _, receiver = pair.turn(number)
    with pytest.raises(HandshakeFailed):
        receiver.read_message(message)
    assert_closed(receiver)


def test_another_prologue_fails_the_handshake() -> None:
    pair = new_pair(after=1, responder_prologue=PROLOGUE + b"!")
    with pytest.raises(HandshakeFailed, match="message 2"):
        pair.advance(1)
    assert_closed(pair.initiator)


def test_transport_messages_of_another_connection_are_refused() -> None:
    ours, _ = new_pair(after=3).split()
    _, theirs = new_pair(after=3, name="other").split()
    with pytest.raises(DecryptionFailed):
        theirs.receive.decrypt(b"", ours.send.encrypt(b"", b"text"))


@pytest.mark.parametrize("number", MESSAGES)
def test_a_message_may_be_65535_bytes_and_no_more(number: int) -> None:
    room = MAX_MESSAGE_BYTES - OVERHEAD[number]
    for size in (room, room + 1):
        sender, receiver = new_pair(after=number).turn(number)
        if size == room:
            message = sender.write_message(bytes(size))
            assert len(message) == MAX_MESSAGE_BYTES
            assert receiver.read_message(message) == bytes(size)
            continue
        with pytest.raises(MessageTooLong):
            sender.write_message(bytes(size))
        assert_closed(sender)
        with pytest.raises(MessageTooLong):
            receiver.read_message(bytes(MAX_MESSAGE_BYTES + 1))
        assert_closed(receiver)


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little")], ids=["zero", "one"])
def test_an_ephemeral_key_whose_secret_is_known_is_refused(point: bytes) -> None:
    responder = new_pair().responder
    responder.read_message(point)
    with pytest.raises(HandshakeFailed, match="low-order"):
        responder.write_message(b"")
    assert_closed(responder)
    initiator = new_pair(after=1).initiator
    with pytest.raises(HandshakeFailed, match="low-order"):
        initiator.read_message(point + bytes(64))
    assert_closed(initiator)


@given(st.sampled_from(MESSAGES), st.binary(max_size=200) | st.binary(min_size=64, max_size=300))
def test_any_bytes_are_read_as_a_first_message_or_refused_with_a_typed_error(
    number: int, data: bytes
) -> None:
    _, receiver = new_pair(after=number).turn(number)
    try:
        payload = receiver.read_message(data)
    except HandshakeFailed:
        assert_closed(receiver)
        return
    assert number == 0
    assert payload == data[32:]


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=120)), max_size=6))
def test_any_order_of_calls_with_any_bytes_gives_typed_errors_and_never_a_connection(
    calls: list[tuple[bool, bytes]],
) -> None:
    handshake = new_pair().responder
    for writes, data in calls:
        try:
            _ = handshake.write_message(data) if writes else handshake.read_message(data)
        except CryptoError as error:
            assert isinstance(error, HandshakeError | CipherError)
            assert_closed(handshake)
        assert not handshake.complete


@given(st.tuples(*[st.binary(max_size=300)] * 3))
def test_payloads_arrive_as_they_were_sent(payloads: tuple[bytes, bytes, bytes]) -> None:
    pair = new_pair()
    for number, payload in enumerate(payloads):
        sender, receiver = pair.turn(number)
        assert receiver.read_message(memoryview(sender.write_message(bytearray(payload)))) == payload
    assert pair.initiator.complete


def test_only_the_first_payload_is_readable_on_the_way() -> None:
    pair = new_pair()
    for number in MESSAGES:
        sender, receiver = pair.turn(number)
        message = sender.write_message(b"a readable payload")
        receiver.read_message(message)
        assert (b"a readable payload" in message) == (number == 0)
        assert key_pair("initiator static ").public not in message
        assert key_pair("responder static ").public not in message


def test_the_static_key_is_unknown_until_it_is_proved() -> None:
    for done, side in ((1, "initiator"), (2, "responder")):
        pair = new_pair(after=done)
        with pytest.raises(OutOfTurn):
            _ = getattr(pair, side).remote_static


def test_a_finished_handshake_keeps_no_private_key() -> None:
    pair = new_pair(after=3)
    assert not pair.initiator._own
    assert not pair.responder._own


def test_a_printed_handshake_shows_no_key() -> None:
    assert repr(new_pair(after=2).initiator) == "Handshake(initiator, messages=2, failed=False)"
