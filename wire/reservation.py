"""A relay's signed word that it carries links to a host until a certain time.

A host shows it to nobody who would not find out by dialling; it is signed so that a host that claims a relay that
never agreed can be told from a relay that went back on its word. Spec: `specs/reachability.md` §Reservations.
"""

from __future__ import annotations

from typing import Final

from crypto import identity
from crypto.identity import Identity, PeerId
from wire.cbor import canonical

CONTEXT: Final = "lamella-relay-reservation/1"


def sign_reservation(relay: Identity, host: PeerId, expires: int) -> bytes:
    """Return the relay's signature over the host and the Unix time, in seconds, at which the reservation lapses."""
    return relay.sign(CONTEXT, _signed(host, expires))


def verify_reservation(relay_key: bytes, host: PeerId, expires: int, signature: bytes) -> None:
    """Check it. Raises `BadSignature`."""
    identity.verify(relay_key, CONTEXT, _signed(host, expires), signature)


def _signed(host: PeerId, expires: int) -> bytes:
    return canonical([host.raw, expires])
