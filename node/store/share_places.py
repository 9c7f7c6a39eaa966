"""How many connections and answers a chunk server has under way, in all and for each of those who ask.

Decides; opens and closes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class NoPlace(Exception):
    """All places are taken, or all that one may have."""


class Places:
    """So many places in all, and so many for each holder."""

    def __init__(self, most: int, most_each: int) -> None:
        self.most = most
        """In all; may change, and nobody loses a place by it."""
        self._most_each = most_each
        self._taken: Counter[Hashable] = Counter()
        self._total = 0

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._total

    def take(self, holder: Hashable) -> None:
        """Take a place. Raises `NoPlace`."""
        if self._total >= self.most or self._taken[holder] >= self._most_each:
            raise NoPlace
        self._taken[holder] += 1
        self._total += 1

    def leave(self, holder: Hashable) -> None:
        """Give a place back."""
        self._total -= 1
        self._taken[holder] -= 1
        if not self._taken[holder]:
            del self._taken[holder]

    @contextmanager
    def held(self, holder: Hashable) -> Iterator[None]:
        """Have a place for as long as the block runs. Raises `NoPlace`."""
        self.take(holder)
        try:
            yield
        finally:
            self.leave(holder)
