"""A sender has its allowance; this machine is not counted."""

from __future__ import annotations

from node.dht.sources import Sources
from wire import limits


def test_a_sender_may_send_a_burst_and_then_at_its_rate() -> None:
    sources = Sources()
    assert sum(sources.allow("8.8.8.8", 0.0) for _ in range(1000)) == limits.SOURCE_BURST
    assert sources.allow("8.8.4.4", 0.0)
    assert sum(sources.allow("8.8.8.8", 1.0) for _ in range(1000)) == limits.SOURCE_RATE_HZ
    assert sum(sources.allow("8.8.8.8", 1e6) for _ in range(1000)) == limits.SOURCE_BURST


def test_addresses_of_one_ipv6_network_share_an_allowance() -> None:
    sources = Sources()
    heard = sum(sources.allow(f"2a00:1:2:3::{number:x}", 0.0) for number in range(1000))
    assert heard == limits.SOURCE_BURST


def test_this_machine_is_not_counted() -> None:
    sources = Sources()
    assert all(sources.allow("127.0.0.1", 0.0) for _ in range(1000))
    assert len(sources) == 0


def test_only_so_many_senders_are_remembered() -> None:
    sources = Sources()
    for number in range(limits.MAX_SOURCES + 10):
        sources.allow(f"9.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert len(sources) == limits.MAX_SOURCES
