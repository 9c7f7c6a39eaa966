"""Bytes of a hub's files: one request for one stretch, checked as it comes.

The addresses, the token and the name of this program are huggingface_hub's (`hub_library`); the bytes come through
aiohttp, because that library's own asynchronous client spends four times as much processor time on each of them (512 MB
over the loopback: 0.4 s against 1.8 s), on a machine that is to compute beside it. Redirects are followed here, so
that the token goes to the hub alone and never to the host that stores its large files.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from node.store import http_sizes
from node.store.hub_errors import SOON_S, HubBusy, HubChanged, HubWrongAnswer, Refusal, refused
from node.store.hub_library import Access, RemoteFile, address, told_offline, unreachable
from node.store.pace import AnyPace, Flow, Intake, Turn
from wire.limits import DIGEST_BYTES

ANSWER_TIMEOUT_S: Final = 20.0
"""From a request to the head of its answer, a connection included."""
STALL_TIMEOUT_S: Final = 20.0
"""Security limit: within this time an answer must bring `STALL_BYTES` more, or end."""
STALL_BYTES: Final = 64 * 1024
MAX_REDIRECTS: Final = 5
_CONNECT_TIMEOUT_S: Final = 10.0
_READ_BUFFER_BYTES: Final = 512 * 1024
_MAX_WORDS_BYTES: Final = 16 * 1024
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Bytes of a file at a commit."""

    repo: str
    commit: str
    file: RemoteFile
    start: int
    stop: int
    """The offset after the last byte."""

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the file."""
        return self.start == 0 and self.stop == self.file.size

    def __str__(self) -> str:
        return self.file.name


class HubHttp:
    """Connections to one hub; made and closed on the event loop they are used on."""

    def __init__(self, access: Access, flow: Flow | None = None) -> None:
        """Ask as `access` says, no faster than `flow` lets it."""
        self.access = access
        self._flow = flow or Intake.at(AnyPace()).hub
        self._home = URL(access.endpoint).origin()
        self._tags: dict[tuple[str, str, str], str] = {}
        """What the hub called the bytes of a file when it was first asked: by commit, name and header."""
        self._session = aiohttp.ClientSession(
            connector=http_sizes.connector(self._flow.along),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT_S),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def read(self, stretch: Stretch) -> bytes:
        """Return a whole stretch. Raises `HubError`."""
        data = bytearray()
        async with aclosing(self.pieces(stretch)) as pieces:
            async for piece in pieces:
                data += piece
        return bytes(data)

    async def pieces(self, stretch: Stretch, turn: Turn | None = None) -> AsyncGenerator[bytes, None]:
        """Deliver the bytes of a stretch in order as they come: exactly as many as there are, or an error.

        Close it (`contextlib.aclosing`) when it is left before its end.

        Args:
            turn: awaited for all that comes; this hub's flow when None.

        Raises:
            HubError: the hub refuses, breaks off, stalls, or answers with something else.
        """
        left = stretch.stop - stretch.start
        if left == 0:
            return
        async with self._answer(stretch) as body:
            while left:
                async with asyncio.timeout(STALL_TIMEOUT_S):
                    piece = await _some(body, min(left, STALL_BYTES))
                left -= len(piece)
                if left < 0:
                    raise _wrong(stretch, "more bytes than were asked for")
                await (turn or self._flow.take)(len(piece))
                yield piece

    @asynccontextmanager
    async def _answer(self, stretch: Stretch) -> AsyncIterator[aiohttp.StreamReader]:
        """Ask, and map what goes wrong until the end of the block. Raises `HubError`."""
        if self.access.offline:
            raise told_offline()
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                response = await self._request(stretch)
            yield response.content
        except (aiohttp.ClientConnectorError, aiohttp.ClientProxyConnectionError) as error:
            raise unreachable(self.access) from error
        except TimeoutError as error:
            raise HubBusy(
                f"the hub stopped in the middle of {stretch}", "wait; it is asked again", retry_after_s=SOON_S
            ) from error
        except aiohttp.ClientError as error:
            raise HubBusy(
                f"the hub broke off in the middle of {stretch}",
                "wait; it is asked again",
                retry_after_s=SOON_S,
            ) from error
        finally:
            if response is not None:
                # Not release(): what is left of an answer that nobody wants is not worth reading.
                response.close()

    async def _request(self, stretch: Stretch) -> aiohttp.ClientResponse:
        """Follow redirects to an answer that has the right head."""
        url = URL(address(self.access, stretch.repo, stretch.commit, stretch.file.name), encoded=True)
        for _ in range(MAX_REDIRECTS + 1):
            at_home = url.origin() == self._home
            response = await self._session.get(
                url,
                headers=self._headers(stretch, at_home=at_home),
                allow_redirects=False,
                proxy=_proxy(url),
                read_bufsize=http_sizes.read_buffer(self._flow.along, _READ_BUFFER_BYTES),
            )
            self._flow.heads(*http_sizes.of_exchange(response))
            try:
                moved = response.status in _REDIRECTS
                if at_home and (moved or response.ok):
                    self._check_same(stretch, response.headers, "X-Linked-Etag" if moved else "ETag")
                if not moved:
                    return self._checked(stretch, response, at_home=at_home)
                url = _onward(stretch, url, response.headers.get("Location", ""))
            except BaseException:
                response.close()
                raise
            await _finish(response)
        raise _wrong(stretch, "one redirect after another")

    def _headers(self, stretch: Stretch, *, at_home: bool) -> dict[str, str]:
        headers = {"User-Agent": self.access.agent, "Accept-Encoding": "identity"}
        if not stretch.is_whole:
            headers["Range"] = f"bytes={stretch.start}-{stretch.stop - 1}"
        if at_home and self.access.token is not None:
            headers["Authorization"] = f"Bearer {self.access.token}"
        return headers

    def _check_same(self, stretch: Stretch, headers: Mapping[str, str], header: str) -> None:
        """Refuse another commit than the one that was asked for, and other bytes than there were before.

        Args:
            header: which calls the bytes by a name of theirs: that of a redirect is not that of what it leads to.
        """
        if headers.get("X-Repo-Commit", stretch.commit) != stretch.commit:
            raise HubChanged(
                f"the hub answered for another commit when asked for {stretch}",
                "start again",
                retry_after_s=None,
            )
        tag = headers.get(header, "").removeprefix("W/").strip('"')
        if not tag:
            return
        # What a redirect names is the file's SHA-256, which the hub has listed.
        known = header == "X-Linked-Etag" and len(stretch.file.oid) == 2 * DIGEST_BYTES
        key = (stretch.commit, stretch.file.name, header)
        if self._tags.setdefault(key, stretch.file.oid if known else tag) != tag:
            raise HubChanged(
                f"the hub has other bytes of {stretch} than before", "start again", retry_after_s=None
            )

    def _checked(
        self, stretch: Stretch, response: aiohttp.ClientResponse, *, at_home: bool
    ) -> aiohttp.ClientResponse:
        """Refuse an answer whose head does not promise exactly the bytes asked for."""
        headers = response.headers
        if response.status not in (200, 206):
            refusal = Refusal(status=response.status, headers=dict(headers), from_hub=at_home)
            raise refused(refusal, str(stretch), stretch.repo, had_token=self.access.token is not None)
        if response.content_type == "text/html":
            raise _wrong(stretch, "a page to read")
        if headers.get("Content-Encoding", "identity") != "identity":
            raise _wrong(stretch, "packed bytes")
        if response.status == 206:
            found = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
            if found is None or (int(found[1]), int(found[2]) + 1) != (stretch.start, stretch.stop):
                raise _wrong(stretch, "another part of it")
            if int(found[3]) != stretch.file.size:
                raise HubChanged(
                    f"the size of {stretch} is not what it was", "start again", retry_after_s=None
                )
        elif not stretch.is_whole:
            raise _wrong(stretch, "all of it instead of a part")
        if response.content_length not in (None, stretch.stop - stretch.start):
            raise _wrong(
                stretch, f"{response.content_length} bytes instead of {stretch.stop - stretch.start}"
            )
        return response


async def _some(body: aiohttp.StreamReader, least: int) -> bytes:
    """Read at least so many bytes: one at a time is no progress."""
    piece = await body.readany()
    if len(piece) >= least:
        return piece
    data = bytearray(piece)
    while len(data) < least:
        if not piece:
            raise aiohttp.ClientPayloadError("it ended early")
        piece = await body.readany()
        data += piece
    return bytes(data)


async def _finish(response: aiohttp.ClientResponse) -> None:
    """Take in the few words of a redirect, so that its connection serves the next request; or give it up."""
    try:
        if response.content_length is not None and response.content_length <= _MAX_WORDS_BYTES:
            await response.read()
    finally:
        response.release()


def _onward(stretch: Stretch, url: URL, location: str) -> URL:
    """Where a redirect leads. Raises `HubWrongAnswer`."""
    try:
        # Encoded: a signature is over the very characters of its address.
        onward = url.join(URL(location, encoded=True))
        usable = onward.scheme in {"http", "https"} and bool(onward.host) and onward.user is None
    except ValueError as error:
        raise _wrong(stretch, "a redirect to nowhere") from error
    if not usable or not location or (url.scheme == "https" and onward.scheme == "http"):
        raise _wrong(stretch, "a redirect to nowhere")
    return onward


def _proxy(url: URL) -> str | None:
    """The proxy that this machine's environment names for an address.

    aiohttp's own way to find it would also send passwords of `~/.netrc`.
    """
    if url.host is None or proxy_bypass(url.host):
        return None
    return getproxies().get(url.scheme)


def _wrong(stretch: Stretch, came: str) -> HubWrongAnswer:
    return HubWrongAnswer(
        f"the hub sent {came} when asked for {stretch}",
        "check what stands between: a proxy, a login page",
        retry_after_s=SOON_S,
    )
