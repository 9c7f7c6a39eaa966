"""What a running host tells the systemd that started it: ready, what it does, that it lives (sd_notify(3)).

Each message is a datagram of `NAME=value` lines to the socket named by `NOTIFY_SOCKET`. Outside of systemd there is
none, and all of this does nothing. The variables are taken out of the environment, as sd_notify(3) advises, so that
programs which the host starts cannot speak for it.

The socket never blocks the event loop. What systemd's queue has no room for is sent with the next message, which
`keep_alive` makes certain of.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Final, NoReturn

_MAX_ADDRESS_BYTES: Final = 107
"""Of a Unix socket's address, `unix(7)`: 108, less the NUL."""
_MAX_STATUS_BYTES: Final = 512
"""Of a status text: it is one line of somebody's terminal."""
_MAX_WATCHDOG_USEC: Final = 24 * 3600 * 1_000_000
START_EXTENSION_S: Final = 60.0
"""How much longer a start may take after each sign of life: long enough for a machine that is busy or swaps."""
STOP_EXTENSION_S: Final = 15.0
"""Beyond the grace: to cut off answers, to close files and to free the memory."""
_START_PING_S: Final = 15.0
_IDLE_PING_S: Final = 30.0
"""When systemd does not watch, there is nothing to do but to send what had no room before."""
_RETRY_S: Final = 1.0


class Notifier:
    """The host's side of systemd's notification socket. Not for use from several threads."""

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        """Speak to `address`, a path or an abstract name after `@`; to nobody when it is None or neither."""
        self.watchdog_s = watchdog_s
        """Silence after which systemd kills this process; None when it does not watch."""
        self._unsent: dict[str, str] = {}
        self._status = ""
        self._ready = self._stopping = False
        self._socket: socket.socket | None = None
        target = _target(address)
        if target is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        self._target = target

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str] | None = None) -> Notifier:
        """Return the notifier for this process, and take what it needs out of the environment."""
        given = os.environ if environ is None else environ
        address = given.pop("NOTIFY_SOCKET", None)
        watchdog_s = _watchdog_s(given.pop("WATCHDOG_USEC", ""), given.pop("WATCHDOG_PID", ""))
        return cls(address, watchdog_s=watchdog_s)

    @property
    def active(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """Say that the host serves."""
        self._ready = True
        self._send({"READY": "1", **self._status_lines(status)})

    def status(self, text: str) -> None:
        """Say in one line what the host does; what was said already is not said again."""
        lines = self._status_lines(text)
        if lines:
            self._send(lines)

    def reloading(self) -> None:
        """Say that a reload has begun; `reloaded` ends it. Of a host that starts or stops nothing is said."""
        if not self._ready or self._stopping:
            return
        now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._unsent.pop("READY", None)
        self._send({"RELOADING": "1", "MONOTONIC_USEC": str(now_usec)})

    def reloaded(self, status: str = "") -> None:
        """Say that a reload has ended, which makes no host ready that was not."""
        if not self._ready or self._stopping:
            return
        # A reload that systemd has not heard of has nothing to end.
        self._unsent.pop("RELOADING", None)
        self._send({"READY": "1", **self._status_lines(status)})

    def stopping(self, status: str = "", *, within_s: float = 0.0) -> None:
        """Say that the host stops.

        Args:
            within_s: how long that may take. The time that the unit gives counts where it is longer; the grace may
                have been made longer since the unit was written.
        """
        self._stopping = True
        extended = (
            {"EXTEND_TIMEOUT_USEC": str(round((within_s + STOP_EXTENSION_S) * 1e6))} if within_s else {}
        )
        self._send({"STOPPING": "1", **extended, **self._status_lines(status)})

    def watchdog(self) -> None:
        """Say that the host lives; during the start this also gives it more time."""
        lines = {"WATCHDOG": "1"} if self.watchdog_s else {}
        if not self._ready and not self._stopping:
            lines["EXTEND_TIMEOUT_USEC"] = str(int(START_EXTENSION_S * 1e6))
        self._send(lines)

    async def keep_alive(self, healthy: Callable[[], bool] | None = None) -> NoReturn:
        """Give signs of life from the event loop until cancelled, at half of the time systemd waits for one.

        Args:
            healthy: asked each time; while it says no, no sign is given, and systemd will restart the host.
        """
        if not self.active:
            await asyncio.get_running_loop().create_future()
        while True:
            if healthy is None or healthy():
                self.watchdog()
            await asyncio.sleep(self._interval_s())

    def close(self) -> None:
        """Close the socket; nothing is said any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _interval_s(self) -> float:
        intervals = [_IDLE_PING_S if self._ready else _START_PING_S]
        if self.watchdog_s:
            intervals.append(self.watchdog_s / 2)
        if self._unsent:
            intervals.append(_RETRY_S)
        return min(intervals)

    def _status_lines(self, text: str) -> dict[str, str]:
        shown = "".join(one if one.isprintable() else " " for one in text)
        shown = shown.encode(errors="replace")[:_MAX_STATUS_BYTES].decode(errors="ignore").strip()
        if not shown or shown == self._status:
            return {}
        self._status = shown
        return {"STATUS": shown}

    def _send(self, lines: dict[str, str]) -> None:
        self._unsent |= lines
        if self._socket is None or not self._unsent:
            self._unsent.clear()
            return
        message = "\n".join(f"{name}={value}" for name, value in self._unsent.items())
        # No room, or nobody there for the moment (systemd being replaced by a newer one): it is said next time.
        with suppress(OSError):
            self._socket.sendto(message.encode(), self._target or "")
            self._unsent.clear()


def _target(address: str | None) -> str | None:
    """What to send to: a path, or an abstract name with its leading NUL. None for any other address."""
    if not address or address[0] not in "/@" or not 1 < len(os.fsencode(address)) <= _MAX_ADDRESS_BYTES:
        return None
    return "\0" + address[1:] if address[0] == "@" else address


def _watchdog_s(usec: str, pid: str) -> float | None:
    """The watchdog's time (sd_watchdog_enabled(3)): none when it is meant for another process, or no number."""
    if pid and pid != str(os.getpid()):
        return None
    if not (usec.isascii() and usec.isdigit() and len(usec) < 15 and 0 < int(usec) <= _MAX_WATCHDOG_USEC):
        return None
    return int(usec) / 1e6
