"""Cutting byte streams into records and messages: any split, any bytes, bounded memory."""

from __future__ import annotations

import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wire import codec, limits
from wire.cbor import dumps
from wire.codes import Code
from wire.errors import BadFrame, InvalidValue
from wire.frames import Assembler, RecordCutter, message_head
from wire.messages.link import Ack, Ping

MESSAGES = st.lists(st.tuples(st.binary(min_size=1, max_size=200), st.binary(max_size=300)), max_size=6)


def stream_of(messages: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(message_head(header, len(body)) + body for header, body in messages)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def read_all(fragments: list[bytes]) -> list[tuple[bytes, bytes]]:
    assembler = Assembler()
    return [
        (bytes(header), bytes(body))
        for fragment in fragments
        for header, body in assembler.feed(memoryview(fragment))
    ]


@given(MESSAGES, st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_of_a_lane_gives_the_same_messages(
    messages: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    assert read_all(pieces(stream_of(messages), cuts)) == messages


def test_a_lane_split_at_every_single_byte_gives_the_same_messages() -> None:
    messages = [(b"a", b""), (b"bb" * 40, b"x" * 130), (b"c", b"y")]
    data = stream_of(messages)
    assert read_all([data[i : i + 1] for i in range(len(data))]) == messages


@pytest.mark.parametrize("header_bytes", [1, 57, 58, 59, 121, 122, 123, limits.MAX_HEADER_BYTES])
def test_a_body_starts_at_an_aligned_offset_of_its_own_writable_buffer(header_bytes: int) -> None:
    head = message_head(b"h" * header_bytes, 5)
    assert len(head) % limits.BODY_ALIGNMENT_BYTES == 0
    [(header, body)] = Assembler().feed(memoryview(head + b"12345"))
    assert (bytes(header), bytes(body)) == (b"h" * header_bytes, b"12345")
    assert body.obj is header.obj
    assert not body.readonly


def test_messages_of_one_fragment_do_not_share_a_buffer() -> None:
    frames = Assembler().feed(memoryview(stream_of([(b"a", b"1"), (b"b", b"2")])))
    frames[0][1][0] = 0xFF
    assert bytes(frames[1][1]) == b"2"


def test_a_fragment_may_be_reused_once_fed() -> None:
    fragment = bytearray(stream_of([(b"a", b"1")]))
    frames = Assembler().feed(memoryview(fragment))
    fragment[:] = bytes(len(fragment))
    assert bytes(frames[0][1]) == b"1"


def test_a_message_without_a_body_has_no_padding() -> None:
    assert message_head(b"abc", 0) == b"\x00\x00\x00\x09\x00\x03abc"


@pytest.mark.parametrize(
    ("size", "header_bytes"),
    [
        (limits.MAX_MESSAGE_BYTES + 1, 10),
        ((1 << 32) - 1, 10),
        (100, 0),
        (6, 0),
        (0, 0),
        (0, 10),
        (15, 10),
        (17, 10),
        (64, 10),
        (6000, limits.MAX_HEADER_BYTES + 1),
        (6000, 0xFFFF),
    ],
)
def test_sizes_out_of_bounds_are_refused_before_their_bytes_arrive(size: int, header_bytes: int) -> None:
    with pytest.raises(BadFrame):
        Assembler().feed(memoryview(struct.pack(">IH", size, header_bytes)))


def test_too_long_a_message_says_so() -> None:
    with pytest.raises(BadFrame) as raised:
        Assembler().feed(memoryview(struct.pack(">IH", limits.MAX_MESSAGE_BYTES + 1, 10)))
    assert raised.value.code is Code.TOO_LARGE


@pytest.mark.parametrize("at", [16, 40, 63])
def test_padding_that_is_not_zero_is_refused(at: int) -> None:
    data = bytearray(stream_of([(b"h" * 10, b"body")]))
    data[at] = 1
    with pytest.raises(BadFrame, match="padding"):
        Assembler().feed(memoryview(data))


def test_an_announced_message_holds_only_the_memory_that_arrived() -> None:
    assembler = Assembler()
    assembler.feed(memoryview(struct.pack(">IH", limits.MAX_MESSAGE_BYTES, 10)))
    assert assembler.incomplete
    assert assembler.received_bytes == 6
    assert len(assembler._buffer) == 6


@given(st.lists(st.binary(max_size=400), max_size=8))
def test_any_fragments_give_messages_or_bad_frame(fragments: list[bytes]) -> None:
    try:
        read_all(fragments)
    except BadFrame as error:
        assert error.code in (Code.BAD_FRAME, Code.TOO_LARGE)


@pytest.mark.parametrize(
    ("header_bytes", "body_bytes"),
    [
        (0, 4),
        (limits.MAX_HEADER_BYTES + 1, 4),
        (10, limits.MAX_MESSAGE_BYTES),
        (10, limits.MAX_MESSAGE_BYTES - 63),
    ],
)
def test_our_own_messages_past_the_bounds_are_refused(header_bytes: int, body_bytes: int) -> None:
    with pytest.raises(InvalidValue):
        message_head(b"h" * header_bytes, body_bytes)


def test_the_longest_message_is_accepted() -> None:
    head = message_head(b"h" * 10, limits.MAX_MESSAGE_BYTES - 64)
    assembler = Assembler()
    assert assembler.feed(memoryview(head)) == []
    [(_, body)] = assembler.feed(memoryview(bytes(limits.MAX_MESSAGE_BYTES - 64)))
    assert len(body) == limits.MAX_MESSAGE_BYTES - 64
    assert not assembler.incomplete


def records_of(bodies: list[bytes]) -> bytes:
    return b"".join(len(body).to_bytes(2, "big") + body for body in bodies)


@settings(max_examples=200)
@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.lists(st.integers(0, 10_000), max_size=12)
)
def test_any_split_of_the_stream_gives_the_same_records(bodies: list[bytes], cuts: list[int]) -> None:
    cutter = RecordCutter()
    found = [bytes(record) for piece in pieces(records_of(bodies), cuts) for record in cutter.feed(piece)]
    assert found == bodies
    assert cutter.buffered_bytes == 0


def test_a_cutter_holds_at_most_one_record() -> None:
    cutter = RecordCutter()
    data = records_of([b"x" * limits.MAX_NOISE_MESSAGE_BYTES] * 3)
    for at in range(0, len(data), 1000):
        for _ in cutter.feed(data[at : at + 1000]):
            pass
        assert cutter.buffered_bytes <= limits.MAX_NOISE_MESSAGE_BYTES + 2


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("length", [0, 31, 33, 0x4745])
def test_a_length_that_is_not_expected_is_refused_at_its_second_byte(length: int, split: bool) -> None:
    cutter = RecordCutter()
    cutter.expect(32, 32)
    data = length.to_bytes(2, "big")
    with pytest.raises(BadFrame, match="32 to 32"):
        for piece in [data[:1], data[1:]] if split else [data]:
            list(cutter.feed(piece))


def test_what_is_expected_may_change_between_two_records_of_one_read() -> None:
    cutter = RecordCutter()
    cutter.expect(1, 1)
    found = []
    for record in cutter.feed(records_of([b"a", b"bc"])):
        found.append(bytes(record))
        cutter.expect(2, 2)
    assert found == [b"a", b"bc"]


def test_the_specifications_examples_are_what_the_code_writes() -> None:
    text = (Path(__file__).parents[2] / "specs" / "wire.md").read_text(encoding="utf-8").replace(" ", "")
    ack, ping = (codec.encode(message)[0] for message in (Ack(count=3), Ping(nonce=7)))
    assert (b"\x00" + message_head(ack, 0) + message_head(ping, 0)).hex() in text
    assert (message_head(dumps({"t": 99}), 4) + b"\x01\x02\x03\x04").hex() in text
