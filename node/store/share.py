"""Serves chunks, manifests and lists of what is held to peers, over HTTP/1.1.

Spec: `specs/weights.md` §Chunks between peers.

Chunks are read in place, a block at a time, on worker threads. They are not checked: whoever asked for a digest checks
what came. A request is one of four paths, compared byte for byte: nothing of it is decoded or used as a file's name.
What peers can take of this host is bounded: connections, answers, memory, bytes a second, and time without progress.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from time import time
from typing import Final

from aiohttp import web
from aiohttp.web_request import BaseRequest

from crypto.identity import PeerId
from node.store import byte_range, http_sizes, share_reading
from node.store.errors import StoreError
from node.store.pace import AnyPace, Flow, Pace
from node.store.share_auth import Asked, BadAuthorization, Gate, authenticate
from node.store.share_places import NoPlace, Places
from node.store.share_reading import Part, Vanished
from node.store.shelf import Place, Shelf
from wire import held as held_bits
from wire import limits
from wire.errors import InvalidValue
from wire.manifest import Manifest
from wire.types import DEFAULT_NETWORK, Address, ModelId

_PATH: Final = re.compile(
    r"/v1/(?:chunks(?:/([0-9a-f]{64}))?|(manifests|held)/(b[a-z2-7]{58})"
    r"|(names)/([A-Za-z0-9_.-]{1,96}/[A-Za-z0-9_.-]{1,96})/([0-9a-f]{40}))",
    re.ASCII,
)
_FOREVER: Final = "private, max-age=31536000, immutable"
_BUSY_RETRY_S: Final = 1
_REMEMBERED_ORDERS: Final = 4
"""Models whose order of chunks is kept in memory; a large one takes 30 MB."""
READER_BYTES_PER_S: Final = 16 * 1024
"""A reader gives up what comes more slowly (`peer_source.Patience`): under a limit so many have an answer at once that
each could have as much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareTerms:
    """What a host gives to those who ask."""

    pace: Pace = field(default_factory=AnyPace)
    """How fast all answers together may leave, beside whatever else this process sends."""
    max_requests: int = limits.MAX_SHARE_REQUESTS
    max_requests_per_peer: int = limits.MAX_SHARE_REQUESTS_PER_PEER
    max_connections: int = limits.MAX_SHARE_CONNECTIONS
    max_connections_per_address: int = limits.MAX_SHARE_CONNECTIONS_PER_ADDRESS
    read_timeout_s: float = limits.SHARE_READ_TIMEOUT_S
    idle_timeout_s: float = limits.SHARE_IDLE_TIMEOUT_S


class CannotListen(StoreError):
    """The address for chunks cannot be listened on."""


class _Refusal(Exception):
    """An answer that is an error: its status, words for a person, and more headers."""

    def __init__(self, status: int, words: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.headers = headers or {}

    def response(self) -> web.Response:
        """The answer."""
        return web.Response(
            status=self.status, text=self.words + "\n", headers={"Server": "lamella", **self.headers}
        )


class _Listener(web.Server):
    """Takes connections up to a bound, in all and from each address."""

    def __init__(
        self, handler: Callable[[BaseRequest], Awaitable[web.StreamResponse]], terms: ShareTerms
    ) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=terms.idle_timeout_s,
            max_line_size=limits.SHARE_FIELD_BYTES,
            max_field_size=limits.SHARE_FIELD_BYTES,
            max_headers=limits.SHARE_FIELDS,
            lingering_time=0,
            auto_decompress=False,
        )
        self._places = Places(terms.max_connections, terms.max_connections_per_address)
        self._addresses: dict[web.RequestHandler, str] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, or cut it off."""
        super().connection_made(handler, transport)
        name = transport.get_extra_info("peername")
        address = str(name[0]) if name else ""
        try:
            self._places.take(address)
        except NoPlace:
            transport.abort()
            return
        self._addresses[handler] = address

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Count a connection off."""
        super().connection_lost(handler, exc)
        address = self._addresses.pop(handler, None)
        if address is not None:
            self._places.leave(address)


class ShareServer:
    """Hands out what is on a shelf to those a gate lets in."""

    def __init__(
        self,
        shelf: Shelf,
        *,
        me: PeerId,
        gate: Gate,
        network: str = DEFAULT_NETWORK,
        terms: ShareTerms | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        """
        Args:
            network: the swarm whose peers ask; what was signed for another counts for nothing here.
            now: Unix time in seconds.
        """
        self._shelf = shelf
        self._me = me
        self._gate = gate
        self._network = network
        self._terms = terms or ShareTerms()
        self._now = now
        self._places = Places(self._terms.max_requests, self._terms.max_requests_per_peer)
        self._manifest_turns = asyncio.Semaphore(limits.MAX_MANIFEST_REQUESTS)
        self._orders: OrderedDict[ModelId, tuple[bytes, ...]] = OrderedDict()
        self.given = Flow(self._terms.pace.upload, self._terms.pace.download)
        """What was given."""
        self._listener: _Listener | None = None
        self._socket: asyncio.Server | None = None

    async def start(self, listen: Address) -> Address:
        """Listen; port 0 is any free one. Returns where. Raises `CannotListen`."""
        loop = asyncio.get_running_loop()
        self._listener = _Listener(self._handle, self._terms)
        try:
            self._socket = await loop.create_server(self._listener, listen.ip, listen.port)
        except OSError as error:
            raise CannotListen(
                f"chunks cannot be served at {listen} ({error.strerror or error})",
                "choose another address or port",
            ) from error
        return Address(listen.ip, self._socket.sockets[0].getsockname()[1])

    async def close(self, grace_s: float = limits.GOODBYE_GRACE_S) -> None:
        """Stop listening, let answers under way end for a while, and cut off the rest."""
        if self._socket is None or self._listener is None:
            return
        self._socket.close()
        await self._listener.shutdown(grace_s)
        await self._socket.wait_closed()
        self._socket = self._listener = None

    @property
    def answering(self) -> int:
        """Answers under way."""
        return self._places.taken

    async def _handle(self, request: BaseRequest) -> web.StreamResponse:
        try:
            return await self._admitted(request)
        except _Refusal as refusal:
            return refusal.response()
        except (Vanished, ConnectionError):
            # The length is announced: only a broken connection tells the reader that the rest will not come.
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)

    async def _admitted(self, request: BaseRequest) -> web.StreamResponse:
        self.given.heads(http_sizes.ANSWER_BYTES, http_sizes.of_request(request))
        found = _PATH.fullmatch(request.raw_path)
        if found is None:
            raise _Refusal(404, "no such path")
        digest, kind, model, names, repo, commit = found.groups()
        batched = digest is None and kind is None and names is None
        method = "POST" if batched else "GET"
        if request.method != method:
            raise _Refusal(405, f"this path takes {method}", {"Allow": method})
        body = await self._digests(request) if batched else b""
        asked = Asked(network=self._network, server=self._me, method=method, path=request.raw_path, body=body)
        peer = self._peer(request, asked)
        self._places.most = self._most_requests()
        try:
            with self._places.held(peer or request.remote):
                if batched:
                    return await self._batch(request, body)
                if names is not None:
                    return await self._name(f"hf:{repo}@{commit}")
                if kind is None:
                    return await self._chunk(request, bytes.fromhex(digest))
                return await self._about(request, kind, _model_id(model))
        except NoPlace as error:
            raise _Refusal(
                503, "too many answers are under way", {"Retry-After": str(_BUSY_RETRY_S)}
            ) from error

    def _peer(self, request: BaseRequest, asked: Asked) -> PeerId | None:
        given = request.headers.getall("Authorization", [])
        try:
            peer = authenticate(",".join(given) if given else None, asked, self._now())
        except BadAuthorization as error:
            raise _Refusal(401, error.cause, {"WWW-Authenticate": "Lamella-Ed25519"}) from error
        if self._gate.allows(peer):
            return peer
        if peer is None:
            raise _Refusal(401, "say who asks", {"WWW-Authenticate": "Lamella-Ed25519"})
        raise _Refusal(403, "this peer may not read here")

    async def _digests(self, request: BaseRequest) -> bytes:
        """The body of a batch."""
        size = request.content_length
        if size is None:
            raise _Refusal(411, "a batch has a Content-Length")
        if not 0 < size <= limits.PEER_BATCH_CHUNKS * limits.DIGEST_BYTES or size % limits.DIGEST_BYTES:
            raise _Refusal(400, f"a batch is 1 to {limits.PEER_BATCH_CHUNKS} digests of 32 bytes")
        try:
            async with asyncio.timeout(self._terms.read_timeout_s):
                body = await request.content.readexactly(size)
        except TimeoutError as error:
            raise _Refusal(408, "the digests did not come", {"Connection": "close"}) from error
        except (asyncio.IncompleteReadError, web.RequestPayloadError) as error:
            raise _Refusal(400, "the digests did not come") from error
        self.given.heads(0, size)
        return body

    async def _chunk(self, request: BaseRequest, digest: bytes) -> web.StreamResponse:
        place = await asyncio.to_thread(self._shelf.locate, digest)
        if place is None:
            raise _Refusal(404, "this chunk is not here")
        tag = f'"{digest.hex()}"'
        headers = {"ETag": tag, "Cache-Control": _FOREVER, "Accept-Ranges": "bytes"}
        # RFC 9110 §13.1.5: a condition that does not hold makes the range as if it had not been sent.
        asked = request.headers.get("Range") if request.headers.get("If-Range", tag) == tag else None
        try:
            span = byte_range.parse(asked, place.size)
        except byte_range.Unsatisfiable as error:
            raise _Refusal(
                416, "no byte of the chunk is in the range", {"Content-Range": f"bytes */{place.size}"}
            ) from error
        start, end = span or (0, place.size)
        if span is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{place.size}"
        response = web.StreamResponse(status=200 if span is None else 206, headers=headers)
        return await self._send(request, response, end - start, [share_reading.stretch(place, start, end)])

    async def _batch(self, request: BaseRequest, body: bytes) -> web.StreamResponse:
        width = limits.DIGEST_BYTES
        digests = [body[at : at + width] for at in range(0, len(body), width)]
        places = await asyncio.to_thread(_locate, self._shelf, digests)
        total = sum(place.size for place in places if place is not None)
        if total > limits.PEER_BATCH_BYTES and len(digests) > 1:
            raise _Refusal(413, f"a batch of several chunks is at most {limits.PEER_BATCH_BYTES} bytes")
        parts = share_reading.framed(places)
        return await self._send(request, web.StreamResponse(), sum(part.nbytes for part in parts), parts)

    async def _about(self, request: BaseRequest, kind: str, model: ModelId) -> web.StreamResponse:
        """A manifest, or which of its chunks are here."""
        try:
            async with asyncio.timeout(self._terms.read_timeout_s):
                await self._manifest_turns.acquire()
        except TimeoutError as error:
            raise _Refusal(503, "too many ask for manifests", {"Retry-After": "5"}) from error
        try:
            if kind == "held":
                data = await asyncio.to_thread(self._held, model)
                headers = {"Cache-Control": "no-store"}
            else:
                data = await asyncio.to_thread(self._shelf.manifest, model)
                headers = {"Cache-Control": _FOREVER, "ETag": f'"{model}"'}
            if data is None:
                raise _Refusal(404, "nothing is known of this model here")
            return await self._send(request, web.StreamResponse(headers=headers), len(data), self._cut(data))
        finally:
            self._manifest_turns.release()

    async def _name(self, name: str) -> web.StreamResponse:
        """The model that is known here by what a hub calls it."""
        model = await asyncio.to_thread(self._shelf.named, name)
        if model is None:
            raise _Refusal(404, "nothing is known of this model here")
        return web.Response(text=str(model), headers={"Server": "lamella", "Cache-Control": "no-store"})

    def _cut(self, data: bytes) -> Iterator[Part]:
        at = 0
        while at < len(data):
            width = self._block_bytes()
            yield Part(head=data[at : at + width])
            at += width

    def _block_bytes(self) -> int:
        """What leaves at once: no more than a turn, so that what is urgent never waits behind a whole chunk."""
        return min(limits.SHARE_BLOCK_BYTES, self.given.along.quantum_bytes)

    def _most_requests(self) -> int:
        """How many may have an answer at once."""
        rate = self.given.along.rate_bytes_per_s
        most = self._terms.max_requests
        return most if rate is None else min(most, max(1, int(rate / READER_BYTES_PER_S)))

    def _held(self, model: ModelId) -> bytes | None:
        """The bitmap of a model's chunks. Reads the disk."""
        held = self._shelf.held(model)
        if held is None:
            return None
        order = self._orders.get(model)
        if order is None:
            data = self._shelf.manifest(model)
            if data is None:
                return None
            order = held_bits.distinct(Manifest.decode(data))
            self._orders[model] = order
            while len(self._orders) > _REMEMBERED_ORDERS:
                self._orders.popitem(last=False)
        return held_bits.bitmap(order, frozenset(held))

    async def _send(
        self, request: BaseRequest, response: web.StreamResponse, length: int, parts: Iterable[Part]
    ) -> web.StreamResponse:
        """Send an answer block by block, as fast as the pace and the reader allow."""
        response.headers["Server"] = "lamella"
        response.content_type = "application/octet-stream"
        response.content_length = length
        for block in share_reading.blocks(parts, self._block_bytes):
            await self.given.take(sum(part.nbytes for part in block))
            data = await asyncio.to_thread(share_reading.read, block)
            try:
                await self._write(request, response, data)
            except TimeoutError as error:
                raise Vanished("the reader does not read") from error
        return response

    async def _write(self, request: BaseRequest, response: web.StreamResponse, data: bytes) -> None:
        """Pass a block on in steps, so that a slow reader has time for it. Raises `TimeoutError`."""
        view = memoryview(data)
        # One step at least: an answer without bytes has a head too.
        for at in range(0, len(view) or 1, limits.SHARE_STEP_BYTES):
            async with asyncio.timeout(self._terms.read_timeout_s):
                if not response.prepared:
                    await response.prepare(request)
                await response.write(view[at : at + limits.SHARE_STEP_BYTES])


def _locate(shelf: Shelf, digests: Iterable[bytes]) -> list[Place | None]:
    return [shelf.locate(one) for one in digests]


def _model_id(text: str) -> ModelId:
    try:
        return ModelId.parse(text)
    except InvalidValue as error:
        raise _Refusal(404, "this is not a model id") from error
