"""What can go wrong in the protocol.

WireError
├── LocalError            our own caller asked for what the state or a bound forbids; a bug or a usage error here
│   ├── InvalidValue      a value that cannot exist (also raised while decoding; the decoder turns it into BadMessage)
│   │   └── NewerVersion  a text or file of a later version of this protocol
│   └── IllegalState      a command that the state forbids
└── RemoteError           the peer broke the protocol; carries the code we tell it
    ├── PeerRefused       the handshake showed a peer, network or version that we do not speak with
    ├── BadFrame          the byte stream cannot be cut into messages
    └── BadMessage        a message that does not decode, or is out of bounds
"""

from __future__ import annotations

from wire.codes import Code


class WireError(Exception):
    """The protocol could not go on."""


class LocalError(WireError):
    """This side asked for something it may not do."""


class InvalidValue(LocalError, ValueError):
    """A value is outside its bounds."""


class NewerVersion(InvalidValue):
    """What a person handed us was written by a later version of this protocol."""


class IllegalState(LocalError):
    """The connection or session is not in a state that allows this."""


class RemoteError(WireError):
    """The peer broke the protocol. `code` is what it is told, `detail` is for a person."""

    def __init__(self, detail: str, *, code: Code) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class PeerRefused(RemoteError):
    """The handshake did not lead to the peer, network and version that were meant."""


class BadFrame(RemoteError):
    """The bytes received are not a sequence of frames."""

    def __init__(self, detail: str, *, code: Code = Code.BAD_FRAME) -> None:
        super().__init__(detail, code=code)


class BadMessage(RemoteError):
    """A frame holds something that is not a message of this protocol."""

    def __init__(self, detail: str, *, code: Code = Code.BAD_MESSAGE) -> None:
        super().__init__(detail, code=code)
