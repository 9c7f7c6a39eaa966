"""Who asks for chunks: a request signed with the asking peer's identity, and the gate that it has to pass.

The header is `Authorization: Lamella-Ed25519 KEY TIME SIGNATURE`: the peer's public key in 64 hexadecimal digits, the
Unix time in seconds in decimal digits, and an Ed25519 signature in 128 hexadecimal digits, all lower case, one
space between. The signature is made for the context `lamella-chunks-request/1` over these byte strings, each after its
length (`crypto.digest.framed`): the name of the swarm, the server's peer id, the method, the path, the time as eight
bytes, most significant first, and the SHA-256 of the body.

A request that is sent again within the window of its time is answered again. It only repeats a read that its signer may
do, at the same server; whoever could copy it has seen the answer too. Remembering every signature of the last two
minutes to prevent that was rejected. Spec: `specs/weights.md` §Who may ask.
"""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Final, Protocol

from crypto.digest import framed, sha256
from crypto.errors import BadSignature
from crypto.identity import Identity, PeerId, peer_id_of, verify
from node.store.errors import StoreError
from wire import limits
from wire.types import DEFAULT_NETWORK

CONTEXT: Final = "lamella-chunks-request/1"
_HEADER: Final = re.compile(r"Lamella-Ed25519 ([0-9a-f]{64}) ([0-9]{1,12}) ([0-9a-f]{128})", re.ASCII)


class BadAuthorization(StoreError):
    """A request says who asks, but does not prove it."""


class Gate(Protocol):
    """Who may read chunks here."""

    def allows(self, peer_id: PeerId | None) -> bool:
        """Whether a peer may; None is whoever did not say who it is. Asked once a request; must be quick."""


class OpenGate:
    """Lets everybody in."""

    def allows(self, peer_id: PeerId | None) -> bool:  # noqa: ARG002 - a gate is asked who, and this one does not mind
        """Yes."""
        return True


class SwarmGate:
    """Lets those in who know the name of the swarm, which every signature contains."""

    def allows(self, peer_id: PeerId | None) -> bool:
        """Whether the peer said who it is."""
        return peer_id is not None


class MembersGate:
    """Lets the peers of a private swarm in."""

    def __init__(self, members: Container[PeerId]) -> None:
        """`members` is asked anew each time, so it may change."""
        self._members = members

    def allows(self, peer_id: PeerId | None) -> bool:
        """Whether the peer said who it is, and is a member."""
        return peer_id is not None and peer_id in self._members


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a signature is for."""

    server: PeerId
    method: str
    path: str
    body: bytes = b""
    network: str = DEFAULT_NETWORK
    """The swarm: a peer that does not know its name cannot ask in it."""

    def signed_bytes(self, unix_s: int) -> bytes:
        """The message of the signature."""
        return framed(
            self.network.encode(),
            self.server.raw,
            self.method.encode(),
            self.path.encode(),
            unix_s.to_bytes(8, "big"),
            sha256(self.body),
        )


def authorization(identity: Identity, asked: Asked, now: float) -> str:
    """The header's value. `now` is Unix time in seconds."""
    unix_s = int(now)
    signature = identity.sign(CONTEXT, asked.signed_bytes(unix_s))
    return f"Lamella-Ed25519 {identity.public_key.hex()} {unix_s} {signature.hex()}"


def authenticate(header: str | None, asked: Asked, now: float) -> PeerId | None:
    """Who sent a request; None when it does not say.

    Raises:
        BadAuthorization: the header is not one, its time is off, or the signature is of something else.
    """
    if header is None:
        return None
    found = _HEADER.fullmatch(header)
    if found is None:
        raise BadAuthorization("the authorization is not of a known form", "sign as specs/weights.md says")
    key, unix_s, signature = bytes.fromhex(found[1]), int(found[2]), bytes.fromhex(found[3])
    if abs(now - unix_s) > limits.SHARE_CLOCK_SKEW_S:
        raise BadAuthorization(
            f"the request's time is {abs(now - unix_s):.0f} s from this host's clock", "set both clocks"
        )
    try:
        verify(key, CONTEXT, asked.signed_bytes(unix_s), signature)
    except BadSignature as error:
        raise BadAuthorization(
            "the signature is not of this request to this host", "ask the peer that was signed for"
        ) from error
    return peer_id_of(key)
