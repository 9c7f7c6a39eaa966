"""A hop is told of the next one's address as far as it means something to that hop."""

from __future__ import annotations

import pytest

from chat.hop_ways import way_between
from chat.route import Hop
from crypto.identity import PeerId
from wire.tensors import DType
from wire.types import Address, LayerRange, Relayed

LAN, OTHER_LAN = Address("192.168.1.5", 7311), Address("192.168.1.6", 7311)
PUBLIC, FAR = Address("8.8.4.4", 7311), Address("1.1.1.1", 7311)
HOME = Address("127.0.0.1", 7311)
RELAY = Relayed(PeerId(b"r" * 32), Address("9.9.9.9", 7311))


def hop(*ways: Address | Relayed) -> Hop:
    first = ways[0]
    return Hop(
        peer=PeerId(b"p" * 32),
        address=first if isinstance(first, Address) else first.address,
        ways=ways,
        layers=LayerRange(0, 1),
        dtype=DType.BFLOAT16,
        tail=False,
        link_s=0.0,
        stage_s=0.0,
    )


@pytest.mark.parametrize(
    ("before", "after", "way"),
    [
        (hop(LAN), hop(OTHER_LAN, PUBLIC), OTHER_LAN),
        (hop(FAR), hop(OTHER_LAN, PUBLIC), PUBLIC),
        (hop(FAR), hop(OTHER_LAN, RELAY), RELAY),
        (hop(RELAY), hop(OTHER_LAN, PUBLIC), PUBLIC),
        (hop(RELAY), hop(RELAY), RELAY),
        (hop(HOME), hop(HOME, PUBLIC, RELAY), HOME),
        (hop(LAN), hop(HOME, RELAY, PUBLIC), PUBLIC),
        # Nothing that is known reaches far enough; the way that the client takes is all there is.
        (hop(FAR), hop(LAN), LAN),
    ],
)
def test_the_nearest_way_that_reaches_far_enough_is_taken(
    before: Hop, after: Hop, way: Address | Relayed
) -> None:
    assert way_between(before, after) == way
