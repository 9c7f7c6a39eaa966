"""What can go wrong with a local swarm; each message is the sentence the person reads.

SwarmError
├── AlreadyRunning   another swarm, or another command at work, is in the way
├── NotRunning       there is no swarm to ask
├── BadPlan          the hosts asked for cannot be
└── HostFailed       a host did not start, or ended (the end of its log)
"""

from __future__ import annotations


class SwarmError(Exception):
    """The swarm cannot do what was asked."""

    exit_code = 1


class AlreadyRunning(SwarmError):
    """Another swarm, or another command at work on it, is in the way."""


class NotRunning(SwarmError):
    """There is no swarm, or not that host of it."""


class BadPlan(SwarmError):
    """The hosts that were asked for cannot be."""

    exit_code = 2


class HostFailed(SwarmError):
    """A host did not start, or ended when it should not have."""

    def __init__(self, sentence: str, *, log: tuple[str, ...]) -> None:
        super().__init__(sentence)
        self.log = log
        """The last lines of what it wrote to standard error."""
