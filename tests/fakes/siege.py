"""What the attacks on live hosts share: the besieged swarm, and well-formed messages to bend."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from chat.client import Client
from crypto.identity import Identity, PeerId
from node.transport.pool import LinkPool
from tests.end_to_end.conftest import Reference
from tests.fakes import asking
from tests.fakes.attacker import Attacker, framed
from tests.fakes.hosts import Host
from tests.fakes.observer import Observer
from wire.messages.forward import Forward, Phase
from wire.messages.hosting import Offer
from wire.messages.session import Delivery, Open, Truncate
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId, SessionId

HIDDEN = 64
LAYERS = LayerRange(1, 3)
MIDDLE, TAIL = "1:3", "3:5"
KV_MEMORY_BYTES = 20 << 20
ALLOWED_GROWTH_BYTES = 192 << 20
"""More than a send queue may hold, much less than any flood here would need unbounded."""


@dataclass
class Swarm:
    """The two hosts and the honest client that must not notice anything."""

    middle: Host
    tail: Host
    client: Client
    newcomer: Client
    observer: Observer
    model: Path
    reference: Reference
    expected: dict[tuple[int, ...], list[int]] = field(default_factory=dict)
    asked: int = 0

    async def assert_right(self) -> None:
        """The client's long-lived session goes on, and what it answers is what the whole model answers."""
        self.asked += 1
        await self._ask(self.client, (5, 6, 7, *range(self.asked % 3, 20)))

    async def assert_right_anew(self) -> None:
        """A client that opens its sessions now is answered rightly too."""
        await self._ask(self.newcomer, tuple(range(40, 60)))
        await self.newcomer.session.close()

    async def _ask(self, client: Client, ids: tuple[int, ...]) -> None:
        if ids not in self.expected:
            self.expected[ids] = self.reference(self.model, ids, 3)
        assert await asking.tokens(client.session, ids, 3) == self.expected[ids]

    async def offer(self, host: Host) -> Offer:
        """What a host says it serves now, asked by somebody who holds nothing there."""
        return await self.observer.offer(host)

    async def until(self, host: Host, condition: Callable[[Offer], bool]) -> None:
        """Wait until what a host says of itself is so."""
        await self.observer.until(host, condition)


def opening(peer: Attacker, model: ModelId, *, positions: int = 64) -> Open:
    return Open(
        session=SessionId(secrets.token_bytes(16)),
        model=model,
        layers=LAYERS,
        dtype=DType.FLOAT32,
        upstream=peer.peer_id,
        delivery=Delivery.HIDDEN,
        positions=positions,
    )


def passing_on(opened: Open, peer: PeerId, address: Address, session: SessionId | None = None) -> Open:
    return replace(
        opened,
        delivery=Delivery.NEXT,
        next_peer=peer,
        next_address=address,
        next_session=session or SessionId(b"n" * 16),
    )


def step(session: SessionId, *, count: int = 1, value: float = 0.5) -> Forward:
    return Forward(
        session=session,
        epoch=0,
        step=0,
        position=0,
        phase=Phase.PREFILL,
        sample=False,
        count=count,
        dtype=DType.FLOAT32,
        shape=(1, count, HIDDEN),
        trace=(),
        body=struct.pack("<f", value) * (count * HIDDEN),
    )


def cut(session: SessionId, *, epoch: int = 1, position: int = 0, next_step: int = 0) -> Truncate:
    return Truncate(session=session, epoch=epoch, position=position, next_step=next_step)


def sessions_of(swarm: Swarm) -> tuple[SessionId, ...]:
    """The honest client's session on each hop: 128 random bits that the attacker is given here."""
    chain = swarm.client.session._chain
    assert chain is not None
    return chain.sessions


def stranger_pool(network: str) -> LinkPool:
    return LinkPool(
        Identity.from_seed(secrets.token_bytes(32)),
        network,
        "a stranger",
        on_message=lambda link, message: None,
        on_closed=lambda link, code, detail: None,
    )


async def begin_handshake(peer: Attacker) -> None:
    """Send the first message; a host that has no room hangs up before it is read."""
    with contextlib.suppress(ConnectionError):
        await peer.send_bytes(framed(secrets.token_bytes(32)))


async def hung_up(peer: Attacker) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while await loop.sock_recv(peer.sock, 1 << 16):
            pass


class Forged:
    """An identity of which only the public half is known."""

    def __init__(self, peer: PeerId) -> None:
        other = Identity.from_seed(b"f" * 32)
        self.public_key = other.public_key[:-1] + bytes([other.public_key[-1] ^ 1])
        self.peer_id = peer
        self._other = other

    def sign(self, context: str, message: bytes) -> bytes:
        return self._other.sign(context, message)
