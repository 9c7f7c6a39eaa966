"""What relays say, in its bounds."""

from __future__ import annotations

import pytest

from wire import codec, limits
from wire.errors import BadMessage
from wire.frames import message_head
from wire.messages.relay import RelayCredit, RelayData, RelayReserved

CIRCUIT = bytes(16)


def test_a_full_piece_of_data_is_urgent_so_that_nothing_overtakes_it() -> None:
    header, body = codec.encode(RelayData(circuit=CIRCUIT, body=bytes(limits.RELAY_DATA_BYTES)))
    assert len(message_head(header, len(body))) + len(body) <= limits.URGENT_MESSAGE_BYTES


def test_credit_beyond_the_window_is_refused() -> None:
    header, _ = codec.encode(RelayCredit(circuit=CIRCUIT, taken=limits.RELAY_WINDOW_BYTES + 1))
    with pytest.raises(BadMessage):
        codec.decode(header, b"")


def test_a_reservation_longer_than_a_day_is_refused() -> None:
    reserved = RelayReserved(
        expires=1, lifetime_s=limits.MAX_RESERVATION_SECONDS + 1, circuits=1, circuit_bytes=1, circuit_s=1,
        key=bytes(32), signature=bytes(64),
    )  # fmt: skip
    with pytest.raises(BadMessage):
        codec.decode(*codec.encode(reserved))
