"""Keeps floods out of the log: what one line of the program logs too often is counted instead, and summed up.

What a peer does may be logged; how often, a peer decides. So the line of code is what counts, not the words, of which
a peer could choose new ones each time. Pure: time is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

BURST: Final = 20
"""Security limit: records of one line of the program in one window."""
WINDOW_S: Final = 60.0
MAX_SITES: Final = 1024
"""Security limit: lines of the program that are told apart; this one has fewer that log."""

Site = tuple[str, int]
"""A file and a line of it."""


@dataclass(slots=True)
class _Window:
    ends_at: float
    admitted: int = 0
    held: int = 0
    kept: object = None


@dataclass(frozen=True, slots=True)
class Held:
    """What was not told of one line of the program."""

    count: int
    kept: object
    """What was kept of the last that was told."""


class Sparing:
    """Who may still log. Not for use from several threads at once."""

    def __init__(self, *, burst: int = BURST, window_s: float = WINDOW_S) -> None:
        self.window_s = window_s
        self._burst = burst
        self._windows: OrderedDict[Site, _Window] = OrderedDict()
        """By when they began, and so by when they end."""
        self.spared = 0
        """All that was ever held back."""

    def admits(self, site: Site, now: float) -> bool:
        """Whether a record is told. When not, it is counted."""
        window = self._windows.get(site)
        if window is None:
            window = self._windows[site] = _Window(now + self.window_s)
        if window.admitted < self._burst:
            window.admitted += 1
            return True
        window.held += 1
        self.spared += 1
        return False

    def keep(self, site: Site, kept: object) -> None:
        """Keep what was told, so that it can stand for those that are not."""
        if (window := self._windows.get(site)) is not None:
            window.kept = kept

    def due(self, now: float, *, everything: bool = False) -> list[Held]:
        """Close the windows that are over, or all of them; return what they held back."""
        found = []
        while self._windows:
            site, window = next(iter(self._windows.items()))
            if not (everything or window.ends_at <= now or len(self._windows) > MAX_SITES):
                break
            del self._windows[site]
            if window.held:
                found.append(Held(window.held, window.kept))
        return found
