from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto.identity import Identity
from node.store.fetch import fetch
from node.store.peer_source import Asker, Patience, PeerSource, client_session
from node.store.share import ShareServer, ShareTerms
from node.store.share_auth import Gate, MembersGate, OpenGate
from node.store.source import Chunk, Source, SourceFailed
from tests.fakes.bad_server import answering
from tests.fakes.deadline import until
from tests.fakes.shelf import FakeShelf, model_of
from tests.fakes.sources import Keeper, make_chunks
from wire import limits
from wire.types import Address, ModelId

SERVER = Identity.from_seed(bytes(32)).peer_id
MEMBER = Identity.from_seed(bytes([1]) * 32)
NOW = 1_800_000_000.0
QUICK = Patience(silence_s=0.3, connect_s=1.0, least_bytes_per_s=1 << 20)
PIECES = [b"one", b"", b"three" * 1000]
MANIFEST, CHUNKS = model_of(PIECES)


@asynccontextmanager
async def sharing(
    shelf: FakeShelf, gate: Gate | None = None, terms: ShareTerms | None = None
) -> AsyncIterator[Address]:
    server = ShareServer(shelf, me=SERVER, gate=gate or OpenGate(), terms=terms, now=lambda: NOW)
    try:
        yield await server.start(Address("127.0.0.1", 0))
    finally:
        await server.close(grace_s=0.05)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session(QUICK) as one:
        yield one


@pytest.fixture
def shelf(tmp_path: Path) -> FakeShelf:
    made = FakeShelf(tmp_path / "shelf")
    made.manifests[MANIFEST.model_id] = MANIFEST.encode()
    for piece in PIECES:
        made.put(piece)
    return made


def source_at(session: aiohttp.ClientSession, address: Address, asker: Asker | None = None) -> PeerSource:
    return PeerSource(session, address, SERVER, asker=asker, patience=QUICK)


async def read_all(source: Source, batch: list[Chunk]) -> list[tuple[Chunk, bytes]]:
    return [item async for item in source.read(batch)]


async def test_a_model_comes_from_a_peer_by_its_id_alone(
    session: aiohttp.ClientSession, shelf: FakeShelf
) -> None:
    async with sharing(shelf) as address:
        source = source_at(session, address)
        manifest = await source.manifest(MANIFEST.model_id)
        assert manifest == MANIFEST
        assert not any(source.holds(one) for one in CHUNKS)
        await source.learn(manifest)
        assert all(source.holds(one) for one in CHUNKS)
        assert await read_all(source, CHUNKS) == list(zip(CHUNKS, PIECES, strict=True))


async def test_a_peer_that_holds_a_part_is_asked_for_that(
    session: aiohttp.ClientSession, shelf: FakeShelf
) -> None:
    del shelf.places[CHUNKS[1].digest]
    async with sharing(shelf) as address:
        source = source_at(session, address)
        await source.learn(MANIFEST)
        assert [source.holds(one) for one in CHUNKS] == [True, False, True]


async def test_what_the_peer_has_no_more_is_left_out_and_not_held(
    session: aiohttp.ClientSession, shelf: FakeShelf
) -> None:
    async with sharing(shelf) as address:
        source = source_at(session, address)
        await source.learn(MANIFEST)
        del shelf.places[CHUNKS[0].digest]
        assert [chunk for chunk, _ in await read_all(source, CHUNKS)] == CHUNKS[1:]
        assert not source.holds(CHUNKS[0])


async def test_a_batch_is_one_request(session: aiohttp.ClientSession, shelf: FakeShelf) -> None:
    data = make_chunks(limits.PEER_BATCH_CHUNKS, 100)
    for one in data.values():
        shelf.put(one)
    async with sharing(shelf, terms=ShareTerms(max_requests=1)) as address:
        assert await read_all(source_at(session, address), list(data)) == list(data.items())


def test_a_batch_stays_within_what_one_answer_may_carry() -> None:
    source = PeerSource.__new__(PeerSource)
    large = [Chunk(digest=bytes([number]) * 32, size=4 << 20, name="t") for number in range(100)]
    assert source.batch(large, 1) == large[:1]
    assert source.batch(large, 9 << 20) == large[:2]
    assert sum(one.size for one in source.batch(large, 1 << 40)) == limits.PEER_BATCH_BYTES
    small = [replace(large[0], digest=number.to_bytes(32, "big"), size=1) for number in range(1000)]
    assert source.batch(small, 1 << 30) == small[: limits.PEER_BATCH_CHUNKS]
    huge = replace(large[0], size=limits.PEER_BATCH_BYTES + 1)
    assert source.batch([huge, *small], 1 << 40) == [huge]
    assert source.batch([large[0], large[0]], 1 << 30) == [large[0]]


async def test_a_member_of_a_private_swarm_is_let_in_and_others_are_told_why(
    session: aiohttp.ClientSession, shelf: FakeShelf
) -> None:
    async with sharing(shelf, MembersGate({MEMBER.peer_id})) as address:
        member = source_at(session, address, Asker(identity=MEMBER, now=lambda: NOW))
        await member.learn(await member.manifest(MANIFEST.model_id))
        assert len(await read_all(member, CHUNKS)) == 3
        stranger = source_at(session, address)
        with pytest.raises(SourceFailed, match="may be private") as caught:
            await stranger.learn(MANIFEST)
        assert caught.value.retry_after_s is None


def test_a_peer_is_called_by_its_id_and_where_it_was_asked() -> None:
    source = PeerSource.__new__(PeerSource)
    source._peer_id, source._address = SERVER, Address("127.0.0.1", 7311)
    assert source.label == f"peer {SERVER.short} at 127.0.0.1:7311"


def response(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


def framed(*pieces: bytes) -> bytes:
    return b"".join(len(one).to_bytes(4, "big") + one for one in pieces)


@pytest.mark.parametrize(
    ("answer", "words", "retried"),
    [
        (response(framed(b"two!", *PIECES[1:])), "announced 4 bytes for a chunk of 3", False),
        (response(framed(*PIECES) + b"x"), "more than was asked for", False),
        (response(framed(*PIECES)[:-1]), "broke off", True),
        (response(framed(*PIECES)[:-1], length=len(framed(*PIECES))), "broke off", True),
        (response(b"", length=1 << 50), "broke off", True),
        (b"", "broke off", True),
        (b"SSH-2.0-server\r\n", "broke off", True),
        (response(b"", "X: " + "y" * 100_000), "broke off", True),
        (response(b"", status="503 Busy"), "busy", True),
        (response(b"", status="404 No"), "does not have", False),
        (response(b"", status="301 Moved", length=0), "HTTP 301", False),
        (response(b"", "Location: http://127.0.0.1:1/", status="302 Found"), "HTTP 302", False),
        (response(b"", status="418 Teapot"), "HTTP 418", False),
    ],
    ids=lambda one: repr(one)[:30],
)
async def test_an_answer_that_is_not_what_was_asked_for_is_a_failure(
    session: aiohttp.ClientSession, answer: bytes, words: str, retried: bool
) -> None:
    async with answering(answer) as address:
        with pytest.raises(SourceFailed, match=words) as caught:
            await read_all(source_at(session, address), CHUNKS)
    assert (caught.value.retry_after_s is not None) == retried
    assert caught.value.cause.startswith("peer ")


@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7.0), ("soon", 1.0), ("9" * 7, 86_400.0), ("9" * 20, 1.0), ("-1", 1.0)]
)
async def test_a_busy_peer_says_when_to_come_back(
    session: aiohttp.ClientSession, said: str, seconds: float
) -> None:
    async with answering(response(b"", f"Retry-After: {said}", status="503 Busy")) as address:
        with pytest.raises(SourceFailed) as caught:
            await read_all(source_at(session, address), CHUNKS)
    assert caught.value.retry_after_s == seconds


async def test_chunks_before_a_broken_one_are_delivered(session: aiohttp.ClientSession) -> None:
    came = []
    async with answering(response(framed(*PIECES)[:100])) as address:
        with pytest.raises(SourceFailed):
            async for item in source_at(session, address).read(CHUNKS):
                came.append(item)  # noqa: PERF401 - a comprehension would lose what came before the error
    assert came == list(zip(CHUNKS[:2], PIECES[:2], strict=True))


@pytest.mark.parametrize(
    "answer", [b"", response(framed(*PIECES)[:20], length=99999), response(framed(*PIECES), length=99999)]
)
async def test_a_peer_that_falls_silent_is_not_waited_for_long(
    session: aiohttp.ClientSession, answer: bytes
) -> None:
    async with answering(answer, hold_open=True) as address:
        with pytest.raises(SourceFailed, match="stopped sending") as caught:
            async with asyncio.timeout(20):
                await read_all(source_at(session, address), CHUNKS)
    assert caught.value.retry_after_s is not None


async def test_a_peer_that_trickles_is_not_waited_for_long(session: aiohttp.ClientSession) -> None:
    async with answering(response(framed(*PIECES)), pause_s=0.05) as address:
        with pytest.raises(SourceFailed, match="stopped sending"):
            async with asyncio.timeout(20):
                await read_all(source_at(session, address), CHUNKS)


async def test_a_peer_that_is_not_there_is_told(session: aiohttp.ClientSession) -> None:
    async with answering(b"") as address:
        pass
    with pytest.raises(SourceFailed, match="cannot be reached") as caught:
        await read_all(source_at(session, address), CHUNKS)
    assert caught.value.retry_after_s is not None


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b"\xa0", lambda data: b""]
)
async def test_a_manifest_of_another_model_is_refused(session: aiohttp.ClientSession, change: object) -> None:
    assert callable(change)
    async with answering(response(change(MANIFEST.encode()))) as address:
        with pytest.raises(SourceFailed, match="not this model's") as caught:
            await source_at(session, address).manifest(MANIFEST.model_id)
    assert caught.value.retry_after_s is None


async def test_bytes_of_the_right_digest_that_are_no_manifest_are_refused(
    session: aiohttp.ClientSession,
) -> None:
    data = b"not a manifest"
    async with answering(response(data)) as address:
        with pytest.raises(SourceFailed, match="not this model's"):
            await source_at(session, address).manifest(ModelId(hashlib.sha256(data).digest()))


async def test_an_answer_announced_as_too_long_is_not_read(session: aiohttp.ClientSession) -> None:
    async with answering(response(b"", length=limits.MAX_MANIFEST_BYTES + 1), hold_open=True) as address:
        with pytest.raises(SourceFailed, match="announced an answer"):
            await source_at(session, address).manifest(MANIFEST.model_id)


async def test_an_answer_of_no_announced_length_is_not_read(session: aiohttp.ClientSession) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with answering(answer, hold_open=True) as address:
        with pytest.raises(SourceFailed, match="announced an answer"):
            await source_at(session, address).manifest(MANIFEST.model_id)


@pytest.mark.parametrize("bits", [b"", b"\xff", b"\xe0\x00"])
async def test_a_wrong_list_of_what_is_held_is_refused(session: aiohttp.ClientSession, bits: bytes) -> None:
    async with answering(response(bits)) as address:
        source = source_at(session, address)
        with pytest.raises(SourceFailed):
            await source.learn(MANIFEST)
    assert not any(source.holds(one) for one in CHUNKS)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.binary(max_size=100).map(response))
def test_any_answer_is_chunks_or_a_typed_failure(answer: bytes) -> None:
    async def ask() -> None:
        async with answering(answer) as address, client_session(QUICK) as session:
            try:
                came = await read_all(source_at(session, address), CHUNKS)
            except SourceFailed:
                return
            assert all(len(data) == chunk.size for chunk, data in came)

    asyncio.run(ask())


@pytest.mark.parametrize("taken", [0, 1])
async def test_a_read_that_is_closed_early_leaves_no_answer_under_way(
    session: aiohttp.ClientSession, shelf: FakeShelf, taken: int
) -> None:
    large = [shelf.put(random.Random(number).randbytes(4 << 20)) for number in range(8)]
    batch = [Chunk(digest=one, size=4 << 20, name="t") for one in large]
    server = ShareServer(shelf, me=SERVER, gate=OpenGate())
    source = source_at(session, await server.start(Address("127.0.0.1", 0)))
    stream = source.read(batch)
    assert isinstance(stream, AsyncGenerator)
    if taken:
        async with aclosing(stream):
            await anext(stream)
    else:
        waiting = asyncio.ensure_future(anext(stream))
        await until(lambda: server.answering == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await until(lambda: server.answering == 0)
    await server.close(grace_s=0.05)


async def test_a_model_comes_whole_from_three_peers_of_which_one_lies(
    session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    data = make_chunks(60, 50_000)
    shelves = [FakeShelf(tmp_path / str(number)) for number in range(3)]
    for shelf in shelves:
        for one in data.values():
            shelf.put(one)
    for place in shelves[2].places.values():
        place.path.write_bytes(bytes(place.size + 6))
    keeper = Keeper()
    async with sharing(shelves[0]) as a, sharing(shelves[1]) as b, sharing(shelves[2]) as c:
        sources = [source_at(session, address) for address in (a, b, c)]
        for source in sources:
            source._held = {one.digest for one in data}
        report = await fetch(list(data), sources, keep=keeper.keep)
    assert keeper.kept == {chunk.digest: one for chunk, one in data.items()}
    assert [one.dropped for one in report.sources] == [None, None, "sent wrong bytes"]
