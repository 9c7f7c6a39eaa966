"""What a running host says of itself, asked once for all checks, and how its control socket answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

from node.control.arguments import NoArguments
from node.control.client import connected
from node.control.commands import METRICS, STATUS
from node.control.errors import ControlError, NoHostRuns, Refused
from node.control.results import DaemonState, SliceState, Status
from node.control_text import count_of
from node.doctor.finding import Finding, ok, problem, warning

_ANSWER_S: Final = 5.0
_SLOW_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The answer of a host, or why there is none."""

    status: Status | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: ControlError | None = None
    """None when no host runs, too."""
    seconds: float = 0.0
    """How long `status` took, from connecting on."""


class Host:
    """The host behind a control socket."""

    def __init__(self, socket: Path | None = None) -> None:
        """Ask nothing yet. The socket is in this user's runtime folder when None."""
        self._socket = socket
        self._heard: Heard | None = None

    async def heard(self) -> Heard:
        """Ask the host; the first time only."""
        if self._heard is None:
            self._heard = await self._ask()
        return self._heard

    async def _ask(self) -> Heard:
        began = time.monotonic()
        try:
            async with connected(self._socket) as client:
                status = await client.call(STATUS, NoArguments(), timeout_s=_ANSWER_S)
                took = time.monotonic() - began
                try:
                    metrics = (await client.call(METRICS, NoArguments(), timeout_s=_ANSWER_S)).values
                except ControlError:
                    # An older host has none; what it says of itself is worth as much.
                    metrics = {}
        except NoHostRuns:
            return Heard()
        except ControlError as error:
            return Heard(error=error, seconds=time.monotonic() - began)
        return Heard(status=status, metrics=metrics, seconds=took)


async def look(host: Host) -> Finding:
    """Look whether a host runs, answers, and says that all is well."""
    heard = await host.heard()
    if heard.error is not None:
        newer = isinstance(heard.error, Refused)
        return (warning if newer else problem)(heard.error.cause, heard.error.next_step, running=True)
    status = heard.status
    if status is None:
        return ok("no host of this user runs", running=False)
    return _judged(status, heard.seconds)


def _judged(status: Status, seconds: float) -> Finding:
    facts = {
        "running": True,
        "pid": status.pid,
        "state": status.state.value,
        "version": status.version,
        "uptime_s": round(status.uptime_s, 1),
        "slices": len(status.slices),
        "sessions": status.sessions,
        "answered_s": round(seconds, 4),
    }
    failed = [one for one in status.slices if one.state is SliceState.FAILED]
    if failed:
        why = f" ({failed[0].detail})" if failed[0].detail else ""
        return problem(
            f"the host runs, but {failed[0].name} failed{why}",
            "mend the cause, then `lamella-node ctl undrain`, or `lamella-node ctl leave` to give it up",
            **facts,
        )
    ours = version("lamella")
    if status.version != ours:
        return warning(
            f"the host that runs is of version {status.version}, this program of {ours}",
            "restart the host, so that it runs what is installed",
            **facts,
        )
    if seconds > _SLOW_S:
        return warning(
            f"the host took {seconds:.1f} s to answer",
            "see what keeps the machine busy, or give the host fewer --threads",
            **facts,
        )
    why = f" ({status.why})" if status.why else ""
    told = {DaemonState.SERVING: "serves"}.get(status.state, f"is {status.state.value}")
    return ok(
        f"a host {told}{why}: {count_of(len(status.slices), 'slice')}, {count_of(status.sessions)}, answers in "
        f"{1e3 * seconds:.0f} ms",
        **facts,
    )
