"""What a pool needs of whoever carries links for it: a stream to a peer that cannot be dialled."""

from __future__ import annotations

import asyncio
from typing import Protocol

from crypto.identity import PeerId
from wire.types import Relayed


class Carrier(Protocol):
    """Connects a protocol to a peer by way of a relay."""

    async def connect(self, protocol: asyncio.BufferedProtocol, peer_id: PeerId, where: Relayed) -> None:
        """Give `protocol` a transport whose other end is `peer_id`, as `where` says. Raises `NodeError`."""
        ...
