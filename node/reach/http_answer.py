"""A router's whole HTTP/1.1 answer (RFC 9112) as status and body. Pure; the connection closes after it."""

from __future__ import annotations

import re
from typing import Final

MAX_BYTES: Final = 96 * 1024
"""Security limit: head and body of one answer."""
MAX_HEAD_BYTES: Final = 8 * 1024
"""Security limit: status line and fields."""


class BadHttp(ValueError):
    """Not an answer, or not all of one."""


def parse(data: bytes) -> tuple[int, bytes]:
    """Return status and body. Raises `BadHttp`."""
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not separator or len(head) > MAX_HEAD_BYTES:
        raise BadHttp("no end of the fields")
    lines = head.decode("latin-1").split("\r\n")
    status = re.fullmatch(r"HTTP/1\.[01] (\d{3})(?: .*)?", lines[0], re.ASCII)
    if status is None:
        raise BadHttp("no status line")
    fields = {
        name.strip().lower(): value.strip() for name, _, value in (one.partition(":") for one in lines[1:])
    }
    coding = fields.get("transfer-encoding", "").lower()
    if coding == "chunked":
        return int(status[1]), _joined(rest)
    if coding:
        raise BadHttp("an unknown transfer coding")
    length = fields.get("content-length")
    if length is None:
        return int(status[1]), rest
    if not re.fullmatch(r"\d{1,7}", length, re.ASCII) or int(length) > len(rest):
        raise BadHttp("the body is cut short")
    return int(status[1]), rest[: int(length)]


def _joined(rest: bytes) -> bytes:
    """The body of a chunked answer (RFC 9112 §7.1)."""
    body = b""
    while True:
        line, separator, rest = rest.partition(b"\r\n")
        size = re.fullmatch(rb"([0-9A-Fa-f]{1,5})(?:[ \t]*;.*)?", line)
        if not separator or size is None:
            raise BadHttp("a chunk without its size")
        count = int(size[1], 16)
        if count == 0:
            return body
        if rest[count : count + 2] != b"\r\n":
            raise BadHttp("a chunk is cut short")
        body += rest[:count]
        rest = rest[count + 2 :]
