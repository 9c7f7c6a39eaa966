"""What a check found, what that means, and what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

DEFAULT_TIMEOUT_S: Final = 10.0
"""For what answers in milliseconds on a machine that is well."""


class Verdict(Enum):
    """What a finding means."""

    OK = "ok"
    WARNING = "warning"
    """It works, but not as well as it could, or not for long."""
    PROBLEM = "problem"
    """A host cannot work like this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer of one check."""

    verdict: Verdict
    found: str
    """What is so, in a sentence without its full stop."""
    fix: str | None = None
    """What to do, in a sentence without its full stop; None where nothing has to be done."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for a script, in types of JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to be looked at."""

    name: str
    look: Callable[[], Awaitable[Finding]]
    """Raises `NodeError` or `OSError` when it cannot be found out."""
    timeout_s: float = DEFAULT_TIMEOUT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A check that was made."""

    name: str
    finding: Finding
    seconds: float

    def facts(self) -> dict[str, Any]:
        """For a script, in types of JSON."""
        return {
            "check": self.name,
            "verdict": self.finding.verdict.value,
            "found": self.finding.found,
            "fix": self.finding.fix,
            "facts": dict(self.finding.facts),
            "seconds": round(self.seconds, 3),
        }

    def text(self) -> str:
        """For a person; the fix on a line of its own."""
        line = f"{self.finding.verdict.value:8} {self.name}: {self.finding.found}"
        return line if self.finding.fix is None else f"{line}\n         -> {self.finding.fix}"


def ok(found: str, **facts: Any) -> Finding:
    """Nothing is wrong."""
    return Finding(verdict=Verdict.OK, found=found, facts=facts)


def warning(found: str, fix: str, **facts: Any) -> Finding:
    """Something could be better."""
    return Finding(verdict=Verdict.WARNING, found=found, fix=fix, facts=facts)


def problem(found: str, fix: str, **facts: Any) -> Finding:
    """A host cannot work like this."""
    return Finding(verdict=Verdict.PROBLEM, found=found, fix=fix, facts=facts)
