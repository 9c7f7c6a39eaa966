"""Chunks that nobody is reading, rarest first, as each source sees them.

How rare a chunk is counts sources that hold it now; equally rare ones keep the order they were given in, so that
neighbours in a file stay neighbours. A chunk is known by its number in that order. Each source has a heap of what it
holds; a number that is not pending any more stays in the heaps until it comes to the top.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence


class Pending:
    """Which chunks wait to be read, and who could deliver each."""

    def __init__(self, num_chunks: int, held: Sequence[Collection[int]]) -> None:
        """`held` are the numbers of each source's chunks. All chunks are pending."""
        self._num_chunks = num_chunks
        self._held = [set(one) for one in held]
        self._counts = [0] * num_chunks
        for numbers in self._held:
            for number in numbers:
                self._counts[number] += 1
        self._waiting = set(range(num_chunks))
        self._heaps: list[list[int]] = []
        self._rank()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, number: int) -> bool:
        return number in self._waiting

    def holds(self, source: int, number: int) -> bool:
        """Whether a source could deliver a chunk."""
        return number in self._held[source]

    def reachable(self, number: int) -> bool:
        """Whether any source could deliver a chunk."""
        return self._counts[number] > 0

    def first(self, source: int, most: int, besides: Collection[int]) -> list[int]:
        """The most wanted chunks that wait and that a source holds, without those in `besides`."""
        heap = self._heaps[source]
        taken: list[int] = []
        found: list[int] = []
        last = -1
        while heap and len(found) < most:
            key = heapq.heappop(heap)
            number = key % self._num_chunks
            # A chunk that went and came back may be in the heap twice, one after the other.
            if key == last or number not in self._waiting or number not in self._held[source]:
                continue
            last = key
            taken.append(key)
            if number not in besides:
                found.append(number)
        for key in taken:
            heapq.heappush(heap, key)
        return found

    def take(self, number: int) -> None:
        """A chunk does not wait any more."""
        self._waiting.discard(number)

    def give_back(self, number: int) -> None:
        """A chunk waits again."""
        if number in self._waiting:
            return
        self._waiting.add(number)
        for source, numbers in enumerate(self._held):
            if number in numbers:
                heapq.heappush(self._heaps[source], self._key(number))

    def lose(self, source: int, number: int) -> None:
        """A source does not hold a chunk after all. Those that hold it too see it where it was."""
        if number in self._held[source]:
            self._held[source].discard(number)
            self._counts[number] -= 1

    def drop(self, source: int) -> None:
        """A source is gone: what it held is rarer now. Takes time in proportion to what waits."""
        for number in self._held[source]:
            self._counts[number] -= 1
        self._held[source] = set()
        self._rank()

    def _key(self, number: int) -> int:
        return self._counts[number] * self._num_chunks + number

    def _rank(self) -> None:
        keys = sorted(self._key(number) for number in self._waiting)
        count = self._num_chunks
        # A sorted list is a heap.
        self._heaps = [[key for key in keys if key % count in numbers] for numbers in self._held]
