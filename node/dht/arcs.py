"""Which parts of a ring of 64-bit positions have been seen. A key's records stand in one (`specs/dht.md` §Pages)."""

from __future__ import annotations

from typing import Final

ROUND: Final = 1 << 64


class Arcs:
    """A set of arcs of the ring."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []
        """Ascending, apart from each other, `[start, end)` within the ring."""

    def copy(self) -> Arcs:
        """The same arcs, apart from these."""
        other = Arcs()
        other._spans = list(self._spans)
        return other

    def cover(self, start: int, end: int | None) -> None:
        """Add the arc from `start` up to `end`; the whole ring when there is no end."""
        if end is None:
            self._spans = [(0, ROUND)]
        elif start < end:
            self._add(start, end)
        else:
            # Past the last position the ring goes on at the first.
            self._add(start, ROUND)
            if end:
                self._add(0, end)

    def largest_gap(self) -> tuple[int, int] | None:
        """Start and length of the widest part that was not seen; none when all was."""
        if not self._spans:
            return 0, ROUND
        gaps = []
        for at, (_, end) in enumerate(self._spans):
            following = self._spans[at + 1][0] if at + 1 < len(self._spans) else self._spans[0][0] + ROUND
            if following > end:
                gaps.append((following - end, end % ROUND))
        if not gaps:
            return None
        length, start = max(gaps)
        return start, length

    def _add(self, start: int, end: int) -> None:
        kept = []
        for one in self._spans:
            if one[1] < start or one[0] > end:
                kept.append(one)
            else:
                start, end = min(start, one[0]), max(end, one[1])
        self._spans = sorted([*kept, (start, end)])
