"""Questions and answers about reachability, in their bounds."""

from __future__ import annotations

import pytest

from wire import codec, limits
from wire.errors import BadMessage
from wire.frames import RECORD_OVERHEAD_BYTES, message_head
from wire.messages.reach import DialBack, DialledBack, Outcome, Proof, Transport
from wire.types import Address

NONCE = bytes(range(16))


def test_a_question_and_its_answer_come_through() -> None:
    for message in (
        DialBack(nonce=NONCE, transport=Transport.TCP, port=65_535),
        DialledBack(nonce=NONCE, address=Address("2001:db8::1", 7311), outcome=Outcome.UNREACHED),
        Proof(nonce=NONCE),
    ):
        assert codec.decode(*codec.encode(message)) == message


def test_a_question_is_larger_than_the_datagrams_it_can_cause() -> None:
    header, _ = codec.encode(DialBack(nonce=NONCE, transport=Transport.UDP, port=1024))
    question = len(message_head(header, 0)) + RECORD_OVERHEAD_BYTES
    assert question >= limits.PROBE_DATAGRAMS * 32


def test_a_nonce_of_another_length_is_refused() -> None:
    header, _ = codec.encode(Proof(nonce=NONCE[:-1]))
    with pytest.raises(BadMessage):
        codec.decode(header, b"")


def test_protocol_numbers_are_ianas() -> None:
    assert (Transport.TCP.number, Transport.UDP.number) == (6, 17)
