"""Peers made of two independent Noise packages behind one face, to be spoken with in tests."""

from __future__ import annotations

import warnings
from typing import Protocol

from dissononce.cipher.aesgcm import AESGCMCipher
from dissononce.dh.x25519.x25519 import X25519DH, PrivateKey
from dissononce.extras.dh.dangerous.dh_nogen import NoGenDH
from dissononce.hash.sha256 import SHA256Hash
from dissononce.processing.handshakepatterns.interactive.XX import XXHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState
from noise.connection import Keypair, NoiseConnection


class NoisePeer(Protocol):
    """One side of a handshake and of the transport after it, by somebody else's code."""

    def __init__(
        self, *, initiator: bool, static_seed: bytes, ephemeral_seed: bytes, prologue: bytes
    ) -> None: ...

    def write_message(self, payload: bytes) -> bytes: ...

    def read_message(self, data: bytes) -> bytes: ...

    def encrypt(self, plaintext: bytes) -> bytes: ...

    def decrypt(self, ciphertext: bytes) -> bytes: ...

    @property
    def handshake_hash(self) -> bytes: ...

    @property
    def remote_static(self) -> bytes: ...


class NoiseprotocolPeer:
    """The package `noiseprotocol`."""

    def __init__(
        self, *, initiator: bool, static_seed: bytes, ephemeral_seed: bytes, prologue: bytes
    ) -> None:
        self._connection = NoiseConnection.from_name(b"Noise_XX_25519_AESGCM_SHA256")
        if initiator:
            self._connection.set_as_initiator()
        else:
            self._connection.set_as_responder()
        self._connection.set_prologue(prologue)
        self._connection.set_keypair_from_private_bytes(Keypair.STATIC, static_seed)
        self._connection.set_keypair_from_private_bytes(Keypair.EPHEMERAL, ephemeral_seed)
        with warnings.catch_warnings():
            # The package warns, rightly, of an ephemeral key that is not fresh; here it is fixed on purpose.
            warnings.filterwarnings("ignore", "One of ephemeral keypairs is already set", UserWarning)
            self._connection.start_handshake()
        # The package forgets its handshake state, and with it the peer's key, when the handshake ends.
        self._handshake = self._connection.noise_protocol.handshake_state

    def write_message(self, payload: bytes) -> bytes:
        return bytes(self._connection.write_message(payload))

    def read_message(self, data: bytes) -> bytes:
        return bytes(self._connection.read_message(data))

    def encrypt(self, plaintext: bytes) -> bytes:
        return bytes(self._connection.encrypt(plaintext))

    def decrypt(self, ciphertext: bytes) -> bytes:
        return bytes(self._connection.decrypt(ciphertext))

    def rekey_send(self) -> None:
        self._connection.rekey_outbound_cipher()

    def rekey_receive(self) -> None:
        self._connection.rekey_inbound_cipher()

    @property
    def handshake_hash(self) -> bytes:
        return bytes(self._connection.get_handshake_hash())

    @property
    def remote_static(self) -> bytes:
        return bytes(self._handshake.rs.public_bytes)


class DissononcePeer:
    """The package `dissononce`. It cannot rekey AESGCM: it keeps the tag as part of the new key."""

    def __init__(
        self, *, initiator: bool, static_seed: bytes, ephemeral_seed: bytes, prologue: bytes
    ) -> None:
        exchange = NoGenDH(X25519DH(), PrivateKey(ephemeral_seed))
        self._initiator = initiator
        self._symmetric = SymmetricState(CipherState(AESGCMCipher()), SHA256Hash())
        self._state = HandshakeState(self._symmetric, exchange)
        static = X25519DH().generate_keypair(PrivateKey(static_seed))
        self._state.initialize(XXHandshakePattern(), initiator, prologue, s=static)
        self._ciphers: tuple[CipherState, CipherState] | None = None

    def write_message(self, payload: bytes) -> bytes:
        buffer = bytearray()
        self._ciphers = self._state.write_message(payload, buffer)
        return bytes(buffer)

    def read_message(self, data: bytes) -> bytes:
        buffer = bytearray()
        self._ciphers = self._state.read_message(data, buffer)
        return bytes(buffer)

    def encrypt(self, plaintext: bytes) -> bytes:
        assert self._ciphers is not None
        return bytes(self._ciphers[0 if self._initiator else 1].encrypt_with_ad(b"", plaintext))

    def decrypt(self, ciphertext: bytes) -> bytes:
        assert self._ciphers is not None
        return bytes(self._ciphers[1 if self._initiator else 0].decrypt_with_ad(b"", ciphertext))

    @property
    def handshake_hash(self) -> bytes:
        return bytes(self._symmetric.get_handshake_hash())

    @property
    def remote_static(self) -> bytes:
        return bytes(self._state.rs.data)
