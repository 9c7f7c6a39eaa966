"""How the hosts of a local swarm are: what the system knows of each process, and what each host says itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from crypto.errors import CryptoError
from crypto.identity import PeerId
from node import keyfile
from node.errors import NodeError
from node.transport.link import Link
from node.transport.pool import LinkPool
from scripts.swarm_hosts.folder import Host
from scripts.swarm_hosts.plan import NETWORK
from wire.codes import Code
from wire.errors import WireError
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting
from wire.types import Address

_ANSWER_TIMEOUT_S: Final = 3.0
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """One host at one moment."""

    number: int
    pid: int | None
    """None when no process was ever recorded."""
    alive: bool
    address: str | None
    peer_id: str | None
    layers: str
    sessions: int | None
    """None when the host did not say."""
    resident_bytes: int
    state: str
    """`serving`, `draining`, `loading`, `silent` (it runs and does not answer) or `gone`."""

    def row(self) -> tuple[str, ...]:
        """The cells of a table for people."""
        return (
            f"host {self.number}",
            self.state,
            self.layers,
            self.address or "",
            str(self.pid or ""),
            "" if self.sessions is None else str(self.sessions),
            f"{self.resident_bytes / _MIB:.0f} MiB" if self.alive else "",
        )


ROW_HEAD: Final = ("", "state", "layers", "address", "pid", "sessions", "memory")


async def inquire(hosts: Sequence[Host], identity_file: Path) -> list[HostStatus]:
    """Ask every host that runs, all at once and for a few seconds at most."""
    waiting: dict[PeerId, asyncio.Future[Hosting]] = {}

    def on_message(link: Link, message: Message) -> None:
        future = waiting.get(link.peer_id)
        if isinstance(message, Hosting) and future is not None and not future.done():
            future.set_result(message)

    identity = keyfile.load_or_create(identity_file)
    pool = LinkPool(identity, NETWORK, "local-swarm", on_message=on_message, on_closed=lambda *_: None)

    async def ask(host: Host) -> Hosting | None:
        if host.process is None or host.address is None or host.peer_id is None:
            return None
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                peer, address = PeerId.parse(host.peer_id), Address.parse(host.address)
                future = waiting.setdefault(peer, asyncio.get_running_loop().create_future())
                (await pool.link_to(peer, address)).send(Describe())
                return await future
        except (NodeError, WireError, CryptoError, TimeoutError):
            return None

    try:
        answers = await asyncio.gather(*(ask(host) for host in hosts))
    finally:
        await pool.close(Code.SHUTTING_DOWN, "asked enough")
    return [_status(host, answer) for host, answer in zip(hosts, answers, strict=True)]


def _status(host: Host, answer: Hosting | None) -> HostStatus:
    recorded, process = host.recorded, host.process
    if process is None:
        state = "gone"
    elif host.address is None:
        state = "loading"
    elif answer is None:
        state = "silent"
    else:
        state = "draining" if answer.draining else "serving"
    return HostStatus(
        number=host.number,
        pid=recorded.pid if recorded is not None else None,
        alive=process is not None,
        address=host.address,
        peer_id=host.peer_id,
        layers=str(host.layers),
        sessions=None if answer is None else sum(offer.sessions for offer in answer.offers),
        resident_bytes=process.resident_bytes if process is not None else 0,
        state=state,
    )


def as_json(model: str, since: str, hosts: Sequence[HostStatus]) -> dict[str, Any]:
    """The whole swarm for scripts."""
    fields = HostStatus.__slots__
    return {
        "model": model,
        "since": since,
        "hosts": [{name: getattr(one, name) for name in fields} for one in hosts],
    }
