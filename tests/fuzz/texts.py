"""Fuzz target: any text is a model id, an address or a layer range, or `InvalidValue`; what is read prints alike."""

from __future__ import annotations

from wire.errors import InvalidValue
from wire.types import Address, LayerRange, ModelId

SEEDS = (
    str(ModelId(bytes(32))).encode(),
    b"127.0.0.1:7311",
    b"[2001:db8::7%eth0]:65535",
    b"[::ffff:1.2.3.4]:1",
    b"6:12",
    b"0:1024",
)


def fuzz(data: bytes) -> None:
    """Read `data` as each kind of text, then read again what it prints."""
    text = data.decode("utf-8", "surrogateescape")
    for kind in (ModelId, Address, LayerRange):
        try:
            value = kind.parse(text)
        except InvalidValue:
            continue
        assert kind.parse(str(value)) == value
        assert str(value).isprintable()
