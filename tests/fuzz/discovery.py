"""Fuzz target: any bytes as a join string, a bootstrap list and an announcement are one, or refused."""

from __future__ import annotations

from contextlib import suppress

from crypto.errors import BadSignature
from scripts.make_discovery_vectors import SIGNER, discovery, sealed
from wire.bootstrap_list import CONTEXT, BootstrapList
from wire.cbor import canonical
from wire.errors import BadMessage, InvalidValue
from wire.invitations import Invitation
from wire.lan import LanText

_VECTORS: dict[str, list[dict[str, str]]] = discovery()  # type: ignore[assignment]  # the vectors' own form
_BOOTSTRAP: dict[str, list[dict[str, str]]] = _VECTORS["bootstrap"]  # type: ignore[assignment]  # as above
SEEDS = (
    *(one["text"].encode() for one in _VECTORS["join_strings"]),
    *(bytes.fromhex(one["list"]) for one in _BOOTSTRAP["lists"]),
    canonical([1, "main", [[None, b"\1\2\3\4", 5]]]),
    canonical(["main", 1, 2, [[bytes(32), bytes(15) + b"\1", 5]]]),
    b",".join(LanText(peer=SIGNER.peer_id, network=bytes(16)).encode().values()),
)


def fuzz(data: bytes) -> None:
    """Read `data` in every role, then again with the checksum or signature that would make it believable."""
    for text in (data.decode("utf-8", "surrogateescape"), sealed(data)):
        with suppress(InvalidValue):
            assert str(Invitation.parse(text)) == text
    signed = canonical([1, data, SIGNER.public_key, SIGNER.sign(CONTEXT, data)])
    for one in (data, signed):
        with suppress(BadMessage, BadSignature, InvalidValue):
            assert BootstrapList.read(one, SIGNER.public_key).sign(SIGNER) == one
    version, _, rest = data.partition(b",")
    tag, _, peer = rest.partition(b",")
    try:
        read = LanText.decode({b"v": version, b"n": tag, b"id": peer})
    except BadMessage:
        return
    assert read.encode() == {b"v": version, b"n": tag, b"id": peer}
