"""Two live hosts under attack over real sockets. After each case they still answer an honest client, token for token.

The honest client keeps one session open through all of it, and opens a fresh one after each case; the memory and the
sessions of both hosts must be what they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import pytest_asyncio

from chat.client import Client
from crypto.identity import Identity, PeerId
from node.transport.errors import HandshakeRefused, WrongPeer
from node.transport.pool import LinkPool
from tests.end_to_end.conftest import Hosts, Reference
from tests.fakes import asking
from tests.fakes.attacker import PATIENCE_S, Attacker, framed, stream
from tests.fakes.deadline import until
from tests.fakes.hosts import Host, HostOptions
from tests.fakes.observer import Observer, observing
from wire import limits
from wire.cbor import dumps
from wire.codes import Code
from wire.errors import PeerRefused
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, Output, Phase, Tokens
from wire.messages.hosting import Describe, Hosting, Offer
from wire.messages.link import Pong, Unsupported
from wire.messages.session import Abort, Close, Delivery, Open, Ready, Refused, Truncate, Truncated
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId, Sampling, SessionId

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

HIDDEN = 64
LAYERS = LayerRange(1, 3)
MIDDLE, TAIL = "1:3", "3:5"
KV_MEMORY_BYTES = 20 << 20
ALLOWED_GROWTH_BYTES = 192 << 20
"""More than a send queue may hold, much less than any flood here would need unbounded."""


@dataclass
class Swarm:
    """The two hosts and the honest client that must not notice anything."""

    middle: Host
    tail: Host
    client: Client
    newcomer: Client
    observer: Observer
    model: Path
    reference: Reference
    expected: dict[tuple[int, ...], list[int]] = field(default_factory=dict)
    asked: int = 0

    async def assert_right(self) -> None:
        """The client's long-lived session goes on, and what it answers is what the whole model answers."""
        self.asked += 1
        await self._ask(self.client, (5, 6, 7, *range(self.asked % 3, 20)))

    async def assert_right_anew(self) -> None:
        """A client that opens its sessions now is answered rightly too."""
        await self._ask(self.newcomer, tuple(range(40, 60)))
        await self.newcomer.session.close()

    async def _ask(self, client: Client, ids: tuple[int, ...]) -> None:
        if ids not in self.expected:
            self.expected[ids] = self.reference(self.model, ids, 3)
        assert await asking.tokens(client.session, ids, 3) == self.expected[ids]

    async def offer(self, host: Host) -> Offer:
        """What a host says it serves now, asked by somebody who holds nothing there."""
        return await self.observer.offer(host)

    async def until(self, host: Host, condition: Callable[[Offer], bool]) -> None:
        """Wait until what a host says of itself is so."""
        await self.observer.until(host, condition)


@pytest.fixture(scope="module")
def running(run_hosts: Hosts, tiny_model: Path) -> Iterator[tuple[Host, ...]]:
    """The two hosts, for all tests of this file."""
    with run_hosts(tiny_model, [MIDDLE, TAIL], HostOptions(kv_memory=str(KV_MEMORY_BYTES))) as hosts:
        yield hosts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def swarm(
    running: tuple[Host, ...],
    tiny_model: Path,
    whole_model_tokens: Reference,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Swarm]:
    """The hosts, and an honest client with an open session on both."""
    middle, tail = running
    folder = tmp_path_factory.mktemp("honest")
    contacts = [middle.contact, tail.contact]
    async with (
        observing() as observer,
        asking.client(tiny_model, contacts, folder / "identity") as client,
        asking.client(tiny_model, contacts, folder / "newcomer") as newcomer,
    ):
        swarm = Swarm(middle, tail, client, newcomer, observer, tiny_model, whole_model_tokens)
        await swarm.assert_right()
        yield swarm


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def unharmed(swarm: Swarm) -> AsyncIterator[None]:
    """Both hosts answer rightly after the case, to the open session and to a new one, and hold no more than before."""
    hosts = (swarm.middle, swarm.tail)
    before = [await swarm.offer(host) for host in hosts]
    memory = [host.resident_bytes for host in hosts]
    words = [len(host.stderr) for host in hosts]
    files = [host.open_files for host in hosts]
    yield
    await swarm.assert_right()
    await swarm.assert_right_anew()
    for host, was in zip(hosts, before, strict=True):
        await swarm.until(host, lambda now, was=was: now.sessions == was.sessions)  # type: ignore[misc]
        await swarm.until(host, lambda now, was=was: now.free_kv_bytes == was.free_kv_bytes)  # type: ignore[misc]
    for host, held, known in zip(hosts, memory, words, strict=True):
        assert host.resident_bytes < held + ALLOWED_GROWTH_BYTES
        assert "Traceback" not in host.stderr[known:]
    for host, had in zip(hosts, files, strict=True):
        await until(lambda host=host, had=had: host.open_files <= had)  # type: ignore[misc]


@pytest_asyncio.fixture(loop_scope="module")
async def attacker(swarm: Swarm) -> AsyncIterator[Attacker]:
    """A peer that has shaken hands with the first host."""
    peer = await Attacker.linked(swarm.middle.address)
    yield peer
    peer.close()


@pytest_asyncio.fixture(loop_scope="module")
async def model_id(swarm: Swarm) -> ModelId:
    """The model both hosts serve."""
    return swarm.client.model_id


# Before there is a link.


async def test_what_is_not_a_handshake_is_hung_up_on(swarm: Swarm) -> None:
    web = b"GET / HTTP/1.1\r\nHost: example\r\n\r\n"
    for garbage in (web, b"\x00\x00", b"\xff" * 70_000, framed(b"\x00" * 32) + b"\x00\x50" + b"\x01" * 0x50):
        peer = await Attacker.connect(swarm.middle.address)
        await peer.send_bytes(garbage)
        peer.sock.shutdown(1)
        # The host answers a first message that could be one; then, like everything else, it ends without a word.
        async with asyncio.timeout(PATIENCE_S):
            await _hung_up(peer)
        peer.close()


async def test_a_peer_of_another_network_cannot_shake_hands(swarm: Swarm) -> None:
    pool = _pool("elsewhere")
    with pytest.raises(HandshakeRefused, match="same network name"):
        await pool.link_to(swarm.middle.peer_id, swarm.middle.address)
    await pool.close()


async def test_a_dialler_that_meant_another_peer_goes_no_further(swarm: Swarm) -> None:
    pool = _pool("main")
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
    await attacker.send(_next(_open(attacker, model_id), PeerId(b"q" * 32), where))
    stalled = []
    for index in range(limits.MAX_HANDSHAKES + 16):
        peer = await Attacker.connect(swarm.middle.address, source=f"127.0.1.{1 + index // 24}")
        await _begin_handshake(peer)
        stalled.append(peer)
    endings = [asyncio.ensure_future(_hung_up(peer)) for peer in stalled]
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
    config = replace(thief.config(), identity=_Forged(swarm.tail.peer_id))  # type: ignore[arg-type]
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


Change = Callable[[Open, Swarm], Open]


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("an unknown model", lambda it, _: replace(it, model=ModelId(b"m" * 32)), Code.NOT_HOSTING),
        ("layers before", lambda it, _: replace(it, layers=LayerRange(0, 2)), Code.NOT_HOSTING),
        ("layers beyond", lambda it, _: replace(it, layers=LayerRange(2, 4)), Code.NOT_HOSTING),
        ("no layers", lambda it, _: replace(it, layers=LayerRange(2, 2)), Code.NOT_HOSTING),
        (
            "tokens from a host without the head",
            lambda it, _: replace(it, delivery=Delivery.TOKENS, sampling=Sampling()),
            Code.NOT_HOSTING,
        ),
        ("other numerics", lambda it, _: replace(it, dtype=DType.BFLOAT16), Code.NUMERICS),
        ("a context too long", lambda it, _: replace(it, positions=513), Code.CONTEXT_TOO_LONG),
        ("no positions", lambda it, _: replace(it, positions=0), Code.BAD_MESSAGE),
        ("sampling without tokens", lambda it, _: replace(it, sampling=Sampling()), Code.BAD_MESSAGE),
        ("next without a next hop", lambda it, _: replace(it, delivery=Delivery.NEXT), Code.BAD_MESSAGE),
        (
            "a next hop without next",
            lambda it, swarm: replace(it, next_peer=swarm.tail.peer_id, next_session=SessionId(b"n" * 16)),
            Code.BAD_MESSAGE,
        ),
        (
            "one session as two hops",
            lambda it, swarm: _next(it, swarm.tail.peer_id, swarm.tail.address, it.session),
            Code.BAD_MESSAGE,
        ),
        (
            "a next hop where nothing listens",
            lambda it, _: _next(it, PeerId(b"p" * 32), Address("127.0.0.77", 9)),
            Code.NEXT_UNREACHABLE,
        ),
        (
            "a next hop that is somebody else",
            lambda it, swarm: _next(it, PeerId(b"p" * 32), swarm.tail.address),
            Code.NEXT_UNREACHABLE,
        ),
        (
            "a next hop that is the host itself",
            lambda it, swarm: _next(it, PeerId(b"p" * 32), swarm.middle.address),
            Code.NEXT_UNREACHABLE,
        ),
        (
            "the client as next hop, where it does not listen",
            lambda it, _: _next(it, it.upstream, Address("127.0.0.1", 9)),
            Code.NEXT_UNREACHABLE,
        ),
    ],
)
async def test_a_session_that_cannot_be_is_refused_by_its_code(
    swarm: Swarm, attacker: Attacker, model_id: ModelId, name: str, change: Change, code: Code
) -> None:
    opened = change(_open(attacker, model_id), swarm)
    await attacker.send(opened)
    refused = await attacker.receive(Refused)
    assert (refused.session, Code(refused.code)) == (opened.session, code), name
    assert refused.detail
    await attacker.send(_forward(opened.session))
    assert (await attacker.receive(Abort)).code == Code.UNKNOWN_SESSION


async def test_a_session_id_is_used_once(swarm: Swarm, attacker: Attacker, model_id: ModelId) -> None:
    opened = _open(attacker, model_id)
    theirs = replace(opened, session=_sessions_of(swarm)[0])
    await attacker.send(opened, opened, theirs)
    assert (await attacker.receive(Ready)).session == opened.session
    refusals = [await attacker.receive(Refused) for _ in range(2)]
    assert {one.session for one in refusals} == {opened.session, theirs.session}
    assert {one.code for one in refusals} == {Code.DUPLICATE_SESSION}


async def test_a_session_id_can_be_used_again_as_soon_as_it_is_free(
    swarm: Swarm, attacker: Attacker, model_id: ModelId
) -> None:
    free = (await swarm.offer(swarm.middle)).free_kv_bytes
    opened = _open(attacker, model_id)
    closed = Close(session=opened.session)
    await attacker.send(opened)
    for _ in range(5):
        await attacker.receive(Ready)
        # A step is being computed while the session ends and another takes its name.
        await attacker.send(_forward(opened.session, count=64), closed, opened)
    await attacker.receive(Ready)
    attacker.heard.clear()
    await attacker.send(_forward(opened.session))
    assert (await attacker.receive(Output)).step == 0
    held = await swarm.offer(swarm.middle)
    assert (held.sessions, held.free_kv_bytes < free) == (2, True)
    await attacker.send(closed)
    await swarm.until(swarm.middle, lambda now: (now.sessions, now.free_kv_bytes) == (1, free))


async def test_more_memory_than_there_is_is_refused(swarm: Swarm, model_id: ModelId) -> None:
    pair = [await Attacker.linked(swarm.middle.address) for _ in range(2)]
    for peer in pair:
        await peer.send(*(_open(peer, model_id, positions=512) for _ in range(limits.MAX_SESSIONS_PER_PEER)))
    refused = await pair[1].receive(Refused)
    assert refused.code == Code.NO_MEMORY
    assert refused.retry_after_ms
    assert "bytes of KV memory are needed" in refused.detail
    await swarm.assert_right()
    for peer in pair:
        peer.close()


async def test_one_peer_cannot_take_all_sessions_nor_all_peers_more_than_there_are(
    swarm: Swarm, model_id: ModelId
) -> None:
    crowd = [await Attacker.linked(swarm.middle.address) for _ in range(4)]
    for peer in crowd:
        await peer.send(
            *(_open(peer, model_id, positions=1) for _ in range(limits.MAX_SESSIONS_PER_PEER + 1))
        )
        assert (await peer.receive(Refused)).code == Code.TOO_MANY_SESSIONS
    assert (await swarm.offer(swarm.middle)).sessions == limits.MAX_SESSIONS
    late = await Attacker.linked(swarm.middle.address)
    await late.send(_open(late, model_id, positions=1))
    refused = await late.receive(Refused)
    assert refused.code == Code.TOO_MANY_SESSIONS
    assert refused.retry_after_ms
    await swarm.assert_right()
    for peer in (*crowd, late):
        peer.close()


# Steps that cannot be.


Steps = Callable[[SessionId], list[Message]]


@pytest.mark.parametrize(
    ("name", "steps", "code"),
    [
        ("another shape", lambda it: [replace(_forward(it), shape=(1, 1, 32))], Code.BAD_TENSOR),
        ("a shape of rank two", lambda it: [replace(_forward(it), shape=(1, 64))], Code.BAD_TENSOR),
        ("a shape of nothing", lambda it: [replace(_forward(it), shape=())], Code.BAD_TENSOR),
        ("a count that is not the shape's", lambda it: [replace(_forward(it), count=2)], Code.BAD_TENSOR),
        ("a count of none", lambda it: [replace(_forward(it), count=0, shape=(1, 0, 64))], Code.BAD_TENSOR),
        ("another dtype", lambda it: [replace(_forward(it), dtype=DType.FLOAT16)], Code.BAD_TENSOR),
        ("a short body", lambda it: [replace(_forward(it), body=b"x" * 255)], Code.BAD_TENSOR),
        ("a long body", lambda it: [replace(_forward(it), body=b"x" * 257)], Code.BAD_TENSOR),
        ("no body", lambda it: [replace(_forward(it), body=b"")], Code.BAD_TENSOR),
        ("NaN", lambda it: [_forward(it, value=math.nan)], Code.NOT_FINITE),
        ("infinity", lambda it: [_forward(it, value=math.inf)], Code.NOT_FINITE),
        ("a later position", lambda it: [replace(_forward(it), position=3)], Code.POSITION_MISMATCH),
        ("a step gap", lambda it: [replace(_forward(it), step=1)], Code.STEP_GAP),
        ("an epoch to come", lambda it: [replace(_forward(it), epoch=1)], Code.PROTOCOL),
        ("more than was reserved", lambda it: [_forward(it, count=65)], Code.CONTEXT_FULL),
        ("a cut of what is not there", lambda it: [_cut(it, position=1)], Code.POSITION_MISMATCH),
        ("a cut that skips an epoch", lambda it: [_cut(it, epoch=2)], Code.PROTOCOL),
        (
            "a window and more",
            lambda it: [replace(_forward(it), step=step, position=step) for step in range(40)],
            Code.WINDOW_EXCEEDED,
        ),
    ],
)
async def test_a_step_that_cannot_be_ends_its_session_by_its_code(
    swarm: Swarm, attacker: Attacker, model_id: ModelId, name: str, steps: Steps, code: Code
) -> None:
    opened = _open(attacker, model_id)
    await attacker.send(opened)
    await attacker.receive(Ready)
    await attacker.send(*steps(opened.session))
    abort = await attacker.receive(Abort)
    assert (abort.session, Code(abort.code)) == (opened.session, code), name
    await swarm.until(swarm.middle, lambda now: now.sessions == 1)


async def test_a_step_before_ready_ends_the_session(
    swarm: Swarm, attacker: Attacker, model_id: ModelId
) -> None:
    opened = _open(attacker, model_id)
    await attacker.send(opened, _forward(opened.session))
    refused = await attacker.receive(Refused)
    assert (refused.session, refused.code) == (opened.session, Code.PROTOCOL)


async def test_a_step_for_a_session_that_is_not_there_is_said_so(attacker: Attacker) -> None:
    session = SessionId(secrets.token_bytes(16))
    for message in (_forward(session), _cut(session)):
        await attacker.send(message)
        abort = await attacker.receive(Abort)
        assert (abort.session, abort.code) == (session, Code.UNKNOWN_SESSION)


async def test_a_repeated_step_is_computed_once(attacker: Attacker, model_id: ModelId) -> None:
    opened = _open(attacker, model_id)
    await attacker.send(opened)
    await attacker.receive(Ready)
    first, second = _forward(opened.session), replace(_forward(opened.session), step=1, position=1)
    await attacker.send(first, first, second, first)
    assert [(await attacker.receive(Output)).step for _ in range(2)] == [0, 1]
    await attacker.send(replace(first, step=2, position=2))
    assert (await attacker.receive(Output)).step == 2


async def test_a_cut_that_overtakes_its_steps_is_made_or_ends_the_session(
    swarm: Swarm, attacker: Attacker, model_id: ModelId
) -> None:
    opened = _open(attacker, model_id)
    await attacker.send(opened)
    await attacker.receive(Ready)
    await attacker.send(_forward(opened.session, count=64), _cut(opened.session, position=64, next_step=1))
    # The step was computed before the cut came, or was dropped by it: then there is nothing to cut back to.
    said: Truncated | Abort = await attacker.receive(Truncated, Abort)
    if isinstance(said, Truncated):
        assert said.position == 64
    else:
        assert said.code == Code.POSITION_MISMATCH


# Other people's sessions.


async def test_a_stranger_cannot_touch_a_session(swarm: Swarm) -> None:
    for host, session in zip((swarm.middle, swarm.tail), _sessions_of(swarm), strict=True):
        stranger = await Attacker.linked(host.address)
        for message in (_forward(session), _cut(session, epoch=99)):
            await stranger.send(message)
            assert (await stranger.receive(Abort)).code == Code.UNKNOWN_SESSION
        await stranger.send(
            Credit(session=session, epoch=0, step=1 << 20),
            Abort(session=session, code=Code.CANCELLED, detail=""),
            Close(session=session),
            Tokens(session=session, epoch=0, step=0, position=1, ids=(7,), trace=()),
            Ready(session=session),
            Refused(session=session, code=Code.NOT_ALLOWED, detail=""),
        )
        await stranger.send(Describe())
        assert (await stranger.receive(Hosting)).offers[0].sessions == 1
        stranger.close()
    assert swarm.client.session.held, "the client's session was not opened anew"
    await swarm.assert_right()


# Leaving.


async def test_a_reset_in_the_middle_of_a_step_frees_the_session(swarm: Swarm, model_id: ModelId) -> None:
    for _ in range(8):
        peer = await Attacker.linked(swarm.middle.address)
        opened = _open(peer, model_id, positions=512)
        await peer.send(opened)
        await peer.receive(Ready)
        chunk = _forward(opened.session, count=128)
        await peer.send(*(replace(chunk, step=step, position=128 * step) for step in range(3)))
        peer.reset()
    await swarm.until(swarm.middle, lambda now: now.sessions == 1)


async def test_a_peer_that_vanishes_leaves_nothing_behind(swarm: Swarm, model_id: ModelId) -> None:
    free = (await swarm.offer(swarm.middle)).free_kv_bytes
    peer = await Attacker.linked(swarm.middle.address)
    opened = [
        _next(
            _open(peer, model_id), swarm.tail.peer_id, swarm.tail.address, SessionId(secrets.token_bytes(16))
        )
        for _ in range(10)
    ]
    await peer.send(*opened)
    for _ in opened:
        await peer.receive(Ready)
    assert (await swarm.offer(swarm.middle)).free_kv_bytes < free
    peer.reset()
    await swarm.until(swarm.middle, lambda now: (now.sessions, now.free_kv_bytes) == (1, free))


# The parts.


def _open(peer: Attacker, model: ModelId, *, positions: int = 64) -> Open:
    return Open(
        session=SessionId(secrets.token_bytes(16)),
        model=model,
        layers=LAYERS,
        dtype=DType.FLOAT32,
        upstream=peer.peer_id,
        delivery=Delivery.HIDDEN,
        positions=positions,
    )


def _next(opened: Open, peer: PeerId, address: Address, session: SessionId | None = None) -> Open:
    return replace(
        opened,
        delivery=Delivery.NEXT,
        next_peer=peer,
        next_address=address,
        next_session=session or SessionId(b"n" * 16),
    )


def _forward(session: SessionId, *, count: int = 1, value: float = 0.5) -> Forward:
    return Forward(
        session=session,
        epoch=0,
        step=0,
        position=0,
        phase=Phase.PREFILL,
        sample=False,
        count=count,
        dtype=DType.FLOAT32,
        shape=(1, count, HIDDEN),
        trace=(),
        body=struct.pack("<f", value) * (count * HIDDEN),
    )


def _cut(session: SessionId, *, epoch: int = 1, position: int = 0, next_step: int = 0) -> Truncate:
    return Truncate(session=session, epoch=epoch, position=position, next_step=next_step)


def _sessions_of(swarm: Swarm) -> tuple[SessionId, ...]:
    """The honest client's session on each hop: 128 random bits that the attacker is given here."""
    chain = swarm.client.session._chain
    assert chain is not None
    return chain.sessions


def _pool(network: str) -> LinkPool:
    return LinkPool(
        Identity.from_seed(secrets.token_bytes(32)),
        network,
        "a stranger",
        on_message=lambda link, message: None,
        on_closed=lambda link, code, detail: None,
    )


async def _begin_handshake(peer: Attacker) -> None:
    """Send the first message; a host that has no room hangs up before it is read."""
    with contextlib.suppress(ConnectionError):
        await peer.send_bytes(framed(secrets.token_bytes(32)))


async def _hung_up(peer: Attacker) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while await loop.sock_recv(peer.sock, 1 << 16):
            pass


class _Forged:
    """An identity of which only the public half is known."""

    def __init__(self, peer: PeerId) -> None:
        other = Identity.from_seed(b"f" * 32)
        self.public_key = other.public_key[:-1] + bytes([other.public_key[-1] ^ 1])
        self.peer_id = peer
        self._other = other

    def sign(self, context: str, message: bytes) -> bytes:
        return self._other.sign(context, message)
