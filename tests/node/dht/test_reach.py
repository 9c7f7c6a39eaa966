"""An address is proven by a stranger's knock, and by nothing less."""

from __future__ import annotations

from node.dht.node import DhtNode
from node.dht.reach import Reachability
from scripts.dht_world.clock import run
from scripts.dht_world.world import NETWORK, Weather, World
from wire.datagrams import read_head, write_knock
from wire.dht_messages import Kind
from wire.endpoints import network_tag
from wire.types import Address

TAG = network_tag(NETWORK)


class Lab:
    """A network in which one node may be behind a router: it hears only from those it has sent to."""

    def __init__(self, count: int = 20, *, behind_router: bool = False, own: bool = False) -> None:
        self.world = World(Weather(round_trip_s=0.02, spread=0.1, loss=0.0))
        for _ in range(count):
            self.world.add()
        self.world.settle()
        self.node = self.world.add()
        self.here = self.world.where(self.node)
        self.node.protocol.serves = False
        self.reach = self.help(self.node, own=own)
        for other in self.world.nodes[:-1]:
            self.help(other)
        self.opened: set[Address] = set()
        if behind_router:
            self.world.observer = self._observe
            self.world.places[self.here] = self  # type: ignore[assignment]  # it stands before the node

    def help(self, node: DhtNode, *, own: bool = False) -> Reachability:
        def aside(target: Address, nonce: bytes) -> bool:
            where = Address(self.world.where(node).ip, 40_000)
            self.world.send(where, write_knock(tag=TAG, nonce=nonce), target)
            return True

        return Reachability(node, is_own=lambda _: own, knock_aside=aside)

    def receive(self, data: bytes, source: Address) -> None:
        if source in self.opened:
            self.node.receive(data, source)

    def _observe(self, data: bytes, source: Address, target: Address) -> None:
        if source == self.here:
            self.opened.add(target)


def test_a_node_that_can_be_reached_learns_its_address() -> None:
    async def main() -> None:
        lab = Lab()
        # It has sent to one of them only.
        await lab.node.greet([lab.world.where(lab.world.nodes[0])])
        assert await lab.reach.prove(v6=False) == lab.here
        assert await lab.reach.prove(v6=True) is None
        await lab.reach.close()

    run(main())


def test_a_node_behind_a_router_is_not_reached() -> None:
    async def main() -> None:
        lab = Lab(behind_router=True)
        await lab.node.greet([lab.world.where(other) for other in lab.world.nodes[:3]])
        assert await lab.reach.prove(v6=False) is None

    run(main())


def test_the_only_other_node_proves_an_address_of_this_machine_and_no_other() -> None:
    async def main() -> None:
        for own in (True, False):
            lab = Lab(1, own=own)
            await lab.node.greet([lab.world.where(lab.world.nodes[0])])
            assert await lab.reach.prove(v6=False) == (lab.here if own else None)

    run(main())


def test_a_knock_nobody_asked_for_proves_nothing() -> None:
    async def main() -> None:
        lab = Lab(1)
        data = write_knock(tag=TAG, nonce=b"12345678")
        assert read_head(data, TAG).kind is Kind.KNOCK
        lab.node.receive(data, Address("20.50.0.1", 1))
        assert lab.node.protocol.counts["refused"] == 0
        assert await lab.reach.prove(v6=False) is None

    run(main())
