"""What one DHT node writes another reads; nothing else is read; no answer outgrows three times its request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.make_record_vectors import ANSWERS, HOST, NODE, NONCE, OTHER, REQUESTS, TOKEN, V4
from wire import limits
from wire.cbor import dumps, loads
from wire.datagrams import (
    HEAD_BYTES,
    SEAL_BYTES,
    answer_room,
    read_answer,
    read_head,
    read_request,
    write_answer,
    write_knock,
    write_request,
)
from wire.dht_messages import Answer, Find, Found, Kind, Request, Store
from wire.endpoints import network_tag
from wire.errors import BadMessage, InvalidValue
from wire.records import Forged

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "specs" / "vectors" / "datagrams.json").read_text(encoding="utf-8")
)
TAG = network_tag("main")
TRANSACTION = bytes(range(8))
REQUEST_BYTES = [write_request(one, tag=TAG, transaction=TRANSACTION) for one in REQUESTS]
ANSWER_BYTES = [write_answer(one, HOST, tag=TAG, transaction=TRANSACTION) for one in ANSWERS]


def head_of(data: bytes) -> bytes:
    return data[:HEAD_BYTES]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda one: type(one).__name__)
def test_a_request_survives_a_round_trip(request_: Request) -> None:
    data = write_request(request_, tag=TAG, transaction=TRANSACTION)
    head = read_head(data, TAG)
    assert not head.is_answer
    assert head.transaction == TRANSACTION
    assert read_request(data, head) == request_


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda one: type(one).__name__)
def test_an_answer_survives_a_round_trip_with_its_writer(answer: Answer) -> None:
    data = write_answer(answer, HOST, tag=TAG, transaction=TRANSACTION)
    head = read_head(data, TAG)
    assert head.is_answer
    assert read_answer(data, head) == (HOST.public_key, answer)


@given(
    st.integers(0, (1 << 64) - 1),
    st.booleans(),
    st.booleans(),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, limits.MAX_ANSWER_RECORDS),
    st.none() | st.integers(0, (1 << 64) - 1),
)
def test_every_find_and_found_in_bounds_survives(
    cursor: int, contacts: bool, v6: bool, total: int, records: int, following: int | None
) -> None:
    find = Find(sender=NODE, serves=True, key=NODE, cursor=cursor, contacts=contacts, v4=not v6, v6=v6)
    data = write_request(find, tag=TAG, transaction=TRANSACTION)
    assert read_request(data, read_head(data, TAG)) == find
    found = Found(
        observed=V4,
        token=TOKEN,
        total=total % limits.MAX_STORED_RECORDS,
        next=following,
        contacts=(OTHER,) * (total % (limits.MAX_ANSWER_CONTACTS + 1)),
        records=(b"r" * 30,) * records,
    )
    data = write_answer(found, HOST, tag=TAG, transaction=TRANSACTION)
    assert read_answer(data, read_head(data, TAG))[1] == found


def test_answers_without_records_have_at_most_thrice_the_bytes_of_their_requests() -> None:
    for request, answer in zip(REQUEST_BYTES, ANSWER_BYTES, strict=True):
        assert len(answer) <= answer_room(len(request)), request[1]
    assert len(REQUEST_BYTES[0]) >= limits.REQUEST_BYTES
    assert len(REQUEST_BYTES[1]) >= limits.FIND_REQUEST_BYTES
    assert answer_room(limits.FIND_REQUEST_BYTES) == limits.MAX_DATAGRAM_BYTES
    assert answer_room(96) == 288


def test_a_request_that_is_too_long_is_not_made() -> None:
    with pytest.raises(InvalidValue):
        write_request(
            Store(sender=NODE, serves=True, token=TOKEN, record=bytes(1300)), tag=TAG, transaction=bytes(8)
        )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(17),
        REQUEST_BYTES[0][:HEAD_BYTES],
        bytes((0x4D,)) + REQUEST_BYTES[0][1:],
        bytes((0x4C, 9)) + REQUEST_BYTES[0][2:],
        REQUEST_BYTES[1] + bytes(1280),
        write_request(REQUESTS[0], tag=network_tag("other"), transaction=TRANSACTION),
    ],
)
def test_what_is_not_of_this_protocol_and_network_is_refused_by_its_head(data: bytes) -> None:
    with pytest.raises(BadMessage):
        read_head(data, TAG)


@settings(max_examples=200)
@given(st.sampled_from(ANSWER_BYTES), st.data())
def test_an_answer_with_any_byte_changed_is_refused(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[at] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(BadMessage):
        read_answer(bytes(changed), read_head(bytes(changed), TAG))


def test_an_answer_cannot_be_passed_off_as_anothers_or_for_another_question() -> None:
    pong = ANSWER_BYTES[0]
    other = pong[:10] + bytes(8) + pong[18:]
    with pytest.raises(Forged):
        read_answer(other, read_head(other, TAG))
    elsewhere = write_answer(ANSWERS[0], HOST, tag=network_tag("other"), transaction=TRANSACTION)
    disguised = head_of(pong) + elsewhere[HEAD_BYTES:]
    with pytest.raises(Forged):
        read_answer(disguised, read_head(disguised, TAG))


@pytest.mark.parametrize("number", range(len(REQUESTS)))
@pytest.mark.parametrize("value", [None, -1, 1 << 64, "text", [], {}, 1.5, b"odd"])
def test_a_request_with_a_wrong_value_is_refused(number: int, value: object) -> None:
    data = REQUEST_BYTES[number]
    arguments = loads(data[HEAD_BYTES:], max_bytes=1280)
    for at in range(len(arguments)):
        allowed = value == b"odd" and (at == len(arguments) - 1 or (number == 2 and at == 3))
        if allowed:
            continue
        changed = [*arguments[:at], value, *arguments[at + 1 :]]
        with pytest.raises(BadMessage):
            read_request(head_of(data) + dumps(changed), read_head(data, TAG))
    for wrong in ([], arguments[:2], [*arguments, b""], [*arguments[:-1], b"", b"", b"", b""], {"a": 1}, 7):
        with pytest.raises(BadMessage):
            read_request(head_of(data) + dumps(wrong), read_head(data, TAG))


@pytest.mark.parametrize("number", range(len(ANSWERS)))
@pytest.mark.parametrize(
    "value", [-1, 1 << 64, "text", [b"x"], [b"x" * 401], [OTHER] * 0 + [b""] * 9, {}, 1.5, b"odd"]
)
def test_a_signed_answer_with_a_wrong_value_is_refused(number: int, value: object) -> None:
    data = ANSWER_BYTES[number]
    values = loads(data[HEAD_BYTES:-SEAL_BYTES], max_bytes=1280)
    for at in range(len(values)):
        if number == 1 and at == 5 and value == [b"x"]:
            continue
        changed = [*values[:at], value, *values[at + 1 :]]
        body = head_of(data) + dumps(changed) + HOST.public_key
        sealed = body + HOST.sign("lamella-dht-answer/1", body)
        with pytest.raises(BadMessage):
            read_answer(sealed, read_head(data, TAG))


def test_requests_and_answers_are_not_taken_for_each_other() -> None:
    for data in REQUEST_BYTES:
        with pytest.raises(BadMessage):
            read_answer(data, read_head(data, TAG))
    for data in ANSWER_BYTES:
        with pytest.raises(BadMessage):
            read_request(data, read_head(data, TAG))


def test_a_knock_is_its_nonce() -> None:
    data = write_knock(tag=TAG, nonce=NONCE)
    head = read_head(data, TAG)
    assert (head.kind, head.transaction, head.is_answer) == (Kind.KNOCK, NONCE, False)
    with pytest.raises(BadMessage):
        read_request(data, head)
    with pytest.raises(InvalidValue):
        write_knock(tag=TAG, nonce=b"short")


@pytest.mark.parametrize("vector", VECTORS["datagrams"], ids=lambda one: one["name"])
def test_the_vectors_are_read(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["bytes"])
    head = read_head(data, bytes.fromhex(VECTORS["tag"]))
    if head.kind is Kind.KNOCK:
        return
    value = read_answer(data, head)[1] if head.is_answer else read_request(data, head)
    assert type(value).__name__.lower() == vector["name"]
