"""SymmetricState: the running hash of a handshake and the keys drawn from it (Noise §5.2).

XX has no pre-shared key, so MixKeyAndHash and the three-output HKDF are left out.
https://noiseprotocol.org/noise.html#the-symmetricstate-object
"""

from __future__ import annotations

import hmac
from typing import Final

from crypto import digest
from crypto.digest import DIGEST_BYTES, Buffer
from crypto.noise.cipher import CipherState

_HASH: Final = "sha256"


class SymmetricState:
    """The chaining key, the handshake hash and the handshake's cipher."""

    __slots__ = ("_chaining_key", "cipher", "hash")

    def __init__(self, protocol_name: bytes) -> None:
        """InitializeSymmetric: start from the protocol's name."""
        if len(protocol_name) <= DIGEST_BYTES:
            self.hash = protocol_name.ljust(DIGEST_BYTES, b"\0")
        else:
            self.hash = digest.sha256(protocol_name)
        self._chaining_key = self.hash
        self.cipher = CipherState()

    def mix_key(self, input_key_material: bytes) -> None:
        """MixKey: fold a shared secret into the chaining key and start the handshake's cipher anew."""
        self._chaining_key, key = hkdf(self._chaining_key, input_key_material)
        self.cipher = CipherState(key)

    def mix_hash(self, data: Buffer) -> None:
        """MixHash: fold bytes both sides have seen into the handshake hash."""
        self.hash = digest.sha256(self.hash, data)

    def encrypt_and_hash(self, plaintext: Buffer) -> bytes:
        """EncryptAndHash: seal with the hash as associated data, then fold in what is sent."""
        ciphertext = self.cipher.encrypt(self.hash, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: Buffer) -> bytes:
        """DecryptAndHash: the inverse. Raises as `CipherState.decrypt` does."""
        plaintext = self.cipher.decrypt(self.hash, ciphertext)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """Split: the ciphers of the transport, initiator's sending direction first."""
        first, second = hkdf(self._chaining_key, b"")
        return CipherState(first), CipherState(second)

    def __repr__(self) -> str:
        return f"SymmetricState(hash={self.hash.hex()}, cipher={self.cipher!r})"


def hkdf(chaining_key: bytes, input_key_material: bytes) -> tuple[bytes, bytes]:
    """Derive two 32-byte keys (Noise §4.3, HKDF with two outputs; RFC 5869 with empty info)."""
    temporary = hmac.digest(chaining_key, input_key_material, _HASH)
    first = hmac.digest(temporary, b"\x01", _HASH)
    second = hmac.digest(temporary, first + b"\x02", _HASH)
    return first, second
