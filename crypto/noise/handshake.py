"""HandshakeState: the XX pattern, driven by its token table (Noise §5.3, §7.5).

Fails closed: whatever a call raises, the handshake is over and every later call raises too. Its own keys come in as
arguments; an ephemeral key must be fresh random bytes for each handshake, or forward secrecy and the uniqueness
of nonces are lost. What the payloads mean is no concern of this file.
https://noiseprotocol.org/noise.html#the-handshakestate-object
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from crypto.digest import Buffer
from crypto.errors import CipherError, HandshakeFailed, InvalidKey, MessageTooLong, OutOfTurn
from crypto.keys import KEY_BYTES, KeyPair
from crypto.noise.cipher import MAX_MESSAGE_BYTES, TAG_BYTES, CipherState
from crypto.noise.symmetric import SymmetricState

PROTOCOL_NAME: Final = b"Noise_XX_25519_AESGCM_SHA256"

Token: TypeAlias = Literal["e", "s", "ee", "es", "se"]
"""`e`, `s`: send that public key. Two letters: an exchange between the initiator's and the responder's key."""

PATTERN: Final[tuple[tuple[Token, ...], ...]] = (
    ("e",),
    ("e", "ee", "s", "es"),
    ("s", "se"),
)
"""XX (Noise §7.5): the messages in order, the initiator's first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportKeys:
    """What a finished handshake leaves behind."""

    send: CipherState
    receive: CipherState
    handshake_hash: bytes
    """Unique to this connection and equal on both sides (Noise §11.2, channel binding)."""


class Handshake:
    """One side of an XX handshake: write and read in turn, then `split` once."""

    def __init__(self, *, initiator: bool, static: KeyPair, ephemeral: KeyPair, prologue: bytes) -> None:
        """Start a handshake; both sides must hold the same `prologue` (Noise §6)."""
        self._initiator = initiator
        self._own = {"s": static, "e": ephemeral}
        self._remote: dict[str, bytes] = {}
        self._symmetric = SymmetricState(PROTOCOL_NAME)
        self._symmetric.mix_hash(prologue)
        self._next = 0
        self._failed = False
        self._split = False

    @property
    def complete(self) -> bool:
        """Whether all messages have passed; `split` is due."""
        return self._next == len(PATTERN) and not self._failed

    @property
    def writes_next(self) -> bool:
        """Whether it is this side's turn to write."""
        return self._next < len(PATTERN) and self._initiator == (self._next % 2 == 0) and not self._failed

    @property
    def remote_static(self) -> bytes:
        """The peer's X25519 static public key, proved to be its own. Raises `OutOfTurn` until it is."""
        if self._failed or "s" not in self._remote:
            raise OutOfTurn("the peer has not proved its static key")
        return self._remote["s"]

    def write_message(self, payload: Buffer) -> bytes:
        """Return the next handshake message, `payload` inside it.

        The payload of message 1 is readable and alterable by anyone on the way; that of message 2 is read by whoever
        dialled. Raises `OutOfTurn`, `MessageTooLong`, and `HandshakeFailed` when the peer's key is unusable.
        """
        with self._turn(writing=True) as tokens:
            pieces = [self._write_token(token) for token in tokens]
            pieces.append(self._symmetric.encrypt_and_hash(payload))
            message = b"".join(pieces)
            if len(message) > MAX_MESSAGE_BYTES:
                raise MessageTooLong(len(message), MAX_MESSAGE_BYTES)
        return message

    def read_message(self, data: Buffer) -> bytes:
        """Take the peer's next handshake message and return its payload.

        Raises `OutOfTurn`, `MessageTooLong` for more than 65,535 bytes, and `HandshakeFailed` for everything else the
        peer can do wrong.
        """
        with self._turn(writing=False) as tokens:
            if len(data) > MAX_MESSAGE_BYTES:
                raise MessageTooLong(len(data), MAX_MESSAGE_BYTES)
            rest = bytes(data)
            for token in tokens:
                rest = self._read_token(token, rest)
            return self._decrypt(rest)

    def split(self) -> TransportKeys:
        """Return the transport's ciphers. Once only: two pairs of ciphers would use each nonce twice."""
        if not self.complete or self._split:
            self._failed = True
            raise OutOfTurn("the handshake is not complete, or was split before")
        self._split = True
        first, second = self._symmetric.split()
        send, receive = (first, second) if self._initiator else (second, first)
        return TransportKeys(send=send, receive=receive, handshake_hash=self._symmetric.hash)

    def __repr__(self) -> str:
        role = "initiator" if self._initiator else "responder"
        return f"Handshake({role}, messages={self._next}, failed={self._failed})"

    @contextmanager
    def _turn(self, *, writing: bool) -> Iterator[tuple[Token, ...]]:
        """Hand out the next message's tokens; unless the body ends well, the handshake has failed."""
        due = not self._failed and self._next < len(PATTERN) and self.writes_next == writing
        self._failed = True
        if not due:
            raise OutOfTurn(f"the handshake does not {'write' if writing else 'read'} here, or failed before")
        yield PATTERN[self._next]
        self._next += 1
        self._failed = False
        if self._next == len(PATTERN):
            self._own.clear()

    def _write_token(self, token: Token) -> bytes:
        if token == "e":
            self._symmetric.mix_hash(self._own["e"].public)
            return self._own["e"].public
        if token == "s":
            return self._symmetric.encrypt_and_hash(self._own["s"].public)
        self._mix_exchange(token)
        return b""

    def _read_token(self, token: Token, data: bytes) -> bytes:
        """Take what the token says from the front of `data`; return the rest."""
        if token == "e":
            self._remote["e"], rest = self._take(data, KEY_BYTES)
            self._symmetric.mix_hash(self._remote["e"])
            return rest
        if token == "s":
            sealed, rest = self._take(data, KEY_BYTES + TAG_BYTES)
            self._remote["s"] = self._decrypt(sealed)
            return rest
        self._mix_exchange(token)
        return data

    def _mix_exchange(self, token: Token) -> None:
        """Exchange the pair of keys the token names, the initiator's letter first, and mix the secret in."""
        ours, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        try:
            self._symmetric.mix_key(self._own[ours].exchange(self._remote[theirs]))
        except InvalidKey as error:
            raise self._refusal(str(error)) from error

    def _take(self, data: bytes, size: int) -> tuple[bytes, bytes]:
        if len(data) < size:
            raise self._refusal("it is cut short")
        return data[:size], data[size:]

    def _decrypt(self, ciphertext: bytes) -> bytes:
        try:
            return self._symmetric.decrypt_and_hash(ciphertext)
        except CipherError as error:
            raise self._refusal("it does not authenticate") from error

    def _refusal(self, reason: str) -> HandshakeFailed:
        return HandshakeFailed(reason, message_number=self._next + 1)
