"""The relay between two ends that cannot dial each other: who may use it, and what passes. No socket, no clock.

`receive`, `gone` and `on_time` return messages and whom to send them to. The relay reads names, counts and credits;
what is in `relay_data` it hands on as it came. What it holds of a circuit is at most two windows, whoever misbehaves:
data beyond the credit the other end gave closes the circuit. Spec: `specs/reachability.md` §Relays.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from crypto.identity import Identity, PeerId
from wire import limits
from wire.codes import Code
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
from wire.reservation import sign_reservation

End = Hashable
"""A link, as the caller names it."""
Sent = tuple[End, Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the owner of a relay gives."""

    reservations: int = limits.MAX_RESERVATIONS
    circuits: int = limits.MAX_CIRCUITS
    circuits_per_peer: int = limits.MAX_CIRCUITS_PER_PEER
    circuit_bytes: int = limits.CIRCUIT_BYTES
    circuit_s: int = limits.CIRCUIT_SECONDS
    reservation_s: int = limits.RESERVATION_SECONDS


@dataclass(slots=True)
class _Reservation:
    end: End
    expires_at: float


@dataclass(slots=True)
class _Circuit:
    name: bytes
    client: End
    client_peer: PeerId
    host: End
    host_peer: PeerId
    deadline: float
    """When it must be open; once it is, when it is over."""
    is_open: bool = False
    used_bytes: int = 0
    credit: dict[End, int] = field(default_factory=dict)
    """Bytes each end may still send."""

    def other(self, end: End) -> End:
        return self.host if end == self.client else self.client


class Relay:
    """All that one relay has promised and carries."""

    def __init__(self, identity: Identity, terms: Terms) -> None:
        self._identity = identity
        self._terms = terms
        self._reservations: dict[PeerId, _Reservation] = {}
        self._circuits: dict[bytes, _Circuit] = {}
        self._requests: dict[End, tuple[float, float]] = {}
        self.carried_bytes = 0
        """All that was handed on, for the owner to see."""

    @property
    def circuits(self) -> int:
        """How many are open or opening."""
        return len(self._circuits)

    def knows(self, end: End, circuit: bytes) -> bool:
        """Whether this is an end of a circuit carried here."""
        found = self._circuits.get(circuit)
        return found is not None and end in (found.client, found.host)

    def is_busy(self, end: End) -> bool:
        """Whether a link is needed: it has a reservation or a circuit."""
        return any(one.end == end for one in self._reservations.values()) or any(
            end in (one.client, one.host) for one in self._circuits.values()
        )

    def receive(self, end: End, peer: PeerId, message: Message, *, now: float, clock: float) -> list[Sent]:
        """Take a message of a link.

        Args:
            end: the link.
            peer: who has proved to be at its other end.
            message: what came.
            now: a time that only moves forward.
            clock: Unix time, for the reservation.
        """
        match message:
            case RelayReserve():
                return self._reserve(end, peer, now, clock)
            case RelayConnect():
                return self._connect(end, peer, message, now)
            case RelayAccept() | RelayData() | RelayCredit() | RelayClose():
                circuit = self._circuits.get(message.circuit)
                if circuit is not None and end in (circuit.client, circuit.host):
                    return self._pass_on(circuit, end, message, now)
        return []

    def gone(self, end: End) -> list[Sent]:
        """A link is over, and with it what it reserved and its circuits."""
        self._requests.pop(end, None)
        for peer in [peer for peer, one in self._reservations.items() if one.end == end]:
            del self._reservations[peer]
        sent: list[Sent] = []
        for circuit in [one for one in self._circuits.values() if end in (one.client, one.host)]:
            del self._circuits[circuit.name]
            sent.append((circuit.other(end), _close(circuit, Code.CIRCUIT_CLOSED, "the other end is gone")))
        return sent

    def on_time(self, now: float) -> list[Sent]:
        """End what has lapsed; a circuit outlives its reservation."""
        for peer in [peer for peer, one in self._reservations.items() if now >= one.expires_at]:
            del self._reservations[peer]
        sent: list[Sent] = []
        for circuit in [one for one in self._circuits.values() if now >= one.deadline]:
            if circuit.is_open:
                sent += self._end(circuit, Code.CIRCUIT_SPENT, "its time is over")
            else:
                sent += self._end(circuit, Code.TIMEOUT, "the host did not answer")
        return sent

    def _reserve(self, end: End, peer: PeerId, now: float, clock: float) -> list[Sent]:
        terms = self._terms
        if not self._may_ask(end, now):
            return [(end, RelayNo(code=Code.RELAY_FULL, detail="too many requests"))]
        if peer not in self._reservations and len(self._reservations) >= terms.reservations:
            return [
                (end, RelayNo(code=Code.RELAY_FULL, detail=f"{terms.reservations} hosts are carried already"))
            ]
        self._reservations[peer] = _Reservation(end, now + terms.reservation_s)
        expires = int(clock) + terms.reservation_s
        reserved = RelayReserved(
            expires=expires,
            lifetime_s=terms.reservation_s,
            circuits=terms.circuits_per_peer,
            circuit_bytes=terms.circuit_bytes,
            circuit_s=terms.circuit_s,
            key=self._identity.public_key,
            signature=sign_reservation(self._identity, peer, expires),
        )
        return [(end, reserved)]

    def _connect(self, end: End, peer: PeerId, message: RelayConnect, now: float) -> list[Sent]:
        reservation = self._reservations.get(message.host)
        refusal = None
        if message.circuit in self._circuits:
            # Not even an answer: it would close the circuit of that name.
            return []
        if not self._may_ask(end, now):
            refusal = Code.RELAY_FULL, "too many requests"
        elif reservation is None or now >= reservation.expires_at or reservation.end == end:
            refusal = Code.NO_RESERVATION, "that host is not carried here"
        elif (
            len(self._circuits) >= self._terms.circuits
            or max(
                sum(one.client_peer == peer for one in self._circuits.values()),
                sum(one.host_peer == message.host for one in self._circuits.values()),
            )
            >= self._terms.circuits_per_peer
        ):
            refusal = Code.RELAY_FULL, "it carries all the links it may"
        if reservation is None or refusal is not None:
            code, detail = refusal or (Code.NO_RESERVATION, "")
            return [(end, RelayClose(circuit=message.circuit, code=code, detail=detail))]
        self._circuits[message.circuit] = _Circuit(
            name=message.circuit,
            client=end,
            client_peer=peer,
            host=reservation.end,
            host_peer=message.host,
            deadline=now + limits.RELAY_OPEN_TIMEOUT_S,
        )
        return [(reservation.end, RelayIncoming(circuit=message.circuit, client=peer))]

    def _pass_on(self, circuit: _Circuit, end: End, message: Message, now: float) -> list[Sent]:
        match message:
            case RelayClose():
                del self._circuits[circuit.name]
                return [(circuit.other(end), message)]
            case RelayAccept() if not circuit.is_open and end == circuit.host:
                circuit.is_open = True
                circuit.deadline = now + self._terms.circuit_s
                circuit.credit = dict.fromkeys((circuit.client, circuit.host), limits.RELAY_WINDOW_BYTES)
                return [(circuit.client, message)]
            case RelayData(body=body) if circuit.is_open and 0 < len(body) <= limits.RELAY_DATA_BYTES:
                circuit.credit[end] -= len(body)
                circuit.used_bytes += len(body)
                if circuit.credit[end] >= 0 and circuit.used_bytes <= self._terms.circuit_bytes:
                    self.carried_bytes += len(body)
                    return [(circuit.other(end), message)]
                if circuit.credit[end] >= 0:
                    return self._end(circuit, Code.CIRCUIT_SPENT, "its bytes are used up")
            case RelayCredit(taken=taken) if circuit.is_open:
                credit = circuit.credit[circuit.other(end)] + taken
                if credit <= limits.RELAY_WINDOW_BYTES:
                    circuit.credit[circuit.other(end)] = credit
                    return [(circuit.other(end), message)]
        return self._end(circuit, Code.PROTOCOL, "more than its credit, or out of order")

    def _end(self, circuit: _Circuit, code: Code, detail: str) -> list[Sent]:
        del self._circuits[circuit.name]
        return [(one, _close(circuit, code, detail)) for one in (circuit.client, circuit.host)]

    def _may_ask(self, end: End, now: float) -> bool:
        """A token bucket for each link."""
        left, at = self._requests.get(end, (float(limits.RELAY_REQUEST_BURST), now))
        left = min(limits.RELAY_REQUEST_BURST, left + (now - at) * limits.RELAY_REQUEST_RATE_HZ)
        self._requests[end] = (left - 1 if left >= 1 else left), now
        return left >= 1


def _close(circuit: _Circuit, code: Code, detail: str) -> RelayClose:
    return RelayClose(circuit=circuit.name, code=code, detail=detail)
