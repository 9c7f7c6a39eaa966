from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from crypto.identity import Identity, PeerId
from node.store.peer_source import PeerSource, client_session
from node.store.share import CannotListen, ShareServer
from node.store.share_auth import Asked, MembersGate, OpenGate, authorization
from node.store.shelf import Place
from node.store.source import SourceFailed
from tests.fakes.deadline import until
from tests.fakes.share import ME, NOW, Served, request, serving
from tests.fakes.shelf import model_of
from wire import limits

MEMBER = Identity.from_seed(bytes([1]) * 32)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as one:
        yield one


async def test_a_chunk_is_served_by_its_digest(served: Served) -> None:
    digest = served.shelf.put(b"0123456789")
    answer = await served.get(f"/v1/chunks/{digest.hex()}")
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert answer.headers["etag"] == f'"{digest.hex()}"'
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["server"] == "lamella"


async def test_a_chunk_of_many_blocks_comes_whole(served: Served) -> None:
    data = random.Random(1).randbytes(2 * limits.SHARE_BLOCK_BYTES + 7)
    digest = served.shelf.put(data)
    assert (await served.get(f"/v1/chunks/{digest.hex()}")).body == data


async def test_one_range_is_served(served: Served) -> None:
    path = f"/v1/chunks/{served.shelf.put(b'0123456789').hex()}"
    answer = await served.get(path, "Range: bytes=2-4")
    assert (answer.status, answer.body) == (206, b"234")
    assert answer.headers["content-range"] == "bytes 2-4/10"
    assert (await served.get(path, "Range: bytes=-3")).body == b"789"


async def test_a_range_beyond_the_end_is_416_and_tells_the_size(served: Served) -> None:
    path = f"/v1/chunks/{served.shelf.put(b'0123456789').hex()}"
    answer = await served.get(path, "Range: bytes=10-")
    assert answer.status == 416
    assert answer.headers["content-range"] == "bytes */10"


async def test_a_range_for_another_version_is_not_used(served: Served) -> None:
    digest = served.shelf.put(b"0123456789")
    path = f"/v1/chunks/{digest.hex()}"
    answer = await served.get(path, "Range: bytes=0-1", 'If-Range: "other"')
    assert (answer.status, answer.body) == (200, b"0123456789")
    assert (await served.get(path, "Range: bytes=0-1", f'If-Range: "{digest.hex()}"')).status == 206


async def test_several_ranges_are_answered_with_everything(served: Served) -> None:
    path = f"/v1/chunks/{served.shelf.put(b'0123456789').hex()}"
    assert (await served.get(path, "Range: bytes=0-1,4-5")).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/chunks/",
        "/v1/chunks/../../../etc/passwd",
        "/v1/chunks/%2e%2e/%2e%2e/etc/passwd",
        "/v1/chunks/..%2f..%2fetc%2fpasswd",
        "/v1/chunks/" + "0" * 63,
        "/v1/chunks/" + "0" * 65,
        "/v1/chunks/" + "A" * 64,
        "/v1/chunks/" + "%30" * 64,
        "/v1/chunks/" + "0" * 64 + "?x=1",
        "/v1/chunks/" + "0" * 64 + "/",
        "/v1//chunks/" + "0" * 64,
        "//v1/chunks/" + "0" * 64,
        "/v1/chunks/" + "0" * 63 + "%00",
        "/v1/manifests/..",
        "/v1/manifests/b" + "a" * 58,
        "/v1/held/" + "z" * 59,
        "http://elsewhere/v1/chunks/" + "0" * 64,
    ],
)
async def test_no_other_path_leads_anywhere(served: Served, path: str) -> None:
    asked: list[bytes] = []
    locate = served.shelf.locate
    served.shelf.locate = lambda digest: asked.append(digest) or locate(digest)  # type: ignore[method-assign,func-returns-value] # notes what is asked
    assert (await served.get(path)).status == 404
    assert asked == []


async def test_a_chunk_that_is_not_here_is_404(served: Served) -> None:
    assert (await served.get("/v1/chunks/" + "0" * 64)).status == 404


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/chunks/" + "0" * 64), ("GET", "/v1/chunks"), ("PUT", "/v1/chunks")]
)
async def test_other_methods_are_refused(served: Served, method: str, path: str) -> None:
    answer = await served.send(request(method, path, "Content-Length: 0"))
    assert answer.status == 405
    assert answer.headers["allow"] in {"GET", "POST"}


async def test_a_batch_comes_in_the_order_asked_each_after_its_length(served: Served) -> None:
    a, b = served.shelf.put(b"one"), served.shelf.put(b"")
    answer = await served.post(a + bytes(32) + b)
    assert answer.status == 200
    assert answer.body == b"\0\0\0\3one" + b"\xff\xff\xff\xff" + b"\0\0\0\0"


async def test_hundreds_of_small_chunks_come_in_one_answer(served: Served) -> None:
    digests = [served.shelf.put(bytes([number]) * number) for number in range(limits.PEER_BATCH_CHUNKS)]
    answer = await served.post(b"".join(digests))
    assert answer.body == b"".join(
        number.to_bytes(4, "big") + bytes([number]) * number for number in range(limits.PEER_BATCH_CHUNKS)
    )


@pytest.mark.parametrize("size", [0, 31, 33, 32 * limits.PEER_BATCH_CHUNKS + 32, 1 << 40])
async def test_a_batch_of_a_wrong_size_is_refused_before_it_is_read(served: Served, size: int) -> None:
    answer = await served.send(request("POST", "/v1/chunks", f"Content-Length: {size}"))
    assert answer.status == 400


async def test_a_batch_without_a_length_is_refused(served: Served) -> None:
    answer = await served.send(request("POST", "/v1/chunks", "Transfer-Encoding: chunked"))
    assert answer.status == 411


async def test_a_batch_of_too_many_bytes_is_refused(served: Served) -> None:
    digest = served.shelf.put(b"x")
    place = served.shelf.places[digest]
    served.shelf.places[digest] = Place(path=place.path, offset=0, size=limits.PEER_BATCH_BYTES)
    assert (await served.post(digest * 2)).status == 413


async def test_digests_that_do_not_come_are_not_waited_for_long(tmp_path: Path) -> None:
    async with serving(tmp_path, read_timeout_s=0.1) as served:
        answer = await served.send(request("POST", "/v1/chunks", "Content-Length: 64") + bytes(10))
        assert answer.status == 408


async def test_a_manifest_and_what_is_held_of_it_are_served(served: Served) -> None:
    pieces = [b"one", b"two", b"three"]
    manifest, _ = model_of(pieces)
    served.shelf.manifests[manifest.model_id] = manifest.encode()
    served.shelf.put(b"two")
    answer = await served.get(f"/v1/manifests/{manifest.model_id}")
    assert (answer.status, answer.body) == (200, manifest.encode())
    for _ in range(2):
        answer = await served.get(f"/v1/held/{manifest.model_id}")
        assert (answer.status, answer.body) == (200, bytes([0b0100_0000]))
    served.shelf.put(b"three")
    assert (await served.get(f"/v1/held/{manifest.model_id}")).body == bytes([0b0110_0000])


async def test_an_unknown_model_is_404(served: Served) -> None:
    manifest, _ = model_of([b"x"])
    assert (await served.get(f"/v1/manifests/{manifest.model_id}")).status == 404
    assert (await served.get(f"/v1/held/{manifest.model_id}")).status == 404


@pytest.mark.parametrize("left", [0, 3])
async def test_a_file_that_was_cut_ends_the_connection_and_is_not_filled_up(
    served: Served, left: int
) -> None:
    data = random.Random(1).randbytes(3 * limits.SHARE_BLOCK_BYTES)
    digest = served.shelf.put(data)
    place = served.shelf.places[digest]
    with place.path.open("r+b") as file:
        file.truncate(left * limits.SHARE_BLOCK_BYTES - 1 if left else 0)
    reader, writer = await served.connect()
    writer.write(request("GET", f"/v1/chunks/{digest.hex()}"))
    async with asyncio.timeout(20):
        got = b""
        with suppress(ConnectionError):
            while piece := await reader.read(1 << 20):
                got += piece
    body = got.partition(b"\r\n\r\n")[2]
    assert data.startswith(body)
    assert len(body) < len(data)
    await until(lambda: served.server.answering == 0)


async def signed(served: Served, identity: Identity, path: str, now: float = NOW, server: PeerId = ME) -> int:
    header = authorization(identity, Asked(server=server, method="GET", path=path), now)
    return (await served.get(path, f"Authorization: {header}")).status


async def test_a_private_swarm_serves_its_members_only(tmp_path: Path) -> None:
    stranger = Identity.from_seed(bytes([2]) * 32)
    async with serving(tmp_path, gate=MembersGate({MEMBER.peer_id})) as served:
        path = f"/v1/chunks/{served.shelf.put(b'secret').hex()}"
        assert await signed(served, MEMBER, path) == 200
        assert (await served.get(path)).status == 401
        assert await signed(served, stranger, path) == 403
        assert await signed(served, MEMBER, path, now=NOW - 3600) == 401
        assert await signed(served, MEMBER, path, server=MEMBER.peer_id) == 401
        # Nobody outside learns whether a chunk is here.
        assert (await served.get("/v1/chunks/" + "0" * 64)).status == 401
        assert (await served.post(bytes(32))).status == 401


async def test_the_digests_of_a_batch_are_signed_too(tmp_path: Path) -> None:
    async with serving(tmp_path, gate=MembersGate({MEMBER.peer_id})) as served:
        mine, other = served.shelf.put(b"mine"), served.shelf.put(b"other")
        header = authorization(MEMBER, Asked(server=ME, method="POST", path="/v1/chunks", body=mine), NOW)
        assert (await served.post(mine, f"Authorization: {header}")).status == 200
        assert (await served.post(other, f"Authorization: {header}")).status == 401


async def test_two_authorizations_are_none(served: Served) -> None:
    path = f"/v1/chunks/{served.shelf.put(b'x').hex()}"
    header = authorization(MEMBER, Asked(server=ME, method="GET", path=path), NOW)
    both = (f"Authorization: {header}", f"Authorization: {header}")
    assert (await served.get(path, *both)).status == 401


async def test_a_bad_signature_is_refused_where_none_is_needed(served: Served) -> None:
    path = f"/v1/chunks/{served.shelf.put(b'x').hex()}"
    assert (await served.get(path, "Authorization: Lamella-Ed25519 nonsense")).status == 401


async def hold(served: Served, digest: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a chunk and do not read it."""
    reader, writer = await served.connect()
    writer.write(request("GET", f"/v1/chunks/{digest.hex()}"))
    await writer.drain()
    return reader, writer


def large(served: Served) -> bytes:
    """A chunk that no socket buffers hold."""
    digest = served.shelf.put(b"")
    path = served.shelf.folder / "large"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    served.shelf.places[digest] = Place(path=path, offset=0, size=64 << 20)
    return digest


async def test_who_does_not_read_is_cut_off_and_holds_no_place(tmp_path: Path) -> None:
    async with serving(tmp_path, read_timeout_s=0.2) as served:
        await hold(served, large(served))
        await until(lambda: served.server.answering == 1)
        await until(lambda: served.server.answering == 0)


async def test_who_goes_away_leaves_its_place_at_once(served: Served) -> None:
    _, writer = await hold(served, large(served))
    await until(lambda: served.server.answering == 1)
    writer.transport.abort()
    await until(lambda: served.server.answering == 0, timeout_s=limits.SHARE_READ_TIMEOUT_S / 2)


async def test_answers_under_way_are_bounded_for_each_who_asks(tmp_path: Path) -> None:
    async with serving(tmp_path, max_requests_per_peer=2) as served:
        digest, small = large(served), served.shelf.put(b"small")
        for _ in range(2):
            await hold(served, digest)
        await until(lambda: served.server.answering == 2)
        answer = await served.get(f"/v1/chunks/{small.hex()}")
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        # Another peer has places of its own.
        assert await signed(served, MEMBER, f"/v1/chunks/{small.hex()}") == 200


async def test_ten_times_the_connections_leave_the_server_answering(tmp_path: Path) -> None:
    async with serving(tmp_path, max_connections=20, max_connections_per_address=20) as served:
        digest = served.shelf.put(b"small")
        idle = [await served.connect() for _ in range(200)]
        ends = [asyncio.ensure_future(reader.read(1)) for reader, _ in idle]
        await until(lambda: sum(end.done() for end in ends) == 180)
        for _, writer in idle:
            writer.close()
        async with asyncio.timeout(20):
            await asyncio.gather(*ends, return_exceptions=True)
            while True:
                with suppress(asyncio.IncompleteReadError, ConnectionError):
                    if (await served.get(f"/v1/chunks/{digest.hex()}")).body == b"small":
                        break


async def test_a_connection_that_asks_nothing_is_closed(tmp_path: Path) -> None:
    async with serving(tmp_path, idle_timeout_s=0.2) as served:
        quiet, _ = await served.connect()
        slow, writer = await served.connect()
        writer.write(b"GET /v1/chunks/")
        async with asyncio.timeout(20):
            assert await quiet.read() == b""
            assert await slow.read() == b""


@pytest.mark.parametrize(
    "raw",
    [
        request("GET", "/v1/chunks/" + "0" * 5000),
        request("GET", "/", "X: " + "y" * 5000),
        request("GET", "/", *[f"X{number}: y" for number in range(100)]),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
    ids=["line", "field", "fields", "tls", "version"],
)
async def test_what_is_not_a_request_is_400(served: Served, raw: bytes) -> None:
    assert (await served.send(raw)).status == 400


async def test_an_address_in_use_is_told(served: Served) -> None:
    other = ShareServer(served.shelf, me=ME, gate=OpenGate())
    with pytest.raises(CannotListen, match=re.escape(str(served.address))):
        await other.start(served.address)
    await other.close()


async def test_closing_cuts_off_who_does_not_read(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        reader, _ = await hold(served, large(served))
        await until(lambda: served.server.answering == 1)
        async with asyncio.timeout(20):
            await served.server.close(grace_s=0.05)
            with suppress(ConnectionError):
                while await reader.read(1 << 20):
                    pass
        assert served.server.answering == 0


COMMIT = "0123456789abcdef" * 2 + "01234567"


async def test_a_model_is_told_by_its_name_on_a_hub(served: Served) -> None:
    manifest, _ = model_of([b"x"])
    served.shelf.names[f"hf:org/na.me-1_x@{COMMIT}"] = manifest.model_id
    answer = await served.get(f"/v1/names/org/na.me-1_x/{COMMIT}")
    assert (answer.status, answer.body) == (200, str(manifest.model_id).encode())
    assert answer.headers["cache-control"] == "no-store"
    assert (await served.get(f"/v1/names/org/other/{COMMIT}")).status == 404
    assert (await served.send(request("POST", f"/v1/names/org/na.me-1_x/{COMMIT}"))).status == 405


async def test_a_peer_is_asked_for_a_name_and_believed_in_nothing_but_its_form(served: Served) -> None:
    manifest, _ = model_of([b"x"])
    served.shelf.names[f"hf:org/name@{COMMIT}"] = manifest.model_id
    async with client_session() as session:
        peer = PeerSource(session, served.address, ME)
        assert await peer.named("org/name", COMMIT) == manifest.model_id
        assert await peer.named("org/other", COMMIT) is None
        served.shelf.names[f"hf:org/name@{COMMIT}"] = "b" + "A" * 58  # type: ignore[assignment] # as a liar has it
        with pytest.raises(SourceFailed, match="not a model id"):
            await peer.named("org/name", COMMIT)
        served.shelf.names[f"hf:org/name@{COMMIT}"] = "b" * 60  # type: ignore[assignment] # as a liar has it
        with pytest.raises(SourceFailed, match="60 bytes where 59 are the most"):
            await peer.named("org/name", COMMIT)


@pytest.mark.parametrize(
    "path",
    [
        f"org/{COMMIT}",
        f"org/name/{COMMIT[:-1]}",
        "org/name/main",
        f"org/na%6de/{COMMIT}",
        f"org/{'n' * 97}/{COMMIT}",
        f"org/name/{COMMIT}?x",
        "",
    ],
)
async def test_no_other_name_is_looked_up(served: Served, path: str) -> None:
    asked: list[str] = []
    served.shelf.named = asked.append  # type: ignore[method-assign,assignment] # notes what is asked
    assert (await served.get(f"/v1/names/{path}")).status in {400, 404}
    assert asked == []
