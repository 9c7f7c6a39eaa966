"""Whether a host could listen where it is to, for links (TCP) and datagrams (UDP); or whether it is our host that does.

A port is tried by binding it for a moment. Nothing is listened to, and nothing is sent.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from node.config import USUAL_LISTEN
from node.doctor import holders
from node.doctor.examining import aside
from node.doctor.finding import Finding, ok, problem, warning
from node.doctor.host import Host
from wire.errors import InvalidValue
from wire.types import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An address that cannot be had."""

    address: Address
    udp: bool
    code: int
    """An `errno`."""
    holder: str | None
    """Who has it, if that is known."""

    @property
    def text(self) -> str:
        """What is so, in a few words."""
        kind = "UDP" if self.udp else "TCP"
        by = f", held by {self.holder}" if self.holder else ""
        return f"{kind} port {self.address} cannot be had ({os.strerror(self.code)}{by})"


Try = Callable[[Address], list[Taken]]
"""Finds out what of an address cannot be had."""


async def look(listen: Sequence[Address], host: Host, attempt: Try | None = None) -> Finding:
    """Look at the addresses that a host is to listen at; at `USUAL_LISTEN` when empty."""
    attempt = attempt if attempt is not None else tried
    wanted = list(listen) or [USUAL_LISTEN]
    status = (await host.heard()).status
    ours = set() if status is None else {port for one in status.addresses if (port := _port(one))}
    taken: list[Taken] = []
    for address in wanted:
        if address.port not in ours:
            taken += await aside(partial(attempt, address))
    shown = ", ".join(str(one) if one.port else f"any port of {one.ip}" for one in wanted)
    facts = {
        "addresses": [str(one) for one in wanted],
        "ours": sorted(ours),
        "taken": [one.text for one in taken],
    }
    if not taken:
        held = [one for one in wanted if one.port in ours]
        return ok(f"the running host listens at {shown}" if held else f"{shown} is free", **facts)
    worst = taken[0]
    fix = _fix(worst)
    if not listen and worst.code == errno.EADDRINUSE:
        return warning(f"{worst.text}; a host would take another port", fix, **facts)
    return problem(worst.text, fix, **facts)


def tried(address: Address) -> list[Taken]:
    """Bind an address for a moment, both ways. Blocks for a moment."""
    family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
    found = []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        udp = kind == socket.SOCK_DGRAM
        try:
            with socket.socket(family, kind) as probe:
                if not udp:
                    # As a host binds it: what is left of closed connections is not in the way.
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address.ip, address.port))
                if not udp:
                    probe.listen(1)
        except OSError as error:
            who = holders.holder(address.port, udp=udp) if error.errno == errno.EADDRINUSE else None
            found.append(Taken(address=address, udp=udp, code=error.errno or 0, holder=who))
    return found


def _fix(taken: Taken) -> str:
    if taken.code == errno.EADDRINUSE:
        return "stop what holds it, or choose another port with --listen IP:PORT"
    if taken.code in {errno.EACCES, errno.EPERM}:
        return "choose a port from 1024 on with --listen IP:PORT; smaller ones are the system's"
    if taken.code == errno.EADDRNOTAVAIL:
        return "this machine does not have that address: choose one of `ip address` with --listen IP:PORT"
    return "choose another address with --listen IP:PORT"


def _port(text: str) -> int | None:
    """The port of an address that a host tells; None of one that is no plain address."""
    try:
        return Address.parse(text).port
    except InvalidValue:
        return None
