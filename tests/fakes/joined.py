"""Two connections joined in memory, on a clock that only moves when told to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from crypto.identity import Identity, PeerId
from wire import codec
from wire.connection import Connection, ConnectionConfig
from wire.connection_table import State
from wire.events import Closed, ConnectionEvent, MessageReceived
from wire.frames import message_head
from wire.messages.base import Message
from wire.messages.forward import Forward, Phase
from wire.messages.session import Close
from wire.tensors import DType
from wire.types import SessionId

SESSION = SessionId(b"s" * 16)
OTHER_SESSION = SessionId(b"o" * 16)
E = TypeVar("E", bound=ConnectionEvent)
SPEAKERS = ("initiator", "responder")
"""Names for parametrised tests; see `Joined.ends`."""
MIB = 1024 * 1024


def config(
    *,
    initiator: bool,
    network: str = "test",
    expected_peer: PeerId | None = None,
    identity_seed: bytes | None = None,
    static_seed: bytes | None = None,
    agent: str = "",
    features: tuple[int, ...] = (),
) -> ConnectionConfig:
    """A side's configuration, with seeds that depend only on its role."""
    role = b"i" if initiator else b"r"
    return ConnectionConfig(
        initiator=initiator,
        identity=Identity.from_seed(identity_seed or role * 32),
        network=network,
        static_seed=static_seed or role * 31 + b"s",
        ephemeral_seed=role * 31 + b"e",
        expected_peer=expected_peer,
        agent=agent or f"agent-{role.decode()}",
        features=features,
    )


def small(number: int = 0, session: SessionId = SESSION) -> Message:
    """A message of about 150 bytes that can be told from others by its step."""
    return step(64, number=number, session=session)


def step(body_bytes: int, *, number: int = 0, session: SessionId = SESSION) -> Forward:
    """A step whose body has a recognisable pattern."""
    return Forward(
        session=session,
        epoch=0,
        step=number,
        position=number,
        phase=Phase.DECODE,
        sample=True,
        count=1,
        dtype=DType.BFLOAT16,
        shape=(1, 1, body_bytes // 2),
        trace=(),
        body=memoryview((bytes(range(256)) * (body_bytes // 256 + 1))[:body_bytes]),
    )


def bodyless(session: SessionId = SESSION) -> Message:
    """A message without a body."""
    return Close(session=session)


def steps(events: Iterable[ConnectionEvent]) -> list[int]:
    """The steps of the messages received, in order."""
    return [
        event.message.step
        for event in events
        if isinstance(event, MessageReceived) and isinstance(event.message, Forward)
    ]


def only(events: Iterable[ConnectionEvent], kind: type[E]) -> E:
    """The one event of a kind."""
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, found
    return found[0]


class Joined:
    """An initiator and a responder with nothing between them but lists of bytes."""

    def __init__(
        self, initiator: ConnectionConfig | None = None, responder: ConnectionConfig | None = None
    ) -> None:
        self.now = 1000.0
        self.initiator = Connection(initiator or config(initiator=True), now=self.now)
        self.responder = Connection(responder or config(initiator=False), now=self.now)
        self.sides = (self.initiator, self.responder)
        self.seen: dict[Connection, list[ConnectionEvent]] = {side: [] for side in self.sides}
        self.cut: dict[Connection, bool] = dict.fromkeys(self.sides, False)
        """What a side sends is lost while this is set."""

    @classmethod
    def established(cls) -> Joined:
        """A pair that has shaken hands, with those events taken."""
        pair = cls()
        pair.exchange()
        assert all(side.state is State.ESTABLISHED for side in pair.sides)
        for side in pair.sides:
            pair.take(side)
        return pair

    def ends(self, speaker: str) -> tuple[Connection, Connection]:
        """The speaking side and the listening side, by the name of the speaker."""
        here = self.initiator if speaker == SPEAKERS[0] else self.responder
        return here, self.other(here)

    def other(self, side: Connection) -> Connection:
        """The side at the other end."""
        return self.responder if side is self.initiator else self.initiator

    def move(self, side: Connection, limit: int | None = None) -> int:
        """Carry what one side has to send now; return how many bytes it was."""
        moved = 0
        for buffer in side.data_to_send(limit, now=self.now):
            moved += len(buffer)
            if not self.cut[side]:
                self.other(side).receive_data(buffer, now=self.now)
        for one in self.sides:
            self.seen[one] += one.events()
        return moved

    def exchange(self) -> None:
        """Carry bytes both ways until both sides are quiet."""
        while sum(self.move(side) for side in self.sides):
            pass

    def take(self, side: Connection) -> list[ConnectionEvent]:
        """A side's events since they were last taken."""
        self.seen[side] += side.events()
        events, self.seen[side] = self.seen[side], []
        return events

    def say(self, side: Connection, *messages: Message) -> list[ConnectionEvent]:
        """Send messages from one side; return what the other side reports."""
        for message in messages:
            side.send(message, now=self.now)
        self.exchange()
        return self.take(self.other(side))

    def wait(self, seconds: float, *, moving: bool = True) -> None:
        """Let time pass, waking each side when it asked to be woken."""
        end = self.now + seconds
        for moment in self._moments(end):
            self.now = moment
            for side in self.sides:
                side.on_time(now=self.now)
            if moving:
                self.exchange()
        self.now = end

    def _moments(self, end: float) -> Iterator[float]:
        while True:
            due = min((at for side in self.sides if (at := side.next_timeout()) is not None), default=end)
            if due >= end:
                return
            # A timer that stands still would make the sides spin.
            yield max(due, self.now + 1e-3)


def closed(events: Iterable[ConnectionEvent]) -> Closed:
    """The one `Closed` event."""
    return only(events, Closed)


def slip(side: Connection, message: Message) -> None:
    """Make a side send what it never would by itself."""
    header, body = codec.encode(message)
    side._outbox.put(message_head(header, len(body)), body)


def slip_raw(side: Connection, header: bytes, body: bytes = b"") -> None:
    """Make a side send a header that is no message of this protocol."""
    side._outbox.put(message_head(header, len(body)), body)
