"""A write token is good at the address it was made for, for one to two periods."""

from __future__ import annotations

import os

from node.dht.tokens import WriteTokens
from wire import limits
from wire.types import Address

HERE, THERE = Address("203.0.113.1", 7311), Address("203.0.113.1", 7312)


def test_a_token_counts_at_its_address_only() -> None:
    tokens = WriteTokens(os.urandom, 0.0)
    token = tokens.make(HERE, 1.0)
    assert len(token) == limits.TOKEN_BYTES
    assert tokens.check(token, HERE, 2.0)
    assert not tokens.check(token, THERE, 2.0)
    assert not tokens.check(bytes(8), HERE, 2.0)
    assert not WriteTokens(os.urandom, 0.0).check(token, HERE, 2.0)


def test_a_token_counts_for_one_to_two_periods() -> None:
    tokens = WriteTokens(os.urandom, 0.0)
    token = tokens.make(HERE, 299.0)
    assert tokens.check(token, HERE, 599.0)
    assert not tokens.check(token, HERE, 600.0)
    late = tokens.make(HERE, 100_000.0)
    assert tokens.check(late, HERE, 100_001.0)
    assert not tokens.check(token, HERE, 100_001.0)
