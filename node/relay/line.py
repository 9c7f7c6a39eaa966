"""What is needed of a link to a peer; `node.transport.link.Link` is one."""

from __future__ import annotations

from typing import Protocol

from crypto.identity import PeerId
from wire.messages.base import Message
from wire.types import Address


class Line(Protocol):
    """An established link."""

    def __hash__(self) -> int:
        """A link is itself and no other."""
        ...

    @property
    def peer_id(self) -> PeerId:
        """Who has proved to be at its other end."""
        ...

    @property
    def remote(self) -> Address:
        """The address at its other end."""
        ...

    @property
    def via(self) -> PeerId | None:
        """The relay that carries it; None when it is direct."""
        ...

    def send(self, message: Message) -> None:
        """Queue a message and return at once. Raises `NodeError` when the link is over."""
        ...
