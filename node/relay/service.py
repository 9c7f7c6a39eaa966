"""Being a relay: `wire.relay` on this machine's links. Opt-in; without one, requests are refused in a word."""

from __future__ import annotations

import asyncio
import time
from typing import Final, cast

from crypto.identity import Identity
from node.errors import NodeError
from node.relay.line import Line
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.relay import (
    RelayAccept,
    RelayClose,
    RelayConnect,
    RelayCredit,
    RelayData,
    RelayNo,
    RelayReserve,
)
from wire.relay import Relay, Sent, Terms

_TICK_S: Final = 0.5


class RelayService:
    """Carries links for others. Give it every message of every link; it says which were its own."""

    def __init__(self, identity: Identity, terms: Terms | None) -> None:
        """`terms` of None: this peer carries nothing."""
        self._relay = Relay(identity, terms) if terms is not None else None

    @property
    def circuits(self) -> int:
        """Links carried now."""
        return 0 if self._relay is None else self._relay.circuits

    @property
    def carried_bytes(self) -> int:
        """All that was handed on."""
        return 0 if self._relay is None else self._relay.carried_bytes

    def is_busy(self, line: Line) -> bool:
        """Whether a link is needed for what is carried."""
        return self._relay is not None and self._relay.is_busy(line)

    def on_message(self, line: Line, message: Message) -> bool:
        """Take a message that is for the relay; return whether it was."""
        match message:
            case RelayReserve() | RelayConnect():
                if self._relay is None or line.via is not None:
                    self._send([(line, _refusal(message))])
                    return True
            case RelayAccept() | RelayData() | RelayCredit() | RelayClose():
                if self._relay is None or not self._relay.knows(line, message.circuit):
                    return False
            case _:
                return False
        now, clock = time.monotonic(), time.time()
        self._send(self._relay.receive(line, line.peer_id, message, now=now, clock=clock))
        return True

    def on_closed(self, line: Line) -> None:
        """A link is over."""
        if self._relay is not None:
            self._send(self._relay.gone(line))

    async def run(self) -> None:
        """End what has lapsed, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            if self._relay is not None:
                self._send(self._relay.on_time(time.monotonic()))

    def _send(self, sent: list[Sent]) -> None:
        for end, message in sent:
            try:
                cast(Line, end).send(message)
            except NodeError:
                # Its link is over; the pool says so, and what it carried ends then.
                continue


def _refusal(message: RelayReserve | RelayConnect) -> RelayNo | RelayClose:
    detail = "this peer carries no links"
    if isinstance(message, RelayReserve):
        return RelayNo(code=Code.NO_RELAY, detail=detail)
    return RelayClose(circuit=message.circuit, code=Code.NO_RELAY, detail=detail)
