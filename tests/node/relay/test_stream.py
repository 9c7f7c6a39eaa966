"""A circuit as a transport: order, back-pressure, and every way to end."""

from __future__ import annotations

import asyncio

from node.relay.stream import HIGH_BYTES, CircuitStream
from tests.fakes.lines import FakeLine
from wire import limits
from wire.codes import Code
from wire.messages.relay import RelayClose, RelayCredit, RelayData

NAME = bytes(16)
WINDOW, PIECE = limits.RELAY_WINDOW_BYTES, limits.RELAY_DATA_BYTES


class Reader(asyncio.BufferedProtocol):
    """Keeps what comes, through a buffer of a few bytes."""

    def __init__(self) -> None:
        self.heard = b""
        self.pauses: list[bool] = []
        self.transport: asyncio.BaseTransport | None = None
        self.lost: list[Exception | None] = []
        self._buffer = bytearray(7)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard += self._buffer[:nbytes]

    def pause_writing(self) -> None:
        self.pauses.append(True)

    def resume_writing(self) -> None:
        self.pauses.append(False)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


def stream() -> tuple[CircuitStream, FakeLine, Reader, list[CircuitStream]]:
    line, reader = FakeLine(), Reader()
    over: list[CircuitStream] = []
    made = CircuitStream(line, NAME, reader, on_over=over.append)
    made.start()
    return made, line, reader, over


async def test_what_comes_is_handed_on_through_a_small_buffer_and_credited() -> None:
    made, line, reader, _ = stream()
    assert reader.transport is made
    assert made.get_extra_info("socket") is None
    assert made.get_extra_info("peername") == ("127.0.0.1", 50_000)
    words = bytes(range(256)) * (PIECE // 256)
    for _ in range(4):
        made.on_data(words)
    assert reader.heard == words * 4
    assert line.said() == [RelayCredit(circuit=NAME, taken=4 * PIECE)]


async def test_what_is_written_leaves_in_pieces_within_the_credit_and_the_writer_is_held_up() -> None:
    made, line, reader, _ = stream()
    made.write(bytes(WINDOW + HIGH_BYTES + 1))
    sent = [one for one in line.said() if isinstance(one, RelayData)]
    assert sum(len(one.body) for one in sent) == WINDOW
    assert max(len(one.body) for one in sent) == PIECE
    assert reader.pauses == [True]
    assert made.get_write_buffer_size() == HIGH_BYTES + 1
    made.on_credit(WINDOW)
    assert reader.pauses == [True, False]
    assert made.get_write_buffer_size() == 0


async def test_the_protocol_sets_its_own_bounds() -> None:
    made, _, reader, _ = stream()
    made.set_write_buffer_limits(high=10, low=5)
    made.write(bytes(WINDOW + 10))
    assert reader.pauses == []
    made.write(b"x")
    made.on_credit(5)
    assert reader.pauses == [True]
    made.on_credit(1)
    assert reader.pauses == [True, False]


async def test_a_close_waits_for_what_is_queued_and_an_abort_does_not() -> None:
    for ends_at_once in (False, True):
        made, line, reader, over = stream()
        made.write(bytes(WINDOW + 1))
        line.said()
        (made.abort if ends_at_once else made.close)()
        assert made.is_closing()
        made.write(b"too late")
        assert bool(over) is ends_at_once
        if not ends_at_once:
            made.on_credit(1)
            assert isinstance(line.sent[0], RelayData)
        last = line.sent[-1]
        assert isinstance(last, RelayClose)
        assert last.code == Code.CIRCUIT_CLOSED
        await asyncio.sleep(0)
        assert reader.lost == [None]
        made.abort()
        await asyncio.sleep(0)
        assert len(reader.lost) == 1


async def test_the_end_of_the_circuit_is_the_end_of_the_connection() -> None:
    made, line, reader, over = stream()
    made.on_close()
    made.on_data(b"late")
    await asyncio.sleep(0)
    assert reader.lost == [None]
    assert over == [made]
    assert line.sent == []
    assert reader.heard == b""


async def test_a_relay_that_breaks_the_rules_is_cut_off() -> None:
    made, line, reader, _ = stream()
    made.on_credit(1)
    await asyncio.sleep(0)
    assert isinstance(reader.lost[0], ConnectionResetError)
    made, line, reader, _ = stream()
    made.on_data(bytes(PIECE + 1))
    await asyncio.sleep(0)
    assert isinstance(reader.lost[0], ConnectionResetError)
    [close] = line.sent
    assert isinstance(close, RelayClose)
    assert close.code == Code.PROTOCOL


async def test_a_line_that_is_over_ends_the_stream() -> None:
    made, line, reader, over = stream()
    line.is_over = True
    made.write(b"x")
    await asyncio.sleep(0)
    assert isinstance(reader.lost[0], ConnectionResetError)
    assert over == [made]


async def test_what_comes_while_nothing_is_read_is_kept_without_credit_and_within_the_window() -> None:
    made, line, reader, over = stream()
    made.pause_reading()
    for _ in range(WINDOW // PIECE):
        made.on_data(bytes(PIECE))
    assert (reader.heard, line.said()) == (b"", [])
    made.resume_reading()
    assert len(reader.heard) == WINDOW
    credit = sum(one.taken for one in line.said() if isinstance(one, RelayCredit))
    assert credit == WINDOW
    made.pause_reading()
    for _ in range(WINDOW // PIECE):
        made.on_data(bytes(PIECE))
    assert not over
    made.on_data(b"x")
    assert over == [made]
    assert [one.code for one in line.said() if isinstance(one, RelayClose)] == [Code.PROTOCOL]
    made.on_data(b"late")
    made.resume_reading()
    await asyncio.sleep(0)
    assert len(reader.heard) == WINDOW
    assert [type(one) for one in reader.lost] == [ConnectionResetError]
