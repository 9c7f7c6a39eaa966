"""The memory set aside for KV caches, handed out per session before anything is allocated. Pure."""

from __future__ import annotations

from collections.abc import Hashable

from node.slices.errors import OutOfMemoryBudget


class KVBudget:
    """Counts reservations against a total; the sum never passes it."""

    def __init__(self, total_bytes: int) -> None:
        if total_bytes < 0:
            raise ValueError(f"a budget of {total_bytes} bytes is negative")
        self._total = total_bytes
        self._held: dict[Hashable, int] = {}
        self._used = 0

    @property
    def total(self) -> int:
        """Bytes that may be reserved in all."""
        return self._total

    @property
    def used(self) -> int:
        """Bytes reserved now."""
        return self._used

    @property
    def free(self) -> int:
        """Bytes that can still be reserved."""
        return self._total - self._used

    def resize(self, total_bytes: int) -> None:
        """Have another total, of no less than is reserved now."""
        if total_bytes < self._used:
            raise ValueError(f"a budget of {total_bytes} bytes is less than the {self._used} reserved")
        self._total = total_bytes

    def reserve(self, key: Hashable, nbytes: int) -> None:
        """Reserve `nbytes` under `key`, in place of what it held before.

        Raises:
            OutOfMemoryBudget: they do not fit; what `key` held before is kept.
        """
        if nbytes < 0:
            raise ValueError(f"cannot reserve {nbytes} bytes")
        free = self.free + self._held.get(key, 0)
        if nbytes > free:
            raise OutOfMemoryBudget(nbytes, free)
        self._used = self._total - free + nbytes
        self._held[key] = nbytes

    def held(self, key: Hashable) -> int:
        """Bytes that `key` holds."""
        return self._held.get(key, 0)

    def release(self, key: Hashable) -> int:
        """Give back all that `key` holds; returns the bytes, 0 for a key that holds nothing."""
        nbytes = self._held.pop(key, 0)
        self._used -= nbytes
        return nbytes
