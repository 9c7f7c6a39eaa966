"""The messages of peer exchange."""

from __future__ import annotations

import pytest

from crypto.identity import PeerId
from tests.fakes.message_values import header
from wire import codec, limits
from wire.cbor import dumps
from wire.errors import BadMessage
from wire.messages.peers import Introduce, KnownPeer, Peers
from wire.types import Address

KNOWN = KnownPeer(peer=PeerId(bytes(32)), address=Address("192.0.2.7", 7311))


def test_who_says_no_port_is_not_to_be_told_of() -> None:
    raw, body = codec.encode(Introduce())
    assert raw == dumps({"t": 64})
    asked = codec.decode(raw, body)
    assert isinstance(asked, Introduce) and asked.listens is None


def test_a_full_answer_fits_a_header_and_one_more_is_refused() -> None:
    long = KnownPeer(
        peer=PeerId(b"\xff" * 32), address=Address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", 65_535)
    )
    answer = Peers(peers=(long,) * limits.MAX_PEERS_TOLD, listens=65_535)
    raw, body = codec.encode(answer)
    assert len(raw) <= limits.MAX_HEADER_BYTES
    assert codec.decode(raw, body) == answer
    one = {"peer": bytes(32), "address": "192.0.2.7:7311"}
    with pytest.raises(BadMessage, match=r"peers\.peers"):
        codec.decode(dumps(header(Peers.declaration, peers=[one] * (limits.MAX_PEERS_TOLD + 1))), b"")


@pytest.mark.parametrize("address", ["example.org:1", "[fe80::1%eth0]:1", "192.0.2.7"])
def test_a_peer_is_told_by_ip_and_port(address: str) -> None:
    assert codec.decode(*codec.encode(Peers(peers=(KNOWN,)))) == Peers(peers=(KNOWN,))
    told = [{"peer": bytes(32), "address": address}]
    with pytest.raises(BadMessage, match=r"peers\.peers"):
        codec.decode(dumps(header(Peers.declaration, peers=told)), b"")
