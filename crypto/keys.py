"""X25519 key pairs for the handshake (RFC 7748 §5).

These keys agree on secrets and never sign; what signs is `crypto.identity`. One Ed25519 key converted to X25519
would serve both, and was rejected: it ties two protocols to one key and to its lifetime.
"""

from __future__ import annotations

from typing import Final

import nacl.bindings
import nacl.exceptions

from crypto.errors import InvalidKey

KEY_BYTES: Final = 32
"""Seeds, public keys and shared secrets alike (Noise §4.1, DHLEN)."""


class KeyPair:
    """An X25519 private key and its public key. The private key never leaves this object, nor its `repr`."""

    __slots__ = ("_private", "public")

    def __init__(self, private: bytes) -> None:
        if len(private) != KEY_BYTES:
            raise InvalidKey(f"an X25519 seed is {KEY_BYTES} bytes, got {len(private)}")
        self._private = bytes(private)
        self.public: bytes = nacl.bindings.crypto_scalarmult_base(self._private)

    @classmethod
    def from_seed(cls, seed: bytes) -> KeyPair:
        """Make the pair whose scalar is `seed`, 32 random bytes (clamped when used, RFC 7748 §5)."""
        return cls(seed)

    def exchange(self, remote_public: bytes) -> bytes:
        """Return the 32-byte secret shared with the holder of `remote_public` (Noise §4.1, DH).

        Raises `InvalidKey` for a key of the wrong length and for a low-order point, whose secret would be all
        zeros whatever our private key is (RFC 7748 §6.1).
        """
        if len(remote_public) != KEY_BYTES:
            raise InvalidKey(f"an X25519 public key is {KEY_BYTES} bytes, got {len(remote_public)}")
        try:
            # libsodium refuses an all-zero result; the tests hold it to that.
            secret: bytes = nacl.bindings.crypto_scalarmult(self._private, bytes(remote_public))
        except nacl.exceptions.RuntimeError as error:
            raise InvalidKey("the public key is a low-order point") from error
        return secret

    def __repr__(self) -> str:
        return f"KeyPair(public={self.public.hex()})"
