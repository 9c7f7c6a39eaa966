"""A peer as a source of chunks: asks its chunk server, and believes nothing of what it answers but its length.

All chunks of a batch come in one answer, so that small ones do not cost a round trip each. What comes is counted while
it is read: a peer that sends another length than the manifest's, or more than was asked for, is cut off. Spec:
`specs/weights.md` §Chunks between peers.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import time
from typing import Final

import aiohttp
from yarl import URL

from crypto.identity import Identity, PeerId
from node.store import http_sizes
from node.store.pace import AnyPace, Flow, Intake, Limit, Turn, Unlimited
from node.store.share_auth import Asked, authorization
from node.store.share_reading import LENGTH_BYTES, NOT_HERE
from node.store.source import Chunk, SourceFailed
from wire import held as held_bits
from wire import limits
from wire.errors import BadMessage
from wire.manifest import Manifest
from wire.types import DEFAULT_NETWORK, Address, ModelId

STREAMS: Final = 2
"""One answer is read while the next is asked for; more gains nothing from one peer."""
SOON_S: Final = 1.0
"""When to ask again a peer that broke off."""
_READ_BUFFER_BYTES: Final = 1024 * 1024
_IDLE_CONNECTION_S: Final = 5.0
"""Below the server's own bound, so that a request rarely meets a connection that is just being closed."""
_MAX_RETRY_S: Final = 86_400
_MODEL_ID_CHARS: Final = 59


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for a peer."""

    silence_s: float = 8.0
    """Without a byte."""
    connect_s: float = limits.DIAL_TIMEOUT_S
    least_bytes_per_s: float = 16 * 1024
    """A chunk, a manifest or a list that comes more slowly than this, beyond `silence_s`, is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asks: signs requests, for private swarms."""

    identity: Identity
    network: str = DEFAULT_NETWORK
    """The swarm that it is asked in."""
    now: Callable[[], float] = time
    """Unix time in seconds."""


def client_session(patience: Patience | None = None, limit: Limit | None = None) -> aiohttp.ClientSession:
    """Make the session that peers are asked over; the caller closes it. Must be called with a running loop.

    Args:
        limit: for what peers send.
    """
    waits = patience or Patience()
    return aiohttp.ClientSession(
        connector=http_sizes.connector(
            limit or Unlimited(), limit=0, keepalive_timeout=_IDLE_CONNECTION_S, use_dns_cache=False
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=waits.connect_s, sock_read=waits.silence_s),
        headers={"User-Agent": "lamella", "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
        max_line_size=limits.SHARE_FIELD_BYTES,
        max_field_size=limits.SHARE_FIELD_BYTES,
    )


class PeerSource:
    """Chunks of one model at one peer."""

    streams = STREAMS
    is_peer = True

    def __init__(
        self,
        session: aiohttp.ClientSession,
        address: Address,
        peer_id: PeerId,
        *,
        asker: Asker | None = None,
        patience: Patience | None = None,
        flow: Flow | None = None,
    ) -> None:
        """Ask one peer.

        Args:
            session: from `client_session`; stays the caller's.
            asker: signs the requests; without one they are not signed.
            flow: what everything from this peer goes through.
        """
        self._session = session
        self._address = address
        self._peer_id = peer_id
        self._asker = asker
        self._patience = patience or Patience()
        self._flow = flow or Intake.at(AnyPace()).peers
        self._held: set[bytes] = set()

    @property
    def label(self) -> str:
        """The peer and its address: nobody can have a peer avoided by lying elsewhere in its name."""
        return f"peer {self._peer_id.short} at {self._address}"

    async def manifest(self, model_id: ModelId) -> Manifest:
        """Fetch the manifest of a model, checked against the id. Raises `SourceFailed`."""
        data = await self._whole(f"/v1/manifests/{model_id}", limits.MAX_MANIFEST_BYTES)
        try:
            return await asyncio.to_thread(_checked_manifest, model_id, data)
        except BadMessage as error:
            raise self._failed(f"sent a manifest that is not this model's ({error})", None) from error

    async def named(self, repo: str, commit: str) -> ModelId | None:
        """Ask which model a hub's `org/name` is at a commit; its word alone proves nothing. None when it does not know.

        Raises:
            SourceFailed: it does not answer, or not with an id.
        """
        try:
            data = await self._whole(f"/v1/names/{repo}/{commit}", _MODEL_ID_CHARS)
            return ModelId.parse(data.decode("ascii"))
        except NotThere:
            return None
        except ValueError as error:
            raise self._failed("sent something that is not a model id", None) from error

    async def learn(self, manifest: Manifest) -> None:
        """Ask which chunks of a model the peer holds. Raises `SourceFailed`."""
        order = await asyncio.to_thread(held_bits.distinct, manifest)
        model_id = await asyncio.to_thread(lambda: manifest.model_id)
        bits = await self._whole(f"/v1/held/{model_id}", held_bits.bitmap_size(len(order)))
        try:
            self._held = set(await asyncio.to_thread(held_bits.read_bitmap, order, bits))
        except BadMessage as error:
            raise self._failed(f"sent a wrong list of its chunks ({error})", None) from error

    def holds(self, chunk: Chunk) -> bool:
        """Whether the peer said that it has a chunk, and has not said otherwise since."""
        return chunk.digest in self._held

    def batch(self, ranked: Sequence[Chunk], most_bytes: int) -> list[Chunk]:
        """The first chunks of `ranked` that fit, as one answer carries any."""
        most = min(most_bytes, limits.PEER_BATCH_BYTES)
        chosen: dict[bytes, Chunk] = {}
        total = 0
        for chunk in ranked[: limits.PEER_BATCH_CHUNKS]:
            if chosen and total + chunk.size > most:
                break
            if chunk.digest not in chosen:
                chosen[chunk.digest] = chunk
                total += chunk.size
        return list(chosen.values())

    async def read(
        self, batch: Sequence[Chunk], turn: Turn | None = None
    ) -> AsyncIterator[tuple[Chunk, bytes]]:
        """Deliver the chunks of a batch. One that the peer no longer has is left out, and not held any more.

        Args:
            turn: see `Source`.

        Raises:
            SourceFailed: it refuses, breaks off, is silent, or sends something else than these chunks.
        """
        async with self._answer("POST", "/v1/chunks", b"".join(one.digest for one in batch), turn) as body:
            for chunk in batch:
                data = await self._chunk(body, chunk)
                if data is None:
                    self._held.discard(chunk.digest)
                else:
                    yield chunk, data
            await self._end(body)

    async def _chunk(self, body: _Body, chunk: Chunk) -> bytes | None:
        async with body.within(self._allowed_s(chunk.size)):
            head = await body.take(LENGTH_BYTES)
            if head == NOT_HERE:
                return None
            announced = int.from_bytes(head, "big")
            if announced != chunk.size:
                raise self._failed(f"announced {announced} bytes for a chunk of {chunk.size}", None)
            return await body.take(chunk.size)

    async def _end(self, body: _Body) -> None:
        async with body.within(self._allowed_s(0)):
            if not await body.ended():
                raise self._failed("sent more than was asked for", None)

    async def _whole(self, path: str, most_bytes: int) -> bytes:
        """Fetch an answer of at most `most_bytes`."""
        async with self._answer("GET", path, b"") as body:
            if body.length is None or body.length > most_bytes:
                raise self._failed(
                    f"announced an answer of {body.length} bytes where {most_bytes} are the most", None
                )
            async with body.within(self._allowed_s(body.length)):
                data = await body.take(body.length)
            await self._end(body)
            return data

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, sent: bytes, turn: Turn | None = None
    ) -> AsyncIterator[_Body]:
        """Ask, and read the answer inside the block. Raises `SourceFailed` for whatever goes wrong there."""
        address = self._address
        url = URL.build(scheme="http", host=address.ip, port=address.port, path=path, encoded=True)
        headers = {}
        if self._asker is not None:
            asked = Asked(
                network=self._asker.network, server=self._peer_id, method=method, path=path, body=sent
            )
            headers["Authorization"] = authorization(self._asker.identity, asked, self._asker.now())
        try:
            async with self._session.request(
                method,
                url,
                data=sent or None,
                headers=headers,
                allow_redirects=False,
                read_bufsize=http_sizes.read_buffer(self._flow.along, _READ_BUFFER_BYTES),
            ) as response:
                came, went = http_sizes.of_exchange(response)
                self._flow.heads(came, went + len(sent))
                self._check_status(response)
                yield _Body(response, turn or self._flow.take)
        except aiohttp.ClientConnectorError as error:
            raise self._failed(f"cannot be reached ({error.strerror or 'no route'})", SOON_S) from error
        except TimeoutError as error:
            raise self._failed("stopped sending", SOON_S) from error
        except (aiohttp.ClientError, _BrokenOff) as error:
            raise self._failed("broke off", SOON_S) from error

    def _check_status(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == 200:
            return
        if status in {401, 403}:
            raise self._failed(
                "does not let this host read; the swarm may be private, or one of both clocks is wrong", None
            )
        if status == 404:
            raise NotThere(
                f"{self.label} does not have what was asked for",
                "other sources are asked instead",
                retry_after_s=None,
            )
        if status in {408, 429, 500, 503}:
            raise self._failed(f"is busy (HTTP {status})", _retry_s(response.headers.get("Retry-After", "")))
        raise self._failed(f"answered with HTTP {status}", None)

    def _allowed_s(self, nbytes: int) -> float:
        return self._patience.silence_s + nbytes / self._patience.least_bytes_per_s

    def _failed(self, what: str, retry_after_s: float | None) -> SourceFailed:
        return SourceFailed(
            f"{self.label} {what}", "other sources are asked instead", retry_after_s=retry_after_s
        )


class NotThere(SourceFailed):
    """The peer does not have what was asked for."""


class _BrokenOff(Exception):
    """The answer ended before it was complete."""


class _Body:
    """What comes, cut where the caller says."""

    def __init__(self, response: aiohttp.ClientResponse, turn: Turn) -> None:
        self.length = response.content_length
        self._content = response.content
        self._turn = turn
        self._rest = memoryview(b"")
        self._deadline: asyncio.Timeout | None = None

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Give the peer so long for what the block takes; how long we wait for our own turn does not count."""
        async with asyncio.timeout(seconds) as deadline:
            self._deadline = deadline
            try:
                yield
            finally:
                self._deadline = None

    async def take(self, nbytes: int) -> bytes:
        """The next so many bytes; holds no more than these and one buffer. Raises `_BrokenOff`."""
        pieces = []
        left = nbytes
        while left:
            if not self._rest:
                await self._more()
            piece = self._rest[:left]
            self._rest = self._rest[len(piece) :]
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    async def ended(self) -> bool:
        """Whether nothing more comes."""
        if self._rest:
            return False
        try:
            await self._more()
        except _BrokenOff:
            return True
        return False

    async def _more(self) -> None:
        while not self._rest:
            # Not `readany`, which joins what lies there: each byte would be copied once more.
            data, end_of_part = await self._content.readchunk()
            if not data and not end_of_part:
                raise _BrokenOff
            await self._wait_turn(len(data))
            self._rest = memoryview(data)

    async def _wait_turn(self, nbytes: int) -> None:
        deadline = self._deadline
        if deadline is None or (due := deadline.when()) is None:
            await self._turn(nbytes)
            return
        clock = asyncio.get_running_loop().time
        left_s = due - clock()
        deadline.reschedule(None)
        try:
            await self._turn(nbytes)
        finally:
            deadline.reschedule(clock() + left_s)


def _checked_manifest(model_id: ModelId, data: bytes) -> Manifest:
    """Decode a manifest. Raises `BadMessage` unless it is the model's."""
    if hashlib.sha256(data).digest() != model_id.digest:
        raise BadMessage("its digest is another")
    return Manifest.decode(data)


def _retry_s(text: str) -> float:
    """Seconds of a `Retry-After`; dates are not understood, and count as soon."""
    return (
        float(min(int(text), _MAX_RETRY_S)) if text.isascii() and text.isdigit() and len(text) < 8 else SOON_S
    )
