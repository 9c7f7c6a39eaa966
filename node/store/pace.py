"""What weights take of the bytes that this process may send and receive.

Links and datagrams share the same bytes, and what is urgent among them goes first; who sees to that comes in as an
argument. Here it is only said what is needed of it, and counted what passes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol, Self

_WHOLE_BYTES: Final = 1 << 30

Turn = Callable[[int], Awaitable[None]]
"""Waits until so many bytes may pass, and counts them."""


class Limit(Protocol):
    """One direction of all that this process sends and receives."""

    @property
    def rate_bytes_per_s(self) -> float | None:
        """How many bytes may pass in a second; None for all."""
        ...

    @property
    def quantum_bytes(self) -> int:
        """The most that should pass at once, so that what is urgent does not wait long."""
        ...

    @property
    def window_bytes(self) -> int:
        """What may be under way on one connection."""
        ...

    async def take(self, nbytes: int) -> None:
        """Wait until so many bytes may pass, in as many turns as they need, and count them."""
        ...

    def spend(self, nbytes: int) -> None:
        """Count bytes that have passed without asking."""
        ...


class Pace(Protocol):
    """Both directions."""

    @property
    def upload(self) -> Limit:
        """For what is sent."""
        ...

    @property
    def download(self) -> Limit:
        """For what is received."""
        ...


class Unlimited:
    """A `Limit` that is none."""

    rate_bytes_per_s = None
    quantum_bytes = window_bytes = _WHOLE_BYTES

    async def take(self, nbytes: int) -> None:
        """Nobody waits."""

    def spend(self, nbytes: int) -> None:
        """Nothing is counted."""


class AnyPace:
    """A `Pace` at which everything passes at once."""

    upload = download = Unlimited()


class Flow:
    """Weights that go one way, and the few words that go the other way for them."""

    def __init__(self, along: Limit, against: Limit) -> None:
        """`along` is for the weights, `against` for what is said about them."""
        self.along = along
        self._against = against
        self.nbytes = 0
        """All that has passed since the start, but for heads of requests and answers."""
        self.waiting = 0
        """How many wait for their turn."""

    @property
    def limited(self) -> bool:
        """Whether there is anything to wait for."""
        return self.along.rate_bytes_per_s is not None

    async def take(self, nbytes: int) -> None:
        """Wait until so many bytes may pass, and count them; see `Turn`."""
        self.waiting += 1
        try:
            await self.along.take(nbytes)
        finally:
            self.waiting -= 1
        self.nbytes += nbytes

    def heads(self, along: int, against: int) -> None:
        """Count bytes of either direction that are no weights and did not wait."""
        self.along.spend(along)
        self._against.spend(against)


@dataclass(frozen=True, slots=True)
class Intake:
    """Weights that are fetched."""

    hub: Flow
    peers: Flow

    @classmethod
    def at(cls, pace: Pace) -> Self:
        """What is fetched at this pace."""
        return cls(Flow(pace.download, pace.upload), Flow(pace.download, pace.upload))

    @property
    def limited(self) -> bool:
        """Whether there is anything to wait for."""
        return self.hub.limited

    @property
    def waiting(self) -> int:
        """How many answers lie here and may not be read on yet."""
        return self.hub.waiting + self.peers.waiting

    def of(self, *, is_peer: bool) -> Flow:
        """What comes from peers, or from the hub."""
        return self.peers if is_peer else self.hub
