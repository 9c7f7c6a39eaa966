"""The bytes that pass between this host and others, and how fast they may: one limit a way, for whatever it is.

Links, what a relay carries in them, weights, requests and datagrams all go through the same `Pacer`. Sizes are those
that this program sees: what TCP, UDP, IP and TLS add is not in them, a few parts in a hundred of bulk, and neither is
what never leaves the local network, as questions to the router and mDNS.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.config import NodeConfig
from node.control.results import Rates
from node.manners.pacing import Pacer
from node.sharing import Sharing
from node.sight.facts import RateFacts, WeightFacts
from node.store.pace import Intake


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What bytes pass through in one host."""

    pacer: Pacer
    sharing: Sharing
    fetched: Intake

    def limit(self, config: NodeConfig) -> None:
        """Let pass from now on what a configuration says."""
        self.pacer.limit(
            upload_bytes_per_s=config.upload_bytes_per_s, download_bytes_per_s=config.download_bytes_per_s
        )

    def rates(self) -> Rates:
        """The limits that hold, for the control socket."""
        upload, download = self.pacer.upload, self.pacer.download
        return Rates(
            upload_bytes_per_s=upload.rate_bytes_per_s, download_bytes_per_s=download.rate_bytes_per_s
        )

    def rate_facts(self) -> RateFacts:
        """The limits that hold, and who waits for them."""
        upload, download = self.pacer.upload, self.pacer.download
        return RateFacts(
            upload_bytes_per_s=upload.rate_bytes_per_s,
            download_bytes_per_s=download.rate_bytes_per_s,
            waiting={"upload": upload.waiting, "download": download.waiting},
        )

    def weight_facts(self, disk_limit_bytes: int | None) -> WeightFacts:
        """Weights that were given and fetched."""
        return WeightFacts(
            given_bytes=self.sharing.given_bytes,
            fetched_bytes={"hub": self.fetched.hub.nbytes, "peer": self.fetched.peers.nbytes},
            answering=self.sharing.answering,
            disk_limit_bytes=disk_limit_bytes,
        )
