"""A link that only keeps what is sent over it."""

from __future__ import annotations

from crypto.identity import PeerId
from node.transport.errors import LinkClosed
from wire.codes import Code
from wire.messages.base import Message
from wire.types import Address


class FakeLine:
    """See the module."""

    def __init__(self, name: str = "p", *, via: PeerId | None = None, is_over: bool = False) -> None:
        self.peer_id = PeerId(name.encode().ljust(32, b"."))
        self.remote = Address("127.0.0.1", 50_000)
        self.via = via
        self.sent: list[Message] = []
        self.is_over = is_over

    def send(self, message: Message) -> None:
        if self.is_over:
            raise LinkClosed(self.remote, Code.CONNECTION_LOST, "", by_peer=True)
        self.sent.append(message)

    def said(self) -> list[Message]:
        """What was sent since the last call."""
        sent, self.sent = self.sent, []
        return sent
