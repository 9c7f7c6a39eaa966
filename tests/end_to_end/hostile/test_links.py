"""Hosts under attack below the session: handshakes, frames, floods. They still answer an honest client.

The honest client keeps one session open through all of it, and opens a fresh one after each case; the memory and the
sessions of both hosts must be what they were (`conftest.py`).
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from dataclasses import replace

import pytest

from crypto.identity import PeerId
from node.transport.errors import HandshakeRefused, WrongPeer
from tests.fakes.attacker import PATIENCE_S, Attacker, framed, stream
from tests.fakes.siege import (
    Forged,
    Swarm,
    begin_handshake,
    hung_up,
    opening,
    passing_on,
    stranger_pool,
)
from wire import limits
from wire.cbor import dumps
from wire.codes import Code
from wire.errors import PeerRefused
from wire.messages.hosting import Describe, Hosting
from wire.messages.link import Pong, Unsupported
from wire.messages.session import Refused
from wire.types import Address, ModelId

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


# Before there is a link.


async def test_what_is_not_a_handshake_is_hung_up_on(swarm: Swarm) -> None:
    web = b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"
    for garbage in (web, b"\x00\x00", b"\xff" * 70_000, framed(b"\x00" * 32) + b"\x00\x50" + b"\x01" * 0x50):
        peer = await Attacker.connect(swarm.middle.address)
        await peer.send_bytes(garbage)
        peer.sock.shutdown(1)
        # The host answers a first message that could be one; then, like everything else, it ends without a word.
        async with asyncio.timeout(PATIENCE_S):
            await hung_up(peer)
        peer.close()


async def test_a_peer_of_another_network_cannot_shake_hands(swarm: Swarm) -> None:
    pool = stranger_pool("elsewhere")
    with pytest.raises(HandshakeRefused, match="same network name"):
        await pool.link_to(swarm.middle.peer_id, swarm.middle.address)
    await pool.close()


async def test_a_dialler_that_meant_another_peer_goes_no_further(swarm: Swarm) -> None:
    pool = stranger_pool("main")
    with pytest.raises(WrongPeer, match="not the peer that was meant"):
        await pool.link_to(swarm.tail.peer_id, swarm.middle.address)
    assert not pool.links
    await pool.close()
    attacker = await Attacker.connect(swarm.middle.address)
    with pytest.raises(PeerRefused) as refused:
        await attacker.shake_hands(attacker.config(expected_peer=swarm.tail.peer_id))
    assert refused.value.code is Code.WRONG_PEER
    attacker.close()


async def test_half_open_handshakes_are_bounded_and_dropped_while_others_are_served(
    swarm: Swarm, attacker: Attacker, model_id: ModelId
) -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    # A handshake that the host begins itself stalls too: its next hop takes the connection and says nothing.
    silent = socket.create_server(("127.0.0.1", 0))
    where = Address("127.0.0.1", silent.getsockname()[1])
    await attacker.send(passing_on(opening(attacker, model_id), PeerId(b"q" * 32), where))
    stalled = []
    for index in range(limits.MAX_HANDSHAKES + 16):
        peer = await Attacker.connect(swarm.middle.address, source=f"127.0.1.{1 + index // 24}")
        await begin_handshake(peer)
        stalled.append(peer)
    endings = [asyncio.ensure_future(hung_up(peer)) for peer in stalled]
    await swarm.assert_right()
    async with asyncio.timeout(limits.HANDSHAKE_TIMEOUT_S):
        for _, turned_away in zip(range(16), asyncio.as_completed(endings), strict=False):
            await turned_away
    assert sum(ending.done() for ending in endings) == 16, "no more than the bound are held"
    await asyncio.gather(*endings)
    assert loop.time() - begun < limits.HANDSHAKE_TIMEOUT_S + 3
    refused = await attacker.receive(Refused)
    assert refused.code == Code.NEXT_UNREACHABLE
    assert "check" in refused.detail
    silent.close()
    for peer in stalled:
        peer.close()


async def test_a_stolen_hello_proves_nothing(swarm: Swarm) -> None:
    """An attacker that claims the tail's identity without its key is told so and dropped."""
    thief = await Attacker.connect(swarm.middle.address)
    # Acts as an identity.
    config = replace(thief.config(), identity=Forged(swarm.tail.peer_id))  # type: ignore[arg-type]
    await thief.shake_hands(config)
    assert (await thief.ending()).code is Code.HANDSHAKE_FAILED
    thief.close()


# What cannot be a message.


async def test_a_changed_or_repeated_record_ends_the_link(swarm: Swarm) -> None:
    for spoilt in (False, True):
        peer = await Attacker.linked(swarm.middle.address)
        record = peer.seal(b"\x00" + b"".join(stream([Describe()])))
        await peer.send_bytes(record[:-1] + bytes([record[-1] ^ 1]) if spoilt else record + record)
        assert (await peer.ending()).code is Code.BAD_FRAME
        peer.close()


@pytest.mark.parametrize(
    ("name", "plaintext", "code"),
    [
        ("an unknown lane", b"\x07" + b"x" * 20, Code.BAD_FRAME),
        ("nine megabytes", b"\x00" + struct.pack(">IH", 9 << 20, 10), Code.TOO_LARGE),
        ("nine megabytes in bulk", b"\x01" + struct.pack(">IH", 9 << 20, 10), Code.TOO_LARGE),
        ("a header over 4 KB", b"\x00" + struct.pack(">IH", 6 + 4097, 4097), Code.BAD_FRAME),
        ("no header", b"\x00" + struct.pack(">IH", 6, 0), Code.BAD_FRAME),
        ("a size inside its own header", b"\x00" + struct.pack(">IH", 8, 100), Code.BAD_FRAME),
        (
            "padding that is not zero",
            b"\x00" + struct.pack(">IH", 128, 1) + b"\xa0" + b"\x01" * 121,
            Code.BAD_FRAME,
        ),
    ],
)
async def test_what_cannot_be_framed_ends_the_link(
    attacker: Attacker, name: str, plaintext: bytes, code: Code
) -> None:
    await attacker.send_bytes(attacker.seal(plaintext))
    assert (await attacker.ending()).code is code, name


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("no CBOR", b"\xff\xff\xff"),
        ("a list", dumps([1, 2, 3])),
        ("no id", dumps({"x": 1})),
        ("an id that is no number", dumps({"t": "open"})),
        ("an id twice", b"\xa2\x61t\x10\x61t\x10"),
        ("deep arrays", b"\x81" * 4000 + b"\x00"),
        ("deep maps", b"\xa1\x61x" * 1300 + b"\x00"),
        ("an array said to be endless", b"\x9f" * 4000),
        ("an array said to hold 2^60", b"\x9b\x10\x00\x00\x00\x00\x00\x00\x00"),
        ("a string said to hold 2^62", b"\x7b\x40\x00\x00\x00\x00\x00\x00\x00abc"),
        ("a tag", b"\xc1\x00"),
        ("a big number", b"\xc2\x59\x0f\x00" + b"\xff" * 3840),
        ("a shared reference", b"\xd8\x1c\x81\xd8\x1d\x00"),
        ("bytes that follow", dumps({"t": 16}) + b"\x00"),
        ("a hello after the handshake", dumps({"t": 1})),
        ("an open without fields", dumps({"t": 32})),
        ("a pong without a ping", dumps({"t": 3, "nonce": 5})),
        ("an ack of what was never sent", dumps({"t": 4, "count": 1000})),
        ("a negative step", dumps({"t": 51, "session": b"s" * 16, "epoch": 0, "step": -1})),
        ("a step that is a float", dumps({"t": 51, "session": b"s" * 16, "epoch": 0, "step": math.nan})),
    ],
)
async def test_what_does_not_decode_ends_the_link(attacker: Attacker, name: str, header: bytes) -> None:
    await attacker.send_header(header)
    end = await attacker.ending()
    assert end.code is Code.BAD_MESSAGE, name
    assert end.goodbye is not None
    assert end.goodbye.detail, "the goodbye says what is wrong"


async def test_a_body_where_none_belongs_ends_the_link(attacker: Attacker) -> None:
    await attacker.send_header(dumps({"t": 16}), b"x" * 100)
    assert (await attacker.ending()).code is Code.BAD_MESSAGE


# Manners.


async def test_an_unknown_message_is_declined_politely(attacker: Attacker) -> None:
    await attacker.send_header(dumps({"t": 60_000, "anything": [1, 2]}))
    assert (await attacker.receive(Unsupported)).id == 60_000
    await attacker.send(Describe())
    assert (await attacker.receive(Hosting)).offers


@pytest.mark.parametrize("chatter", [dumps({"t": 2, "nonce": 1}), dumps({"t": 60_000})])
async def test_a_flood_of_chatter_ends_the_link(attacker: Attacker, chatter: bytes) -> None:
    for _ in range(3 * limits.CHATTER_BURST):
        try:
            await attacker.send_header(chatter)
        except ConnectionError:
            break
    assert (await attacker.ending()).code is Code.FLOODING
    assert sum(isinstance(one, Pong | Unsupported) for one in attacker.heard) <= 2 * limits.CHATTER_BURST


async def test_a_peer_that_asks_and_does_not_read_is_given_up(swarm: Swarm) -> None:
    peer = await Attacker.linked(swarm.middle.address)
    questions = b"".join(stream([Describe()] * 4000))
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(60):
            while True:
                await peer.send_stream(questions)
                await swarm.assert_right()
    peer.close()


# Sessions that cannot be.
