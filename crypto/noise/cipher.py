"""CipherState: one key, one counter, AES-256-GCM (Noise §5.1, §12.4).

Two changes to the Noise object, both to fail closed: a message that does not decrypt closes the cipher for good
(over a reliable stream it means an attack or a bug, never bad luck), and there is no SetNonce.
https://noiseprotocol.org/noise.html#the-cipherstate-object
"""

from __future__ import annotations

import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.digest import Buffer
from crypto.errors import (
    BufferTooSmall,
    CipherClosed,
    DecryptionFailed,
    InvalidKey,
    MessageTooLong,
    NonceExhausted,
)

MAX_MESSAGE_BYTES: Final = 65_535
"""Noise §3: no Noise message is longer."""
TAG_BYTES: Final = 16
MAX_PLAINTEXT_BYTES: Final = MAX_MESSAGE_BYTES - TAG_BYTES
CIPHER_KEY_BYTES: Final = 32
MAX_NONCE: Final = 2**64 - 1
"""Reserved: it is the nonce of `rekey` and never counts a message (Noise §5.1)."""

_pack_nonce = struct.Struct(">4xQ").pack
"""Noise §12.4: four zero bytes, then the counter, big-endian (ChaChaPoly's is little-endian; this is not it)."""


class CipherState:
    """Encrypts, or decrypts, the messages of one direction in order.

    Without a key, as at the start of a handshake, `encrypt` and `decrypt` pass the bytes through (Noise §5.1).
    """

    __slots__ = ("_aead", "_failed", "_nonce")

    def __init__(self, key: bytes | None = None) -> None:
        if key is not None and len(key) != CIPHER_KEY_BYTES:
            raise InvalidKey(f"a cipher key is {CIPHER_KEY_BYTES} bytes, got {len(key)}")
        self._aead = None if key is None else AESGCM(key)
        self._nonce = 0
        self._failed = False

    @property
    def has_key(self) -> bool:
        """Whether messages are encrypted at all."""
        return self._aead is not None

    @property
    def nonce(self) -> int:
        """The number of the next message; also how many this cipher has let through."""
        return self._nonce

    def encrypt(self, associated_data: Buffer, plaintext: Buffer) -> bytes:
        """Return the ciphertext and its tag, or the plaintext when there is no key.

        Raises `MessageTooLong` and `NonceExhausted`; both leave the cipher as it was.
        """
        if self._aead is None:
            _check_length(len(plaintext), MAX_MESSAGE_BYTES)
            return bytes(plaintext)
        aead = self._ready()
        _check_length(len(plaintext), MAX_PLAINTEXT_BYTES)
        return aead.encrypt(self._take_nonce(), plaintext, associated_data)

    def encrypt_into(self, plaintext: Buffer, out: memoryview) -> int:
        """Write ciphertext and tag to the start of `out`, without associated data; return their length.

        `out` needs 16 bytes more than `plaintext` has and must not overlap it. Raises as `encrypt` does, also
        `BufferTooSmall`, and `CipherClosed` when there is no key: only a transport cipher writes in place.
        """
        aead = self._ready()
        _check_length(len(plaintext), MAX_PLAINTEXT_BYTES)
        size = len(plaintext) + TAG_BYTES
        _check_room(out, size)
        return aead.encrypt_into(self._take_nonce(), plaintext, None, out[:size])

    def decrypt(self, associated_data: Buffer, ciphertext: Buffer) -> bytes:
        """Return the plaintext, or the bytes themselves when there is no key.

        Raises `DecryptionFailed`, `MessageTooLong` and `NonceExhausted`; each closes the cipher.
        """
        if self._aead is None:
            _check_length(len(ciphertext), MAX_MESSAGE_BYTES)
            return bytes(ciphertext)
        aead = self._ready()
        self._failed = True
        nonce = self._check_ciphertext(ciphertext)
        try:
            plaintext = aead.decrypt(nonce, ciphertext, associated_data)
        except InvalidTag as error:
            raise self._refusal() from error
        self._accept()
        return plaintext

    def decrypt_into(self, ciphertext: Buffer, out: memoryview) -> int:
        """Write the plaintext to the start of `out`, without associated data; return its length.

        `out` needs the ciphertext's length less 16 and must not overlap it. Raises as `decrypt` does, with what was
        written wiped, also `BufferTooSmall`, and `CipherClosed` when there is no key.
        """
        aead = self._ready()
        self._failed = True
        nonce = self._check_ciphertext(ciphertext)
        room = out[: len(ciphertext) - TAG_BYTES]
        _check_room(room, len(ciphertext) - TAG_BYTES)
        try:
            size = aead.decrypt_into(nonce, ciphertext, None, room)
        except InvalidTag as error:
            # The library has already written the unauthenticated plaintext; nobody may act on it.
            room[:] = bytes(len(room))
            raise self._refusal() from error
        self._accept()
        return size

    def rekey(self) -> None:
        """Replace the key by the first 32 bytes of its encryption of zeros; the count goes on (Noise §4.2, §11.3)."""
        aead = self._ready()
        sealed = aead.encrypt(_pack_nonce(MAX_NONCE), bytes(CIPHER_KEY_BYTES), None)
        self._aead = AESGCM(sealed[:CIPHER_KEY_BYTES])

    def __repr__(self) -> str:
        return f"CipherState(has_key={self.has_key}, nonce={self._nonce}, failed={self._failed})"

    def _ready(self) -> AESGCM:
        if self._failed:
            raise CipherClosed("an earlier message failed to decrypt; close the connection")
        if self._aead is None:
            raise CipherClosed("the cipher has no key yet; finish the handshake first")
        return self._aead

    def _take_nonce(self) -> bytes:
        """Use up a nonce before it is used, so that no interruption can make it serve twice."""
        nonce = self._nonce
        if nonce >= MAX_NONCE:
            raise NonceExhausted("this key has no nonce left; open a new connection")
        self._nonce = nonce + 1
        return _pack_nonce(nonce)

    def _check_ciphertext(self, ciphertext: Buffer) -> bytes:
        """Return the nonce of the next ciphertext, once its length and the count allow one."""
        _check_length(len(ciphertext), MAX_MESSAGE_BYTES)
        if len(ciphertext) < TAG_BYTES:
            raise DecryptionFailed(f"{len(ciphertext)} bytes are too few to hold a tag")
        if self._nonce >= MAX_NONCE:
            raise NonceExhausted("this key has no nonce left; open a new connection")
        return _pack_nonce(self._nonce)

    def _accept(self) -> None:
        self._nonce += 1
        self._failed = False

    def _refusal(self) -> DecryptionFailed:
        return DecryptionFailed(f"message {self._nonce} does not authenticate")


def _check_length(size: int, limit: int) -> None:
    if size > limit:
        raise MessageTooLong(size, limit)


def _check_room(out: memoryview, needed: int) -> None:
    if len(out) < needed:
        raise BufferTooSmall(len(out), needed)
