"""How much HTTP takes beside the bytes it brings: sizes of heads, and of what waits in buffers under a limit.

A socket's buffers fill at the speed of the line, whoever is slow to read them. So what may be under way is kept small
while there is a limit, or each connection would begin with megabytes that nobody allowed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from typing import Any, Final

import aiohttp
from aiohttp.web_request import BaseRequest

from node.store.pace import Limit

_LINE_BYTES: Final = len(" HTTP/1.1\r\n\r\n")
"""Of a first line what does not depend on the request, and the empty line after the head."""
_FIELD_BYTES: Final = len(": \r\n")
ANSWER_BYTES: Final = 192
"""About what an answer takes that carries no weights."""


def of_request(request: BaseRequest) -> int:
    """The bytes of a request's head. How long its body is it only says so far."""
    line = len(request.method) + 1 + len(request.raw_path) + _LINE_BYTES
    return line + _fields(request.raw_headers)


def of_exchange(response: aiohttp.ClientResponse) -> tuple[int, int]:
    """The bytes of an answer's head, and of the request that it answers, without its body."""
    asked = response.request_info
    line = len(asked.method) + 1 + len(asked.url.raw_path_qs) + _LINE_BYTES
    answer_line = len(str(response.status)) + len(response.reason or "") + 1 + _LINE_BYTES
    return answer_line + _fields(response.raw_headers), line + _fields(asked.headers.items())


def read_buffer(limit: Limit, usual: int) -> int:
    """What aiohttp should hold of an answer that is not read on; it takes in twice as much at most."""
    return usual if limit.rate_bytes_per_s is None else min(usual, limit.window_bytes // 2)


def connector(window: Limit, **options: Any) -> aiohttp.TCPConnector:
    """Make a connector whose sockets hold little while there is a limit. `options` are those of aiohttp's."""
    return aiohttp.TCPConnector(socket_factory=_sockets(window), **options)


def _sockets(limit: Limit) -> Callable[[Any], socket.socket]:
    def make(place: Any) -> socket.socket:
        family, kind, protocol = place[:3]
        made = socket.socket(family, kind, protocol)
        if limit.rate_bytes_per_s is not None:
            # Before it is connected: the first window that is offered counts too.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, limit.window_bytes)
        return made

    return make


def _fields(headers: Iterable[tuple[bytes | str, bytes | str]]) -> int:
    return sum(len(name) + len(value) + _FIELD_BYTES for name, value in headers)
