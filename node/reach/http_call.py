"""One request to the router's own web server, and its whole answer."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from node.reach import http_answer
from node.reach.errors import BadAnswer, NoAnswer
from node.reach.http_answer import BadHttp
from node.reach.igd import NAME
from node.reach.ssdp import Place

CALL_S: Final = 5.0
"""The longest a router may take; the cheapest of them need a second."""


async def call(at: Place, request: bytes, *, timeout_s: float = CALL_S) -> tuple[int, bytes]:
    """Send a request that asks for the connection to be closed; return status and body.

    Raises:
        NoAnswer: nothing came, or not in time.
        BadAnswer: it is not HTTP, or longer than `http_answer.MAX_BYTES`.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(at.ip, at.port, limit=http_answer.MAX_BYTES)
            writer.write(request)
            await writer.drain()
            data = b""
            while piece := await reader.read(http_answer.MAX_BYTES):
                data += piece
                if len(data) > http_answer.MAX_BYTES:
                    raise BadAnswer(NAME, "it is too long")
    except (OSError, TimeoutError) as error:
        raise NoAnswer(NAME) from error
    finally:
        if writer is not None:
            writer.transport.abort()
            with suppress(OSError):
                await writer.wait_closed()
    try:
        return http_answer.parse(data)
    except BadHttp as error:
        raise BadAnswer(NAME, str(error)) from error
