"""Who a peer is: an Ed25519 key (RFC 8032) and the peer id that names it.

Every signature is made for a context, a short fixed name such as `lamella-noise-static/1`, so that bytes signed for
one purpose are worthless for another. Spec: `specs/noise.md` §Messages.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

import nacl.bindings
import nacl.exceptions

from crypto import digest
from crypto.digest import Buffer
from crypto.errors import BadSignature, InvalidKey, InvalidPeerId

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
PEER_ID_CHARS: Final = 52
"""32 bytes in base32 without padding; the last character carries one bit."""


@dataclass(frozen=True, slots=True, order=True, repr=False)
class PeerId:
    """The SHA-256 of a peer's Ed25519 public key; printed as lower-case base32 without padding."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != digest.DIGEST_BYTES:
            raise InvalidPeerId(f"a peer id is {digest.DIGEST_BYTES} bytes, got {len(self.raw)}")

    @classmethod
    def parse(cls, text: str) -> PeerId:
        """Read what `str` prints, and nothing else: each id has exactly one text. Raises `InvalidPeerId`."""
        if len(text) != PEER_ID_CHARS:
            raise InvalidPeerId(f"a peer id is {PEER_ID_CHARS} characters, this text is {len(text)}")
        try:
            peer_id = cls(base64.b32decode(text.upper() + "===="))
        except ValueError as error:
            raise InvalidPeerId(f"{text!r} is not a peer id: use the letters a-z and digits 2-7") from error
        if str(peer_id) != text:
            raise InvalidPeerId(f"{text!r} is not how a peer id is written; the nearest is {peer_id}")
        return peer_id

    @property
    def short(self) -> str:
        """The first eight characters: enough for a person to tell peers apart, never enough to trust one."""
        return str(self)[:8]

    def __str__(self) -> str:
        return base64.b32encode(self.raw).decode().rstrip("=").lower()

    def __repr__(self) -> str:
        return f"PeerId({self})"


class Identity:
    """An Ed25519 key that signs for this peer. The secret never leaves this object, nor its `repr`."""

    __slots__ = ("_secret", "peer_id", "public_key")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InvalidKey(f"an identity's seed is {SEED_BYTES} bytes, got {len(seed)}")
        public_key, secret = nacl.bindings.crypto_sign_seed_keypair(bytes(seed))
        self._secret: bytes = secret
        self.public_key: bytes = public_key
        self.peer_id = peer_id_of(self.public_key)

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """Make the identity of a 32-byte seed (RFC 8032 §5.1.5)."""
        return cls(seed)

    def sign(self, context: str, message: Buffer) -> bytes:
        """Return the 64-byte signature of `message` for `context`. Raises `InvalidLabel` for a bad context."""
        signed: bytes = nacl.bindings.crypto_sign(_signed_bytes(context, message), self._secret)
        return signed[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"Identity(peer_id={self.peer_id})"


def peer_id_of(public_key: bytes) -> PeerId:
    """Return the peer id of an Ed25519 public key. Raises `InvalidKey` for a wrong length."""
    if len(public_key) != PUBLIC_KEY_BYTES:
        raise InvalidKey(f"an Ed25519 public key is {PUBLIC_KEY_BYTES} bytes, got {len(public_key)}")
    return PeerId(digest.sha256(public_key))


def verify(public_key: Buffer, context: str, message: Buffer, signature: Buffer) -> None:
    """Check a signature; return nothing when it is right.

    libsodium's rules: S below the group order, canonical keys, no low-order keys or points R, no cofactor.
    Raises `BadSignature` for anything else, wrong lengths included, and `InvalidLabel` for a bad context.
    """
    message_bytes = _signed_bytes(context, message)
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise BadSignature("the public key or the signature has the wrong length")
    try:
        nacl.bindings.crypto_sign_open(bytes(signature) + message_bytes, bytes(public_key))
    except nacl.exceptions.BadSignatureError as error:
        raise BadSignature(f"not signed by this key for {context}") from error


def _signed_bytes(context: str, message: Buffer) -> bytes:
    """Return what Ed25519 signs: the context and the message, each after its length."""
    return digest.framed(digest.label(context), message)
