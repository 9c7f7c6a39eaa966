"""What the owner of a machine grants a host, as one checked value. Where nothing is said, nothing is limited.

Not here: memory for weights and caches, disk and threads, which are asked for where they are taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from node.manners.errors import TermOutOfBounds
from node.manners.hours import Hours
from wire import limits

LEAST_RATE_BYTES_PER_S: Final = 128 * 1024
"""A megabit. A link with a prefill on it must bring what is in buffers on the way within `ACK_TIMEOUT_S`."""
MOST_RATE_BYTES_PER_S: Final = 125e9
"""A terabit a second: more is a mistake in the unit."""
LEAST_BUSY: Final = 0.05
"""Below it, a machine with nothing to do counts as busy now and then."""
MOST_NICE: Final = 19
"""`setpriority(2)`."""
LEAST_TOKENS_PER_HOUR: Final = 100
"""Fewer would refuse everybody before a first answer is over."""
MOST_TOKENS_PER_HOUR: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class MannersTerms:
    """Everything an owner can limit of the time, the bytes and the work of a host.

    Raises:
        TermOutOfBounds: a limit that cannot be kept; it names which, and what can.
    """

    hours: Hours | None = None
    """When to serve; at any time when None."""
    pause_on_battery: bool = False
    busy_above: float | None = None
    """The share of the machine's processors that other programs may use, or wait for, before the host pauses."""
    nice: int = 0
    """How much the host stands back behind other programs, 0 to 19."""
    sessions: int = limits.MAX_SESSIONS
    sessions_per_peer: int = limits.MAX_SESSIONS_PER_PEER
    tokens_per_peer_per_hour: int | None = None
    upload_bytes_per_s: float | None = None
    """Of all bytes that leave this process: links, relayed ones and chunks of weights."""
    download_bytes_per_s: float | None = None
    relay_only: bool = False
    """Whether to hold no slices and carry links for others only."""

    def __post_init__(self) -> None:
        for name in ("upload_bytes_per_s", "download_bytes_per_s"):
            _check(name, getattr(self, name), LEAST_RATE_BYTES_PER_S, MOST_RATE_BYTES_PER_S, "bytes a second")
        _check("busy_above", self.busy_above, LEAST_BUSY, 1.0, "of the machine")
        _check("nice", self.nice, 0, MOST_NICE, "")
        _check("sessions", self.sessions, 1, limits.MAX_SESSIONS, "sessions")
        _check("sessions_per_peer", self.sessions_per_peer, 1, limits.MAX_SESSIONS, "sessions")
        _check(
            "tokens_per_peer_per_hour",
            self.tokens_per_peer_per_hour,
            LEAST_TOKENS_PER_HOUR,
            MOST_TOKENS_PER_HOUR,
            "tokens",
        )

    @property
    def watches(self) -> bool:
        """Whether there is anything to look at now and then to know if the host may serve."""
        return self.hours is not None or self.pause_on_battery or self.busy_above is not None


def _check(term: str, value: float | None, least: float, most: float, unit: str) -> None:
    if value is None or (math.isfinite(value) and least <= value <= most):
        return
    raise TermOutOfBounds(
        term,
        f"{term} cannot be {value:g}",
        f"give from {least:g} to {most:g} {unit}".rstrip() + ", or leave it out",
    )
