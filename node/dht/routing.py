"""Which nodes are known: the buckets of the `kademlia` library, for contacts that have proven their key and address.

Taken from the library: `RoutingTable`, `KBucket` and `Node`, that is the splitting of buckets, their order by last
sight and their replacements. Ours: limits by network, contacts of both IP families, and that a full bucket names the
contact to check instead of asking it itself.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kademlia.node import Node
from kademlia.routing import KBucket, RoutingTable

from crypto.identity import PeerId, peer_id_of
from node.dht.places import is_v6, limited_network
from wire import limits
from wire.endpoints import NodeContact, NodeId, node_id_of
from wire.types import Address

_ID_BITS = 8 * limits.NODE_ID_BYTES


@dataclass(frozen=True, slots=True)
class Families:
    """Which addresses someone can use."""

    v4: bool = True
    v6: bool = True

    def allow(self, ip: str) -> bool:
        return self.v6 if is_v6(ip) else self.v4


BOTH = Families()


class KnownNode(Node):  # type: ignore[misc]  # the library has no types
    """A node that has answered from its address with its key."""

    def __init__(self, public_key: bytes, address: Address) -> None:
        self.contact = NodeContact(node_id_of(public_key), address)
        super().__init__(self.contact.node.raw, address.ip, address.port)
        self.public_key = public_key
        self.network = limited_network(address.ip)

    @property
    def peer(self) -> PeerId:
        """The node's peer id."""
        return peer_id_of(self.public_key)


class _Table(RoutingTable):  # type: ignore[misc]  # the library has no types
    """The library's table, without its ping."""

    def add_contact(self, node: KnownNode) -> KnownNode | None:
        """Add a node; return the one to check when the bucket is full and cannot be split (Kademlia §2.2)."""
        bucket: KBucket = self.buckets[self.get_bucket_for(node)]
        if bucket.add_node(node):
            return None
        if bucket.has_in_range(self.node) or bucket.depth() % 5 != 0:
            self.split_bucket(self.get_bucket_for(node))
            return self.add_contact(node)
        head: KnownNode = bucket.head()
        return head


class Routing:
    """The contacts of one node."""

    def __init__(self, own: NodeId) -> None:
        self.own = own
        self._table = _Table(None, limits.BUCKET_SIZE, Node(own.raw))
        self._networks: Counter[bytes] = Counter()
        """Contacts of each network, and some that are gone."""
        self._bits: Counter[int] | None = None
        """How many contacts differ from us first in each bit; none when that may have changed."""

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._table.buckets)

    def __iter__(self) -> Iterator[KnownNode]:
        for bucket in self._table.buckets:
            yield from bucket.get_nodes()

    def get(self, node: NodeId) -> KnownNode | None:
        """The contact of this id."""
        found: KnownNode | None = self._bucket(node)[node.raw]
        return found

    def add(self, known: KnownNode) -> KnownNode | None:
        """Take a contact that has just proven itself; return one that should be asked whether it still lives.

        Nothing is kept past the limits by network, nor of ourselves.
        """
        if known.id == self.own.raw or not self._has_room(known):
            return None
        if self.get(known.contact.node) is None:
            self._bits = None
            if known.network is not None:
                self._networks[known.network] += 1
        return self._table.add_contact(known)

    def wants(self, contact: NodeContact) -> bool:
        """Whether a sender would become a contact if it proved itself, or has moved."""
        if contact.node == self.own:
            return False
        bucket = self._bucket(contact.node)
        known = bucket[contact.node.raw]
        if known is not None:
            return bool(known.contact.address != contact.address)
        splits = bucket.has_in_range(self._table.node)
        return (len(bucket) < limits.BUCKET_SIZE or splits) and len(self) < limits.MAX_CONTACTS

    def remove(self, node: NodeId) -> None:
        """Forget a contact that did not answer; one that waits takes its place."""
        self._bits = None
        self._table.remove_contact(Node(node.raw))

    def nearest(
        self, target: NodeId, count: int, *, families: Families = BOTH, but: NodeId | None = None
    ) -> list[KnownNode]:
        """The contacts nearest to a place, nearest first, of these families and without one."""
        place = int.from_bytes(target.raw, "big")
        fit = (one for one in self if families.allow(one.ip) and (but is None or one.id != but.raw))
        # The library's own search takes the first it meets, which are not always the nearest.
        return heapq.nsmallest(count, fit, key=lambda one: one.long_id ^ place)

    def nearer(self, key: NodeId) -> int:
        """How many contacts are nearer to a key than this node. Asked for every record that arrives.

        A contact is nearer if, and only if, our distance to the key has the bit by which the contact first differs from
        us. That bit is the same for all contacts of a bucket, but for the one that we would be in ourselves.
        """
        ours = self.own.distance(key)
        if self._bits is None:
            self._bits = self._count_bits()
        return sum(count for bit, count in self._bits.items() if ours >> bit & 1)

    def _count_bits(self) -> Counter[int]:
        """How many contacts differ from us first in each bit."""
        own: int = self._table.node.long_id
        bits: Counter[int] = Counter()
        for bucket in self._table.buckets:
            low, high = bucket.range
            if low <= own <= high:
                for one in bucket.get_nodes():
                    bits[(one.long_id ^ own).bit_length() - 1] += 1
            elif len(bucket):
                bits[(((low + high) // 2) ^ own).bit_length() - 1] += len(bucket)
        return bits

    def refresh_targets(self, random: Callable[[int], bytes]) -> list[NodeId]:
        """A random place in each bucket, the fullest last: where a search finds contacts that are lacking."""
        targets = []
        for bucket in sorted(self._table.buckets, key=len):
            low, high = bucket.range
            wide = min(high, (1 << _ID_BITS) - 1) - low
            offset = int.from_bytes(random(limits.NODE_ID_BYTES), "big") % (wide + 1)
            targets.append(NodeId((low + offset).to_bytes(limits.NODE_ID_BYTES, "big")))
        return targets

    def oldest(self) -> list[KnownNode]:
        """The contact of each bucket that was not heard of for the longest time."""
        return [bucket.head() for bucket in self._table.buckets if len(bucket)]

    def _bucket(self, node: NodeId) -> KBucket:
        return self._table.buckets[self._table.get_bucket_for(Node(node.raw))]

    def _has_room(self, known: KnownNode) -> bool:
        bucket = self._bucket(known.contact.node)
        if bucket[known.id] is not None and bucket[known.id].network == known.network:
            return True
        if known.network is None:
            return len(self) < limits.MAX_CONTACTS
        waiting = bucket.replacement_nodes.values()
        here = sum(one.network == known.network for one in (*bucket.get_nodes(), *waiting))
        if here >= limits.BUCKET_CONTACTS_PER_NETWORK or len(self) >= limits.MAX_CONTACTS:
            return False
        if self._networks[known.network] >= limits.TABLE_CONTACTS_PER_NETWORK:
            # What the library has dropped by itself is still counted.
            self._networks = Counter(one.network for one in self if one.network is not None)
        return self._networks[known.network] < limits.TABLE_CONTACTS_PER_NETWORK
