"""What a host tells of itself in figures, asked of its parts when somebody looks. Joins `node.sight` with them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from importlib.metadata import version
from statistics import median

from node.controlling import Controlling, Parts
from node.sight.facts import (
    DhtFacts,
    HostingFacts,
    LinkFacts,
    MemoryFacts,
    RateFacts,
    RelayFacts,
    SessionFacts,
    WeightFacts,
    unready,
)
from node.sight.http import Pages, SightServer
from node.sight.logs import Logs
from node.sight.metrics import CONTENT_TYPE, Metrics, Sources
from node.sight.watch import Watch
from wire.types import Address


class Seeing:
    """The facts of one host; `node.sight.facts.Facts`."""

    def __init__(self, parts: Parts, controlling: Controlling) -> None:
        self._parts = parts
        self._controlling = controlling
        self._began = time.monotonic()

    def hosting(self) -> HostingFacts:
        """The host as a whole."""
        lines = self._controlling.lines()
        return HostingFacts(
            uptime_s=time.monotonic() - self._began,
            state=self._controlling.state.value,
            slices=Counter(one.state.value for one in lines),
            tasks=len(asyncio.all_tasks()),
        )

    def sessions(self) -> SessionFacts:
        """Sessions now."""
        host = self._parts.host
        return SessionFacts(open=host.sessions, active=host.active_of(), most=host.admission.max_sessions)

    def memory(self) -> MemoryFacts:
        """Memory taken for the host's work."""
        return MemoryFacts(
            weight_bytes=sum(one.slice.weight_bytes for one in self._parts.host.slices),
            kv_used_bytes=self._parts.budget.used,
            kv_total_bytes=self._parts.budget.total,
        )

    def links(self) -> LinkFacts:
        """Links to peers."""
        pool = self._parts.presence.pool
        links, moved = list(pool.links.values()), pool.moved
        trips = [one.round_trip_s for one in links if one.round_trip_s]
        kinds = Counter(
            ("inbound" if one.inbound else "outbound", "direct" if one.via is None else "relayed")
            for one in links
        )
        return LinkFacts(
            open=kinds,
            round_trip_median_s=median(trips) if trips else None,
            round_trip_max_s=max(trips, default=None),
            sent_bytes=moved.sent,
            received_bytes=moved.received,
        )

    def dht(self) -> DhtFacts | None:
        """The part of the DHT that this host is."""
        presence = self._parts.presence
        nodes, counts = presence.nodes, presence.dht_counts
        if nodes is None:
            return None
        return DhtFacts(
            contacts=nodes,
            announced=presence.dht_announced,
            stored=presence.dht_stored,
            requests=counts.get("requests", 0),
            lost=counts.get("lost", 0),
            throttled=counts.get("throttled", 0),
            refused=sum(counts.get(name, 0) for name in ("forged", "refused", "muted")),
        )

    def weights(self) -> WeightFacts | None:
        """Weights that pass."""
        return self._parts.traffic.weight_facts(self._parts.config.disk_bytes)

    def rates(self) -> RateFacts:
        """The limits that hold now."""
        return self._parts.traffic.rate_facts()

    def relay(self) -> RelayFacts | None:
        """What this host carries for others."""
        if not self._parts.config.relay:
            return None
        reaching = self._parts.presence.reaching
        return RelayFacts(circuits=reaching.circuits, carried_bytes=reaching.carried_bytes)


async def open_pages(address: Address, seeing: Seeing, metrics: Metrics, watch: Watch) -> SightServer:
    """Serve metrics, health and readiness at an address of this machine. Raises `NodeError`."""
    pages = Pages(
        metrics=metrics.render,
        metrics_type=CONTENT_TYPE,
        health=watch.healthy,
        ready=lambda: unready(seeing.hosting()),
    )
    server = SightServer(pages)
    await server.start(address)
    return server


def metrics_of(parts: Parts, seeing: Seeing, watch: Watch, logs: Logs) -> Metrics:
    """Every measured value of a host."""
    sources = Sources(facts=seeing, tally=parts.host.tally, pulse=watch.pulse, logs=logs.facts)
    return Metrics(sources, version=version("lamella"), torch=version("torch"))
