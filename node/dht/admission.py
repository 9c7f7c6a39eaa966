"""Who is being challenged: a sender that says it is a node is asked for proof before it becomes a contact."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

from node.dht.places import limited_network
from wire import limits
from wire.endpoints import NodeContact

PER_NETWORK: Final = 4
"""Security limit: challenges under way within one network, so that one cannot take all places."""


class Challenges:
    """The challenges under way, by address. Whoever asks says when each is over."""

    def __init__(self) -> None:
        self._pending: OrderedDict[str, bytes | None] = OrderedDict()
        self._by_network: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, contact: NodeContact) -> bool:
        """Whether this sender is to be challenged now; if so it is counted until `end`."""
        where = str(contact.address)
        network = limited_network(contact.address.ip)
        if where in self._pending or len(self._pending) >= limits.MAX_PENDING_CHALLENGES:
            return False
        if network is not None:
            if self._by_network[network] >= PER_NETWORK:
                return False
            self._by_network[network] += 1
        self._pending[where] = network
        return True

    def end(self, contact: NodeContact) -> None:
        """A challenge was answered, or will not be."""
        network = self._pending.pop(str(contact.address), None)
        if network is not None:
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]
