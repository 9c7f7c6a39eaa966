"""Fuzz target: any bytes are a plain value or `BadMessage`."""

from __future__ import annotations

from wire import cbor, limits
from wire.errors import BadMessage

SEEDS = (
    cbor.dumps({"t": 48, "session": bytes(16), "shape": [1, 3, 64], "f": 1.5, "n": None, "s": "text"}),
    bytes.fromhex("9f01ff"),
    bytes.fromhex("c249010000000000000000"),
    bytes.fromhex("d82380"),
    b"\x81" * limits.MAX_CBOR_DEPTH + b"\x00",
)


def fuzz(data: bytes) -> None:
    """Decode; what decodes must survive being encoded again."""
    try:
        value = cbor.loads(data)
    except BadMessage as error:
        assert len(error.detail) <= limits.MAX_DETAIL_CHARS
        return
    again = cbor.dumps(value)
    assert cbor.dumps(cbor.loads(again, max_bytes=len(data) * 2 + 64)) == again
