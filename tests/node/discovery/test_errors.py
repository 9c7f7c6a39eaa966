"""What a person is told of a closed road."""

from __future__ import annotations

from node.discovery.errors import DiscoveryError, OtherNetwork


def test_another_network_is_named_beside_ours_with_the_next_step() -> None:
    error = OtherNetwork("this join string", "theirs", "ours")
    assert isinstance(error, DiscoveryError)
    assert error.cause == "this join string is for network 'theirs', you are in 'ours'"
    assert "--network 'theirs'" in error.next_step
