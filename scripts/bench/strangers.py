"""Peers that speak to a host by themselves: they open sessions by the dozen, or take no answer.

Each function is called in a process of its own, so that what a peer takes for itself is not measured as the host's.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from crypto.identity import Identity
from node.errors import NodeError
from node.transport.link import Link
from node.transport.pool import LinkPool
from scripts.bench.forked import Tell
from wire import limits
from wire.contacts import Contact
from wire.errors import IllegalState
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting, Offer
from wire.messages.session import Close, Delivery, Open, Ready, Refused
from wire.types import SessionId

_ANSWER_S: Final = 20.0
_FLOOD_S: Final = 4.0
"""Less than the six seconds after which the wedged peer itself would find its link dead."""
_FLOOD_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one `open`."""

    latency_ms: float
    code: int | None
    """None when the session was opened, or never answered."""
    retry_after_ms: int | None


@dataclass(slots=True)
class Stranger:
    """A peer with one link to a host."""

    identity: Identity
    pool: LinkPool
    answers: dict[SessionId, tuple[float, Message]] = field(default_factory=dict)
    """When each session was answered, and how."""
    offers: list[Offer] = field(default_factory=list)
    link: Link | None = None

    async def reach(self, contact: Contact) -> Link:
        """Link to the host, and learn what it serves."""
        self.link = await self.pool.link_to(contact.peer, contact.address)
        self.link.send(Describe())
        async with asyncio.timeout(_ANSWER_S):
            while not self.offers:
                await asyncio.sleep(0.01)
        return self.link

    def opening(self, positions: int = 16) -> Open:
        """A session that the host could hold, if it had room."""
        offer = self.offers[0]
        return Open(
            session=SessionId(secrets.token_bytes(limits.SESSION_ID_BYTES)),
            model=offer.model,
            layers=offer.layers,
            dtype=offer.dtype,
            weights=offer.weights,
            upstream=self.identity.peer_id,
            delivery=Delivery.HIDDEN,
            positions=positions,
        )

    def hear(self, message: Message) -> None:
        """Take one message of the host."""
        if isinstance(message, Hosting):
            self.offers = list(message.offers)
        elif isinstance(message, Ready | Refused):
            self.answers[message.session] = (time.perf_counter(), message)


def stranger() -> Stranger:
    """A peer that nobody knows."""
    known: list[Stranger] = []
    identity = Identity.from_seed(secrets.token_bytes(32))
    pool = LinkPool(
        identity,
        "main",
        "a stranger",
        on_message=lambda link, message: known[0].hear(message),
        on_closed=lambda link, code, detail: None,
    )
    known.append(Stranger(identity, pool))
    return known[0]


def storm(tell: Tell, contact: Contact, opens: int, peers: int, moments: Sequence[float]) -> None:
    """Open sessions from several peers, all `opens` at once, at each of these moments of the system's clock.

    Tells `linked`, then `burst` with the answers of each, then `over`.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_storm(tell, contact, opens, peers, moments))
    tell("over", None)


async def _storm(tell: Tell, contact: Contact, opens: int, peers: int, moments: Sequence[float]) -> None:
    crowd = [stranger() for _ in range(peers)]
    try:
        for one in crowd:
            await one.reach(contact)
        tell("linked", None)
        for moment in moments:
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            tell("burst", await _burst(crowd, opens))
    finally:
        for one in crowd:
            await one.pool.close()


async def _burst(crowd: Sequence[Stranger], opens: int) -> list[Answer]:
    sent: list[tuple[Stranger, SessionId, float]] = []
    for number in range(opens):
        one = crowd[number % len(crowd)]
        opened = one.opening()
        sent.append((one, opened.session, time.perf_counter()))
        if one.link is not None:
            one.link.send(opened)
    deadline = time.monotonic() + _ANSWER_S
    while any(session not in one.answers for one, session, _ in sent) and time.monotonic() < deadline:
        await asyncio.sleep(0.005)
    return [_answer(one, session, began) for one, session, began in sent]


def _answer(one: Stranger, session: SessionId, began: float) -> Answer:
    if session not in one.answers:
        return Answer(_ANSWER_S * 1e3, None, None)
    at, said = one.answers.pop(session)
    if isinstance(said, Refused):
        return Answer((at - began) * 1e3, said.code, said.retry_after_ms)
    if one.link is not None:
        one.link.send(Close(session=session))
    return Answer((at - began) * 1e3, None, None)


def wedge(tell: Tell, contact: Contact) -> None:
    """Open a session, then ask a host to describe itself as often as it lets us, read no answer, and fall silent.

    Tells `wedged` with how often it asked, and is then to be killed.
    """
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        tell("wedged", runner.run(_wedge(contact)))
        # Nothing of this process runs any more, as in one that hangs; its socket stays open.
        time.sleep(3600)


async def _wedge(contact: Contact) -> int:
    one = stranger()
    link = await one.reach(contact)
    opened = one.opening()
    link.send(opened)
    async with asyncio.timeout(_ANSWER_S):
        while opened.session not in one.answers:
            await asyncio.sleep(0.01)
    # A link has no way to stop reading, since no honest peer wants to.
    cast(asyncio.Transport, link._transport).pause_reading()
    asked, began = 0, time.monotonic()
    try:
        while time.monotonic() - began < _FLOOD_S:
            # Many to a record: so the host has as much to do for each as possible, and we as little.
            for _ in range(_FLOOD_AT_ONCE):
                link._connection.send(Describe(), now=time.monotonic())
            link.send(Describe())
            asked += _FLOOD_AT_ONCE + 1
            await asyncio.wait_for(link.drain(), _FLOOD_S)
            await asyncio.sleep(0)
    except (NodeError, IllegalState, TimeoutError):
        pass  # the host has had enough, or reads no more
    return asked
