"""Real sockets on this machine: all hosts are found when nodes die and when the nearest to the key lie."""

from __future__ import annotations

from scripts.bench.dht import besieged, loopback

NODES = 14
HOSTS = 5


async def test_all_hosts_are_found_and_those_that_live_when_three_in_ten_are_killed() -> None:
    for figures in await loopback(NODES, HOSTS):
        assert figures.complete == figures.searches, figures
        assert figures.took_p50_ms < 2000


async def test_all_hosts_are_found_when_the_eight_nearest_to_the_key_lie() -> None:
    figures = await besieged(NODES, HOSTS)
    assert figures.complete == figures.searches, figures
