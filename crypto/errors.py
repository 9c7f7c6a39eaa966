"""What can go wrong with keys, signatures, handshakes and ciphers.

CryptoError
├── InvalidKey            a key or seed that is not one; a public key whose exchange would yield a known secret
├── InvalidPeerId         a text or bytes that are not a peer id
├── InvalidLabel          a context, protocol or network name that cannot be encoded; a usage error here
├── BadSignature          a signature that its key, context and message do not explain
├── HandshakeError
│   ├── OutOfTurn         a handshake call in a state that forbids it; a bug or a usage error here
│   └── HandshakeFailed   the peer's message was refused; the handshake is over for good
└── CipherError
    ├── DecryptionFailed  a ciphertext that does not authenticate; the direction is over for good
    ├── NonceExhausted    a key has encrypted all the messages it may
    ├── MessageTooLong    past the longest Noise message
    ├── BufferTooSmall    the caller's output buffer cannot hold the result
    └── CipherClosed      a call on a cipher that has no key, or that failed before
"""

from __future__ import annotations


class CryptoError(Exception):
    """A cryptographic operation was refused."""


class InvalidKey(CryptoError, ValueError):
    """These bytes are not a usable key."""


class InvalidPeerId(CryptoError, ValueError):
    """This is not a peer id."""


class InvalidLabel(CryptoError, ValueError):
    """A name that goes into a signature or a prologue is empty or too long."""


class BadSignature(CryptoError):
    """The signature does not belong to this key, context and message."""


class HandshakeError(CryptoError):
    """The handshake did not go on."""


class OutOfTurn(HandshakeError):
    """The handshake is not in a state that allows this call."""


class HandshakeFailed(HandshakeError):
    """The peer's handshake message was refused. `message_number` counts from one."""

    def __init__(self, reason: str, *, message_number: int) -> None:
        super().__init__(f"handshake message {message_number} was refused: {reason}")
        self.message_number = message_number
        self.reason = reason


class CipherError(CryptoError):
    """The cipher did not produce a message."""


class DecryptionFailed(CipherError):
    """A ciphertext was altered, repeated, reordered or made with another key."""


class NonceExhausted(CipherError):
    """This key has been used for as many messages as its nonce can count."""


class MessageTooLong(CipherError):
    """A message is longer than a Noise message may be."""

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"a Noise message is at most {limit_bytes} bytes, this one is {size_bytes}")
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class BufferTooSmall(CipherError):
    """The output buffer is shorter than the result."""

    def __init__(self, size_bytes: int, needed_bytes: int) -> None:
        super().__init__(f"the output buffer is {size_bytes} bytes, the result {needed_bytes}")
        self.size_bytes = size_bytes
        self.needed_bytes = needed_bytes


class CipherClosed(CipherError):
    """The cipher has no key, or an earlier message failed to decrypt."""
