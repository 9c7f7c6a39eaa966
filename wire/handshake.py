"""How two strangers become peers: Noise XX with a `hello` in messages 2 and 3.

    1  initiator -> responder   ephemeral key                       empty payload, readable by all
    2  responder -> initiator   static key, sealed; hello, sealed   initiator now knows whom it reached
    3  initiator -> responder   static key, sealed; hello, sealed   responder now knows who called

The initiator says who it is only after the responder has proved to be the peer that was meant. The prologue holds
protocol, major version and network, so foreign peers fail to decrypt message 2. Spec: `specs/wire.md` §Handshake.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from crypto.digest import Buffer
from crypto.errors import BadSignature, HandshakeError
from crypto.identity import Identity, PeerId
from crypto.keys import KEY_BYTES, KeyPair
from crypto.noise.binding import prologue, sign_static, verify_static
from crypto.noise.handshake import Handshake, TransportKeys
from wire import codec, limits
from wire.codes import Code
from wire.errors import BadMessage, InvalidValue, PeerRefused
from wire.frames import TAG_BYTES
from wire.messages.link import Hello

PROTOCOL: Final = "lamella"
MAJOR_VERSION: Final = 1
"""In the prologue: peers of another one cannot even shake hands."""
VERSION: Final = 1
"""In `hello`: both sides speak the lower one."""
OLDEST_VERSION: Final = 1
"""The lowest version this side still speaks."""
LISTENS: Final = 1
"""Feature: this process accepts links, so a link it opened may be used to reach it as well."""
BRIEF: Final = 2
"""Feature: this link was opened for one message and is used for nothing else, as a dial-back's `proof`."""

FIRST_MESSAGE_BYTES: Final = KEY_BYTES
"""An ephemeral key and an empty payload, to the byte: what is not Noise is refused at its second byte."""
_SECOND_LEAST: Final = KEY_BYTES + KEY_BYTES + TAG_BYTES + TAG_BYTES + 1
_THIRD_LEAST: Final = KEY_BYTES + TAG_BYTES + TAG_BYTES + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionConfig:
    """What one side brings to a connection."""

    initiator: bool
    identity: Identity
    network: str
    """Peers of different networks never meet."""
    static_seed: bytes = field(repr=False)
    """32 random bytes, the same for all connections of a process: the key they make names the process."""
    ephemeral_seed: bytes = field(repr=False)
    """32 random bytes, fresh for every connection."""
    expected_peer: PeerId | None = None
    """The peer an initiator means to reach; any other is refused."""
    agent: str = ""
    features: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if len(self.agent) > limits.MAX_AGENT_CHARS or not self.agent.isprintable():
            raise InvalidValue(f"an agent is printable text of at most {limits.MAX_AGENT_CHARS} characters")
        if len(self.features) > limits.MAX_FEATURES or not all(0 <= one <= 65_535 for one in self.features):
            raise InvalidValue(f"features are at most {limits.MAX_FEATURES} 16-bit numbers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Who the other side has proved to be, and what it says of itself."""

    peer_id: PeerId
    static_key: bytes
    agent: str
    features: tuple[int, ...]
    version: int


class Introduction:
    """One side's handshake: `first` if it is the initiator, then `receive` each message in turn."""

    def __init__(self, config: ConnectionConfig) -> None:
        self._config = config
        self._static = KeyPair.from_seed(config.static_seed)
        self._noise = Handshake(
            initiator=config.initiator,
            static=self._static,
            ephemeral=KeyPair.from_seed(config.ephemeral_seed),
            prologue=prologue(PROTOCOL, MAJOR_VERSION, config.network),
        )
        self._received_any = False

    def first(self) -> bytes:
        """The initiator's first message."""
        return self._noise.write_message(b"")

    @property
    def expected_bytes(self) -> tuple[int, int]:
        """The least and the greatest length of the message that comes next."""
        if not self._config.initiator and not self._received_any:
            return FIRST_MESSAGE_BYTES, FIRST_MESSAGE_BYTES
        least = _SECOND_LEAST if self._config.initiator else _THIRD_LEAST
        return least, least + limits.MAX_HEADER_BYTES

    @property
    def complete(self) -> bool:
        """Whether the keys are agreed, if not yet whether the peer is welcome."""
        return self._noise.complete

    def keys(self) -> TransportKeys:
        """The transport's ciphers, once."""
        return self._noise.split()

    def receive(self, data: Buffer) -> tuple[bytes | None, Peer | None]:
        """Take the next message; return our answer, if one is due, and the peer, once it is known.

        Raises:
            PeerRefused: not this network, not this version, or not the peer that was meant.
        """
        try:
            payload = self._noise.read_message(data)
            self._received_any = True
            if self._config.initiator:
                peer = self._judge(payload)
                return self._noise.write_message(self._hello()), peer
            if not self._noise.complete:
                return self._noise.write_message(self._hello()), None
        except HandshakeError as error:
            raise PeerRefused(
                f"{error}; the peer may belong to another network or version", code=Code.HANDSHAKE_FAILED
            ) from error
        return None, self._judge(payload)

    def _hello(self) -> bytes:
        hello = Hello(
            version=VERSION,
            identity=self._config.identity.public_key,
            signature=sign_static(self._config.identity, self._static.public),
            agent=self._config.agent,
            features=self._config.features,
        )
        return codec.encode(hello)[0]

    def _judge(self, payload: bytes) -> Peer:
        remote_static = self._noise.remote_static
        if remote_static == self._static.public:
            raise PeerRefused("this address leads back to this very process", code=Code.WRONG_PEER)
        try:
            hello = codec.decode(payload, b"")
        except BadMessage as error:
            raise PeerRefused(
                f"the handshake carries no hello: {error.detail}", code=Code.HANDSHAKE_FAILED
            ) from error
        if not isinstance(hello, Hello):
            raise PeerRefused("the handshake carries another message than hello", code=Code.HANDSHAKE_FAILED)
        if hello.version < OLDEST_VERSION:
            raise PeerRefused(
                f"the peer speaks version {hello.version}, this side {OLDEST_VERSION} to {VERSION}",
                code=Code.VERSION,
            )
        try:
            peer_id = verify_static(hello.identity, remote_static, hello.signature)
        except BadSignature as error:
            raise PeerRefused(
                "the peer's identity did not sign its key", code=Code.HANDSHAKE_FAILED
            ) from error
        expected = self._config.expected_peer
        if expected is not None and peer_id != expected:
            raise PeerRefused(f"reached {peer_id}, meant {expected}", code=Code.WRONG_PEER)
        return Peer(
            peer_id=peer_id,
            static_key=remote_static,
            agent=hello.agent,
            features=hello.features,
            version=min(VERSION, hello.version),
        )
