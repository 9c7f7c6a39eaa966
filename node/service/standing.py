"""How the service stands: what `systemctl show` says of its unit, as a value, and in sentences.

A number that systemd does not have is `[not set]`, or all bits set in some versions; both are None here.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

PROPERTIES: Final = (
    "ActiveEnterTimestampMonotonic",
    "ActiveState",
    "DropInPaths",
    "ExecMainCode",
    "ExecMainStatus",
    "FragmentPath",
    "InvocationID",
    "LoadError",
    "LoadState",
    "MainPID",
    "MemoryCurrent",
    "NRestarts",
    "Result",
    "StateChangeTimestampMonotonic",
    "StatusText",
    "SubState",
    "TimeoutStopUSec",
    "UnitFileState",
)
_UNSET: Final = 1 << 62
_KILLED: Final = ("2", "3")
"""`CLD_KILLED` and `CLD_DUMPED`: the status is a signal's number (waitid(2))."""
_STATUSES: Final = {
    1: ("the host could not start or go on", "its last lines say why"),
    2: ("the words it was given are wrong", "`lamella-node --help` lists the options"),
    200: (
        "the folder it was installed from cannot be entered",
        "install it again from a folder that stays",
    ),
    203: ("its program is gone or cannot be run", "install Lamella again, then the service"),
    226: (
        "a folder it writes to is gone, or this machine no longer allows the sandbox",
        "install the service again, which makes the folders and tries the sandbox",
    ),
}
"""Exit statuses of the host, and those of systemd when it cannot start a program (systemd.exec(5))."""
_STATUSES_OF_SANDBOX: Final = (217, 218, 228)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The state of the service at one moment."""

    load_state: str
    load_error: str
    active_state: str
    sub_state: str
    unit_path: Path | None
    """The file that systemd has read; None when it knows of none."""
    drop_ins: tuple[str, ...]
    enabled: bool
    """Whether it starts by itself."""
    since: float | None
    """When this state began, in seconds since 1970."""
    pid: int | None
    memory_bytes: int | None
    restarts: int
    status_text: str
    """What the host last said of itself."""
    result: str
    """`success`, or why it ended, in systemd's words."""
    exit_status: int
    killed: bool
    """Whether `exit_status` is the number of the signal that ended it."""
    invocation: str
    stop_s: float | None
    """How long systemd lets a stop take; None without a bound."""

    @property
    def ready(self) -> bool:
        """Whether the host serves."""
        return self.active_state == "active"

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs, and nothing will by itself."""
        return self.active_state in {"inactive", "failed"}

    @property
    def ended_badly(self) -> bool:
        """Whether the last run ended otherwise than asked, be it that another is to follow."""
        return self.active_state == "failed" or (self.sub_state == "auto-restart" or self.restarts > 0)

    @property
    def text(self) -> str:
        """The state in one line."""
        said = f": {self.status_text}" if self.status_text else ""
        words = {"active": "runs", "activating": "starts", "deactivating": "stops", "reloading": "reloads"}
        if self.sub_state == "auto-restart":
            return f"waits to be started again; {self.why_it_ended[0]}{said}"
        if self.active_state == "failed":
            return f"failed; {self.why_it_ended[0]}{said}"
        # What a host that has stopped said last is no longer so.
        return words[self.active_state] + said if self.active_state in words else "does not run"

    @property
    def why_it_ended(self) -> tuple[str, str]:
        """The cause of the end, and the next step."""
        if self.result == "watchdog":
            return "the host gave no sign of life and was ended", "its last lines say where it hung"
        if self.result == "timeout":
            return "the host took too long and was ended", "its last lines say what it did"
        if self.result == "oom-kill":
            return (
                "the kernel ended the host for want of memory",
                "serve fewer layers, or give less --kv-memory",
            )
        if self.result == "protocol":
            return "the host ended without ever being ready", "its last lines say why"
        if self.killed:
            return f"signal {self.exit_status} ended the host", "its last lines say what it did"
        if self.exit_status in _STATUSES_OF_SANDBOX:
            return (
                f"this machine no longer allows what confines the service (status {self.exit_status})",
                "install the service again, which finds out what is allowed",
            )
        cause, step = _STATUSES.get(self.exit_status, ("the host ended", "its last lines say why"))
        return f"{cause} (status {self.exit_status})", step

    def facts(self) -> dict[str, Any]:
        """For a script: every field, in types of JSON."""
        facts = asdict(self)
        return facts | {"unit_path": str(self.unit_path) if self.unit_path else None, "ready": self.ready}


def read(shown: str) -> Standing:
    """Read what `systemctl show` printed: `Name=value` lines, in any order, of which some may be missing."""
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def get(name: str) -> str:
        return values.get(name, "")

    active = get("ActiveState") or "inactive"
    entered = "ActiveEnterTimestampMonotonic" if active == "active" else "StateChangeTimestampMonotonic"
    return Standing(
        load_state=get("LoadState") or "not-found",
        load_error=get("LoadError").strip(),
        active_state=active,
        sub_state=get("SubState"),
        unit_path=Path(get("FragmentPath")) if get("FragmentPath") else None,
        drop_ins=tuple(get("DropInPaths").split()),
        enabled=get("UnitFileState") in {"enabled", "enabled-runtime", "linked", "linked-runtime", "alias"},
        since=_moment(_number(get(entered))),
        pid=_number(get("MainPID")) or None,
        memory_bytes=_number(get("MemoryCurrent")),
        restarts=_number(get("NRestarts")) or 0,
        status_text=get("StatusText"),
        result=get("Result") or "success",
        exit_status=_number(get("ExecMainStatus")) or 0,
        killed=get("ExecMainCode") in _KILLED,
        invocation=get("InvocationID"),
        stop_s=_span(get("TimeoutStopUSec")),
    )


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        return None
    value = int(text)
    return value if value < _UNSET else None


def _moment(monotonic_usec: int | None) -> float | None:
    """The time of day of a moment on the monotonic clock."""
    if not monotonic_usec:
        return None
    ago_s = time.clock_gettime(time.CLOCK_MONOTONIC) - monotonic_usec / 1e6
    return time.time() - max(0.0, ago_s)


_SPANS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def _span(text: str) -> float | None:
    """Seconds of a time span as systemd prints it: `5min 15s`; None for `infinity` and what is none."""
    total = 0.0
    for part in text.split():
        unit = part.lstrip("0123456789.")
        amount = part[: len(part) - len(unit)]
        if unit not in _SPANS or not amount.replace(".", "", 1).isdigit():
            return None
        total += float(amount) * _SPANS[unit]
    return total if text else None
