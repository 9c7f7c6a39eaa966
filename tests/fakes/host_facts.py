"""A host whose facts are plain values that a test sets."""

from __future__ import annotations

from node.sight.facts import (
    DhtFacts,
    HostingFacts,
    LinkFacts,
    MemoryFacts,
    RateFacts,
    RelayFacts,
    SessionFacts,
    WeightFacts,
)


class HostFacts:
    """Answers as a host does."""

    def __init__(self) -> None:
        self.state = "serving"
        self.slices = {"serving": 1}
        self.link_facts = LinkFacts(open={("inbound", "direct"): 3, ("outbound", "relayed"): 1})
        self.dht_facts: DhtFacts | None = DhtFacts(contacts=20, requests=7, lost=2, throttled=1)

    def hosting(self) -> HostingFacts:
        return HostingFacts(uptime_s=12.5, state=self.state, slices=self.slices)

    def sessions(self) -> SessionFacts:
        return SessionFacts(open=4, active=2)

    def memory(self) -> MemoryFacts:
        return MemoryFacts(weight_bytes=1 << 33, kv_used_bytes=5, kv_total_bytes=1 << 30)

    def links(self) -> LinkFacts:
        return self.link_facts

    def dht(self) -> DhtFacts | None:
        return self.dht_facts

    def weights(self) -> WeightFacts | None:
        return WeightFacts(given_bytes=10, fetched_bytes={"hub": 20})

    def rates(self) -> RateFacts:
        return RateFacts(upload_bytes_per_s=2.5e6, waiting={"upload": 3})

    def relay(self) -> RelayFacts | None:
        return None
