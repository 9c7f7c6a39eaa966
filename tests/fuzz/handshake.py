"""Fuzz target: whatever an unknown peer sends, the handshake goes on or ends in `PeerRefused`, in no other error."""

from __future__ import annotations

from tests.fakes.joined import config
from wire.errors import PeerRefused
from wire.handshake import Introduction


def _seeds() -> tuple[bytes, ...]:
    initiator, responder = Introduction(config(initiator=True)), Introduction(config(initiator=False))
    first = initiator.first()
    second, _ = responder.receive(first)
    third, _ = initiator.receive(second or b"")
    return first, second or b"", third or b""


SEEDS = _seeds()


def fuzz(data: bytes) -> None:
    """Offer `data` as each of the three messages."""
    responder = Introduction(config(initiator=False))
    initiator = Introduction(config(initiator=True))
    second = Introduction(config(initiator=False))
    second.receive(initiator.first())
    for side in (responder, initiator, second):
        try:
            side.receive(data)
        except PeerRefused as error:
            assert error.code
