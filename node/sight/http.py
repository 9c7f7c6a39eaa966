"""`/metrics`, `/health` and `/ready` over HTTP, on a port that is opened only when asked for.

It answers GET and HEAD, without a body, one request to a connection, and every connection ends after a few seconds. A
page of the web could make a browser on this machine ask here under a name that it points at 127.0.0.1 (DNS
rebinding); so what is asked under a name other than `localhost` is refused, and no other origin is ever allowed to
read an answer. Whoever has an account on this machine can read what is told here: it names no peer, no session and no
text.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_request import BaseRequest

from node.sight.errors import CannotServeSight, NotLoopback
from wire.types import Address

MAX_CONNECTIONS: Final = 16
"""Security limit: connections at once. One more ends the oldest, so that who holds them open keeps nobody out."""
CONNECTION_S: Final = 10.0
"""Security limit: how long a connection may last; an answer takes milliseconds."""
MAX_FIELD_BYTES: Final = 4096
"""Security limit: of the request's first line, and of each header field."""
MAX_FIELDS: Final = 32
"""Security limit: header fields of a request."""
MAX_HOST_CHARS: Final = 255
"""Of a name, RFC 1035 §2.3.4."""
_CLOSE_S: Final = 1.0
_PLAIN: Final = "text/plain; charset=utf-8"
_HEADERS: Final = {
    "Server": "lamella",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def _is_no_request(record: logging.LogRecord) -> bool:
    """Whether aiohttp tells of bytes that were no request: whoever sent them was told, and nobody else has to know."""
    return isinstance(record.exc_info, tuple) and isinstance(record.exc_info[1], HttpProcessingError)


_requests: Final = logging.getLogger(f"{__name__}.requests")
_requests.addFilter(lambda record: not _is_no_request(record))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What is answered. Each is called on the event loop, and takes milliseconds at the most."""

    metrics: Callable[[], bytes]
    metrics_type: str
    """The content type of that."""
    health: Callable[[], str | None]
    """What is wrong with the program; None when nothing is."""
    ready: Callable[[], str | None]
    """Why no session can be taken; None when one can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may ask."""

    anywhere: bool = False
    """Whether an address is taken that other machines reach; said by a person, never by default."""
    names: frozenset[str] = frozenset()
    """Names, in small letters, under which the host may be asked besides `localhost` and addresses."""


class _Listener(web.Server):
    """Ends connections: the oldest when there are too many, and each when its time is over."""

    def __init__(self, server: SightServer) -> None:
        super().__init__(
            server.answer,
            handler_cancellation=True,
            access_log=None,
            logger=_requests,
            keepalive_timeout=CONNECTION_S,
            max_line_size=MAX_FIELD_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
            lingering_time=0,
            auto_decompress=False,
        )
        self._ends: dict[web.RequestHandler, tuple[asyncio.Transport, asyncio.TimerHandle]] = {}

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection, for a while."""
        super().connection_made(handler, transport)
        if len(self._ends) >= MAX_CONNECTIONS:
            oldest, timer = self._ends.pop(next(iter(self._ends)))
            timer.cancel()
            oldest.abort()
        timer = asyncio.get_running_loop().call_later(CONNECTION_S, transport.abort)
        self._ends[handler] = transport, timer

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        _, timer = self._ends.pop(handler, (None, None))
        if timer is not None:
            timer.cancel()


class SightServer:
    """The port. Opens nothing before `start`."""

    def __init__(self, pages: Pages, access: Access | None = None) -> None:
        self._pages = pages
        self._access = access or Access()
        self._listener: _Listener | None = None
        self._socket: asyncio.Server | None = None

    async def start(self, listen: Address) -> Address:
        """Listen; port 0 is any free one. Returns where.

        Raises:
            NotLoopback: others could reach the address, and `Access.anywhere` does not say they may.
            CannotServeSight: the address is taken or is none of this machine's.
        """
        if not self._access.anywhere and not ipaddress.ip_address(listen.ip).is_loopback:
            raise NotLoopback(listen)
        self._listener = _Listener(self)
        try:
            self._socket = await asyncio.get_running_loop().create_server(
                self._listener, listen.ip, listen.port, backlog=MAX_CONNECTIONS
            )
        except OSError as error:
            raise CannotServeSight(listen, error.strerror or str(error)) from error
        return Address(listen.ip, self._socket.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and end what is under way."""
        if self._socket is None or self._listener is None:
            return
        self._socket.close()
        await self._listener.shutdown(_CLOSE_S)
        await self._socket.wait_closed()
        self._socket = self._listener = None

    async def answer(self, request: BaseRequest) -> web.StreamResponse:
        """Answer one request, and end its connection."""
        response = self._answer(request)
        response.headers.update(_HEADERS)
        response.force_close()
        return response

    def _answer(self, request: BaseRequest) -> web.Response:
        if not asked_under(request.headers.getall("Host", []), self._access.names):
            return _said(421, "ask under this machine's address, or localhost")
        if request.method not in {"GET", "HEAD"}:
            refusal = _said(405, "only GET and HEAD are answered")
            refusal.headers["Allow"] = "GET, HEAD"
            return refusal
        match request.raw_path.partition("?")[0]:
            case "/metrics":
                return web.Response(
                    body=self._pages.metrics(), headers={"Content-Type": self._pages.metrics_type}
                )
            case "/health":
                wrong = self._pages.health()
                return _said(200, "healthy") if wrong is None else _said(503, wrong)
            case "/ready":
                wrong = self._pages.ready()
                return _said(200, "ready") if wrong is None else _said(503, wrong)
            case _:
                return _said(404, "there are /metrics, /health and /ready")


def asked_under(hosts: list[str], names: frozenset[str] = frozenset()) -> bool:
    """Whether a request's `Host` fields name this machine and nothing that a stranger could have pointed at it.

    Addresses, with any port, are right: a page of the web is asked for under a name. Also `localhost` and `names`.
    """
    if len(hosts) != 1 or len(hosts[0]) > MAX_HOST_CHARS:
        return False
    host = hosts[0].lower()
    if host.startswith("["):
        inside, bracket, rest = host[1:].partition("]")
        return bool(bracket) and _is_port(rest) and _is_address(inside, 6)
    name, colon, port = host.partition(":")
    return _is_port(colon + port) and (name == "localhost" or name in names or _is_address(name, 4))


def _is_port(text: str) -> bool:
    """Whether this is nothing, or a colon and a port."""
    return text == "" or (text[0] == ":" and len(text) <= 6 and text[1:].isascii() and text[1:].isdigit())


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _said(status: int, words: str) -> web.Response:
    return web.Response(status=status, body=words.encode() + b"\n", headers={"Content-Type": _PLAIN})
