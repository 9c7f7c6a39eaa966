"""What ties a handshake to one network and to a lasting identity.

The prologue makes peers of different protocols, versions or networks fail to meet. The signature says that the holder
of an identity vouches for the X25519 key that the handshake proves. Both are the libp2p way; the alternative,
converting the Ed25519 key to X25519, was rejected in `crypto.keys`. Spec: `specs/noise.md` §Messages.
"""

from __future__ import annotations

from typing import Final

from crypto import digest
from crypto.digest import Buffer
from crypto.errors import InvalidKey, InvalidLabel
from crypto.identity import Identity, PeerId, peer_id_of, verify
from crypto.keys import KEY_BYTES

STATIC_KEY_CONTEXT: Final = "lamella-noise-static/1"
MAX_VERSION: Final = 2**32 - 1


def prologue(protocol: str, version: int, network: str) -> bytes:
    """Return the prologue both sides must agree on, each part after its length so that no two read alike.

    Raises `InvalidLabel` for an empty or over-long name, or a version that is not an unsigned 32-bit number.
    """
    if not 0 <= version <= MAX_VERSION:
        raise InvalidLabel(f"version {version} is not an unsigned 32-bit number")
    return digest.framed(digest.label(protocol), version.to_bytes(4, "big"), digest.label(network))


def sign_static(identity: Identity, static_public: bytes) -> bytes:
    """Return the identity's 64-byte signature over its X25519 static key."""
    if len(static_public) != KEY_BYTES:
        raise InvalidKey(f"an X25519 public key is {KEY_BYTES} bytes, got {len(static_public)}")
    return identity.sign(STATIC_KEY_CONTEXT, static_public)


def verify_static(public_key: Buffer, static_public: bytes, signature: Buffer) -> PeerId:
    """Return the peer id of the identity that vouches for this static key. Raises `BadSignature`.

    `static_public` must be what the handshake proved (`Handshake.remote_static`), never what a peer claims. The caller
    still compares the peer id with the one it meant to reach.
    """
    verify(public_key, STATIC_KEY_CONTEXT, static_public, signature)
    return peer_id_of(bytes(public_key))
