"""What an owner's terms can have wrong with them, told to the owner.

NodeError
└── MannersError
    ├── HoursUnreadable   the hours of the day are not written as hours
    └── TermOutOfBounds   a limit that cannot be kept; `term` says which
"""

from __future__ import annotations

from node.errors import NodeError


class MannersError(NodeError):
    """What the owner asked for cannot be kept."""


class HoursUnreadable(MannersError):
    """The hours of the day cannot be understood."""


class TermOutOfBounds(MannersError):
    """A limit is not one that can be kept."""

    def __init__(self, term: str, cause: str, next_step: str) -> None:
        super().__init__(cause, next_step)
        self.term = term
