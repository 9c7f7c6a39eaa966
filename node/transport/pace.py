"""What a link needs of whoever limits the bytes of this process: a gate for each direction, which all links share.

A link asks before each batch, says what it took, and is called when its turn has come. Where nothing is limited it
does not ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Gate(Protocol):
    """One direction."""

    @property
    def limited(self) -> bool:
        """Whether there is anything to ask."""
        ...

    @property
    def quantum_bytes(self) -> int:
        """The most that one turn moves."""
        ...

    @property
    def window_bytes(self) -> int:
        """What may be under way on one link: more would only wait in front of what is urgent."""
        ...

    def may(self, turn: Callable[[], None], *, urgent: bool) -> bool:
        """Whether one batch may pass now; if not, `turn` is called once when it may, and asks again.

        Args:
            turn: names who asks: the same callable waits once at most.
            urgent: goes before whatever is not.
        """
        ...

    def spend(self, nbytes: int) -> None:
        """So many bytes have passed."""
        ...

    def leave(self, turn: Callable[[], None]) -> None:
        """`turn` does not wait any more."""
        ...


class Pace(Protocol):
    """Both directions of all links."""

    @property
    def upload(self) -> Gate:
        """For what leaves."""
        ...

    @property
    def download(self) -> Gate:
        """For what arrives."""
        ...
