"""Opening links by way of relays, and accepting those that come by them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from crypto.errors import BadSignature
from crypto.identity import PeerId, peer_id_of
from node.errors import NodeError
from node.relay.errors import CircuitRefused, CircuitTimedOut, ReservationRefused
from node.relay.line import Line
from node.relay.stream import CircuitStream
from wire import limits
from wire.codes import Code, known
from wire.messages.base import Message
from wire.messages.relay import (
    RelayAccept,
    RelayClose,
    RelayConnect,
    RelayCredit,
    RelayData,
    RelayIncoming,
    RelayNo,
    RelayReserve,
    RelayReserved,
)
from wire.reservation import verify_reservation
from wire.types import Address, Relayed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A relay's promise to carry links to us."""

    where: Relayed
    """Where others reach us by it."""
    line: Line
    """The link it holds for."""
    terms: RelayReserved


class RelayClient:
    """One process's circuits. Give it every message of every link that the relay service does not take."""

    def __init__(
        self,
        me: PeerId,
        *,
        link_to: Callable[[PeerId, Address], Awaitable[Line]],
        accept: Callable[[PeerId, Address], asyncio.BufferedProtocol],
    ) -> None:
        """Say how to reach relays, and who takes what comes by them.

        Args:
            me: our peer id, which reservations are for.
            link_to: returns the direct link to a relay; raises `NodeError`.
            accept: returns a fresh protocol for an inbound link by a relay, given its id and address.
        """
        self._me = me
        self._link_to = link_to
        self._accept = accept
        self._streams: dict[tuple[Line, bytes], CircuitStream] = {}
        self._opening: dict[tuple[Line, bytes], asyncio.Future[None]] = {}
        self._reserving: dict[Line, asyncio.Future[RelayReserved]] = {}
        self._reserved: dict[Line, float] = {}
        """Until when, by the loop's clock, each relay carries links to us."""

    async def connect(self, protocol: asyncio.BufferedProtocol, peer_id: PeerId, where: Relayed) -> None:
        """Give `protocol` a transport that leads to a host behind a relay.

        Raises:
            NodeError: the relay cannot be reached.
            CircuitRefused: it, or the host, refuses.
            CircuitTimedOut: no answer in time.
        """
        line = await self._link_to(where.relay, where.address)
        key = line, secrets.token_bytes(limits.CIRCUIT_ID_BYTES)
        opened = self._opening[key] = asyncio.get_running_loop().create_future()
        is_open = False
        try:
            line.send(RelayConnect(circuit=key[1], host=peer_id))
            async with asyncio.timeout(limits.RELAY_OPEN_TIMEOUT_S):
                await opened
            is_open = True
        except TimeoutError as error:
            raise CircuitTimedOut(
                "neither relay nor host answered", "choose another relay or host"
            ) from error
        finally:
            del self._opening[key]
            if not is_open:
                _say(line, RelayClose(circuit=key[1], code=Code.CIRCUIT_CLOSED, detail="not wanted any more"))
        self._begin(key, protocol)

    async def reserve(self, relay: PeerId, address: Address) -> Reservation:
        """Ask a relay to carry links to us, or to go on with it.

        Raises:
            NodeError: it cannot be reached.
            ReservationRefused: it does not, or what it says is not signed by it.
            CircuitTimedOut: no answer in time.
        """
        line = await self._link_to(relay, address)
        if line.via is not None:
            raise ReservationRefused(Code.NO_RELAY, "a relay must be linked directly", "choose another relay")
        answer = self._reserving[line] = asyncio.get_running_loop().create_future()
        try:
            line.send(RelayReserve())
            async with asyncio.timeout(limits.RELAY_OPEN_TIMEOUT_S):
                reserved = await answer
        except TimeoutError as error:
            raise CircuitTimedOut("the relay did not answer", "choose another relay") from error
        finally:
            if self._reserving.get(line) is answer:
                del self._reserving[line]
        try:
            verify_reservation(reserved.key, self._me, reserved.expires, reserved.signature)
        except BadSignature as error:
            raise ReservationRefused(
                Code.BAD_MESSAGE, "the relay did not sign its promise", "choose another relay"
            ) from error
        if peer_id_of(reserved.key) != line.peer_id:
            raise ReservationRefused(
                Code.BAD_MESSAGE, "another peer signed the relay's promise", "choose another relay"
            )
        self._reserved[line] = asyncio.get_running_loop().time() + reserved.lifetime_s
        return Reservation(where=Relayed(relay, address), line=line, terms=reserved)

    def is_reserved(self, line: Line) -> bool:
        """Whether the reservation made over this link holds, as far as the relay has said."""
        until = self._reserved.get(line)
        return until is not None and asyncio.get_running_loop().time() < until

    def is_busy(self, line: Line) -> bool:
        """Whether a link is needed for a reservation or a circuit."""
        return self.is_reserved(line) or any(one is line for one, _ in self._streams)

    def on_message(self, line: Line, message: Message) -> None:
        """Take a message of a link; what is not about relays is not for this."""
        match message:
            case RelayReserved() | RelayNo():
                self._on_reservation(line, message)
            case RelayIncoming():
                self._on_incoming(line, message)
            case RelayAccept():
                opened = self._opening.get((line, message.circuit))
                if opened is not None and not opened.done():
                    opened.set_result(None)
            case RelayData(circuit=circuit, body=body):
                if (stream := self._streams.get((line, circuit))) is not None:
                    stream.on_data(body)
            case RelayCredit(circuit=circuit, taken=taken):
                if (stream := self._streams.get((line, circuit))) is not None:
                    stream.on_credit(taken)
            case RelayClose():
                self._on_close(line, message)

    def on_closed(self, line: Line) -> None:
        """A link is over, and with it its circuits and reservation."""
        self._reserved.pop(line, None)
        refusal = CircuitRefused(Code.CONNECTION_LOST, "the link to the relay ended", "choose another relay")
        waiting: list[asyncio.Future[None] | asyncio.Future[RelayReserved]] = [
            one for key, one in self._opening.items() if key[0] is line
        ]
        if line in self._reserving:
            waiting.append(self._reserving[line])
        for one in waiting:
            if not one.done():
                one.set_exception(refusal)
        for stream in [one for key, one in self._streams.items() if key[0] is line]:
            stream.on_close()

    def _on_reservation(self, line: Line, message: RelayReserved | RelayNo) -> None:
        answer = self._reserving.get(line)
        if isinstance(message, RelayNo):
            self._reserved.pop(line, None)
        if answer is None or answer.done():
            return
        if isinstance(message, RelayReserved):
            answer.set_result(message)
        else:
            answer.set_exception(
                ReservationRefused(
                    message.code, f"the relay refuses: {message.detail}", "choose another relay"
                )
            )

    def _on_incoming(self, line: Line, message: RelayIncoming) -> None:
        key = line, message.circuit
        ours = sum(one is line for one, _ in self._streams)
        if not self.is_reserved(line) or key in self._streams or ours >= limits.MAX_CIRCUITS:
            _say(line, RelayClose(circuit=message.circuit, code=Code.NO_RESERVATION, detail="not reserved"))
            return
        if _say(line, RelayAccept(circuit=message.circuit)):
            self._begin(key, self._accept(line.peer_id, line.remote))

    def _on_close(self, line: Line, message: RelayClose) -> None:
        opened = self._opening.get((line, message.circuit))
        if opened is not None and not opened.done():
            code = known(message.code)
            why = code.text if code is not None else f"code {message.code}"
            opened.set_exception(
                CircuitRefused(
                    message.code, f"the relay refuses ({why}: {message.detail})", "choose another way"
                )
            )
        stream = self._streams.get((line, message.circuit))
        if stream is not None:
            stream.on_close()

    def _begin(self, key: tuple[Line, bytes], protocol: asyncio.BufferedProtocol) -> None:
        stream = CircuitStream(*key, protocol, on_over=self._ended)
        self._streams[key] = stream
        stream.start()

    def _ended(self, stream: CircuitStream) -> None:
        self._streams.pop((stream.line, stream.circuit), None)


def _say(line: Line, message: Message) -> bool:
    try:
        line.send(message)
    except NodeError as error:
        log.debug("nobody is left to tell: %s", error)
        return False
    return True
