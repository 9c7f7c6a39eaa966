"""Requests that contradict themselves, and how a session's messages look in CBOR."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.identity import PeerId
from tests.fakes.lone_session import MIDDLE, TAIL
from tests.fakes.session_chain import PEERS, opens
from wire import codec
from wire.cbor import loads
from wire.errors import BadMessage
from wire.messages.session import Delivery, Open, check_open
from wire.types import Address, Relayed, Sampling, SessionId


@pytest.mark.parametrize(
    "bad",
    [
        replace(MIDDLE, next_peer=None),
        replace(MIDDLE, next_address=None),
        replace(MIDDLE, next_session=None),
        replace(MIDDLE, next_session=MIDDLE.session),
        replace(MIDDLE, sampling=Sampling()),
        replace(MIDDLE, logprobs=1),
        replace(MIDDLE, positions=0),
        replace(TAIL, sampling=None),
        replace(TAIL, next_peer=PEERS[0]),
        replace(TAIL, next_session=SessionId(bytes(16))),
        replace(TAIL, next_address=Address("127.0.0.1", 1)),
        replace(TAIL, delivery=Delivery.HIDDEN),
        replace(TAIL, delivery=Delivery.HIDDEN, sampling=None, logprobs=3),
        replace(TAIL, positions=0),
    ],
)
def test_a_request_that_contradicts_itself_is_a_bad_message(bad: Open) -> None:
    with pytest.raises(BadMessage, match=r"^open: "):
        check_open(bad)


@pytest.mark.parametrize("delivery", [Delivery.TOKENS, Delivery.HIDDEN])
def test_the_requests_of_a_route_are_sound(delivery: Delivery) -> None:
    for request in opens(delivery):
        check_open(request)


def test_an_absent_field_is_left_out_of_the_header() -> None:
    raw = loads(codec.encode(TAIL)[0])
    assert not {"next_peer", "next_address", "next_session"} & set(raw)
    assert loads(codec.encode(MIDDLE)[0])["next_address"] == "127.0.0.1:7001"


def test_values_travel_as_their_bytes_and_enumerations_by_name() -> None:
    raw = loads(codec.encode(MIDDLE)[0])
    assert raw["session"] == MIDDLE.session.raw
    assert raw["model"] == MIDDLE.model.digest
    assert raw["upstream"] == MIDDLE.upstream.raw
    assert raw["layers"] == [1, 2]
    assert (raw["delivery"], raw["dtype"]) == ("next", "f32")


def test_a_next_hop_may_be_behind_a_relay() -> None:
    relay = PeerId(b"r" * 32)
    assert MIDDLE.next_address is not None
    assert MIDDLE.next_where == MIDDLE.next_address
    assert replace(MIDDLE, next_relay=relay).next_where == Relayed(relay, MIDDLE.next_address)
    assert TAIL.next_where is None
    check_open(replace(MIDDLE, next_relay=relay))
    for bad in (replace(MIDDLE, next_relay=MIDDLE.next_peer), replace(TAIL, next_relay=relay)):
        with pytest.raises(BadMessage):
            check_open(bad)
