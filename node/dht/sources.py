"""How much each sender may send, whatever it is."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from node.dht.places import Scope, scope_of, source_of
from wire import limits


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class Sources:
    """A token bucket for each sender; what comes from this machine is not counted."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[bytes, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def allow(self, ip: str, now: float) -> bool:
        """Whether a datagram from `ip` is read; it is counted."""
        if scope_of(ip) is Scope.MACHINE:
            return True
        bucket = self._bucket(ip, now)
        gained = (now - bucket.filled_at) * limits.SOURCE_RATE_HZ
        bucket.tokens = min(limits.SOURCE_BURST, bucket.tokens + gained)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _bucket(self, ip: str, now: float) -> _Bucket:
        source = source_of(ip)
        bucket = self._buckets.get(source)
        if bucket is None:
            bucket = self._buckets[source] = _Bucket(limits.SOURCE_BURST, now)
            if len(self._buckets) > limits.MAX_SOURCES:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(source)
        return bucket
