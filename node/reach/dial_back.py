"""The two sides of a dial-back, without a socket: who asks whether an address leads to it, and who tries. Pure.

The asker draws a nonce, tells it to one peer over a link, and believes what follows only where the nonce came back by
the other way. The dialler dials nobody but whoever asked, at the address the question came from, at the port that was
named: so no third party can be made to receive anything, and a question is longer than what it can cause. Spec:
`specs/reachability.md` §Dial-back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from crypto.identity import PeerId
from node.reach.observed import network_of
from wire import limits
from wire.messages.reach import DialBack, DialledBack, Outcome, Transport
from wire.types import Address

MAX_ASKED: Final = 16
"""Questions of ours that are open at once."""
STRAGGLE_S: Final = 1.0
"""How long after the answer a datagram may still come."""
MAX_REMEMBERED: Final = 1_024
"""Security limit: peers and addresses whose last dial-back is remembered."""
KEPT_S: Final = 7_200.0
"""How long a proof holds."""
GIVEN_UP: Final = 3
"""Networks in a row that fail to connect, after which an address is no longer proven."""

PROBE_HEAD: Final = b"lamella-probe/1\0"
"""What a datagram of a UDP dial-back begins with; the nonce follows. No CBOR item of the DHT begins so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a question came to."""

    transport: Transport
    address: Address | None
    """Where the peer says it dialled; None when it did not answer."""
    proven: bool
    """Whether our nonce came back that way."""
    by: PeerId
    network: str
    """The network the peer speaks from."""
    refused: bool = False
    """Whether the peer did not try; says nothing about the address."""


@dataclass(slots=True)
class _Question:
    peer: PeerId
    network: str
    transport: Transport
    port: int
    deadline: float
    came_back: bool = False
    named: Address | None = None
    """Where the peer says it dialled."""


class Asker:
    """Our own questions. Its caller sends the messages and says what arrives."""

    def __init__(self) -> None:
        self._open: dict[bytes, _Question] = {}

    def ask(
        self, peer: PeerId, remote: Address, transport: Transport, port: int, *, nonce: bytes, now: float
    ) -> DialBack | None:
        """Return the question to send over the link to `peer`, at `remote`; None when too many are open."""
        if len(self._open) >= MAX_ASKED:
            return None
        self._open[nonce] = _Question(
            peer, network_of(remote.ip), transport, port, now + limits.DIAL_BACK_TIMEOUT_S
        )
        return DialBack(nonce=nonce, transport=transport, port=port)

    def on_proof(self, nonce: bytes, by: PeerId | None) -> None:
        """A nonce arrived: by a link that `by` opened, or, with None, in a datagram."""
        question = self._open.get(nonce)
        if question is None or by != (question.peer if question.transport is Transport.TCP else None):
            return
        question.came_back = True

    def on_answer(self, peer: PeerId, answer: DialledBack, now: float) -> Verdict | None:
        """A peer says what came of it; None when it was not asked that."""
        question = self._open.get(answer.nonce)
        if question is None or question.peer != peer:
            return None
        if answer.address.port == question.port:
            question.named = answer.address
        by_datagram = question.transport is Transport.UDP
        if by_datagram and answer.outcome is Outcome.REACHED and not question.came_back:
            # The datagrams may still be on their way.
            question.deadline = min(question.deadline, now + STRAGGLE_S)
            return None
        del self._open[answer.nonce]
        return _verdict(question, refused=answer.outcome is Outcome.REFUSED and not question.came_back)

    def on_time(self, now: float) -> list[Verdict]:
        """Return what became of the questions nobody answered in time."""
        late = [nonce for nonce, question in self._open.items() if now >= question.deadline]
        return [_verdict(self._open.pop(nonce)) for nonce in late]

    def forget(self, peer: PeerId) -> list[Verdict]:
        """The link to a peer is gone: it will not answer."""
        lost = [nonce for nonce, question in self._open.items() if question.peer == peer]
        return [_verdict(self._open.pop(nonce), refused=True) for nonce in lost]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """What the dialler is to try."""

    peer: PeerId
    address: Address
    transport: Transport
    nonce: bytes


class Dialler:
    """The questions of others."""

    def __init__(self) -> None:
        self._last: OrderedDict[PeerId, float] = OrderedDict()
        self._by_ip: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """When an interval began for an address, and what was dialled there since."""
        self._under_way = 0

    def on_question(
        self, peer: PeerId, remote: Address, question: DialBack, *, carried: bool, now: float
    ) -> Dial | DialledBack:
        """Return what to try, or the refusal to send.

        Args:
            peer: who asks.
            remote: the address its link comes from.
            question: what it asks.
            carried: whether a relay carries the link, so that `remote` is not the peer's own.
            now: the time.
        """
        address = Address(remote.ip, question.port)
        if carried or question.port < limits.LEAST_DIAL_BACK_PORT or not self._may(peer, remote.ip, now):
            return DialledBack(nonce=question.nonce, address=address, outcome=Outcome.REFUSED)
        self._under_way += 1
        return Dial(peer=peer, address=address, transport=question.transport, nonce=question.nonce)

    def over(self, dial: Dial, *, reached: bool) -> DialledBack:
        """A dial is over: return the answer to send. Must be called once for each `Dial`, however it ended."""
        self._under_way -= 1
        outcome = Outcome.REACHED if reached else Outcome.UNREACHED
        return DialledBack(nonce=dial.nonce, address=dial.address, outcome=outcome)

    def _may(self, peer: PeerId, ip: str, now: float) -> bool:
        least = now - limits.DIAL_BACK_INTERVAL_S
        began, count = self._by_ip.get(ip, (float("-inf"), 0))
        if began <= least:
            began, count = now, 0
        if (
            self._under_way >= limits.MAX_DIAL_BACKS
            or self._last.get(peer, float("-inf")) > least
            or count >= limits.MAX_DIAL_BACKS_PER_IP
        ):
            return False
        self._last[peer] = now
        self._last.move_to_end(peer)
        self._by_ip[ip] = began, count + 1
        self._by_ip.move_to_end(ip)
        for remembered in (self._last, self._by_ip):
            while len(remembered) > MAX_REMEMBERED:
                remembered.popitem(last=False)
        return True


class Proven:
    """Which of our addresses lead here, by the verdicts of several networks."""

    def __init__(self, *, needed: int = 2, ours: Callable[[Address], bool] = lambda _: False) -> None:
        """Begin with nothing proven.

        Args:
            needed: networks that must have connected to an address before it is proven; where fewer have tried at
                all, as in a swarm in one building, it is all of those.
            ours: whether this machine itself knows an address as its own, so that nobody can make it up: one network
                is enough then.
        """
        self._needed = needed
        self._ours = ours
        self._proofs: dict[tuple[Transport, Address], dict[str, float]] = {}
        self._tried: dict[Transport, dict[str, float]] = {}
        self._failed: dict[Transport, set[str]] = {}

    def take(self, verdict: Verdict, now: float) -> None:
        """Count a verdict."""
        if verdict.refused:
            return
        tried = self._tried.setdefault(verdict.transport, {})
        tried[verdict.network] = now
        while len(tried) > MAX_REMEMBERED:
            del tried[next(iter(tried))]
        if not verdict.proven or verdict.address is None:
            failed = self._failed.setdefault(verdict.transport, set())
            failed.add(verdict.network)
            if len(failed) >= GIVEN_UP:
                self._drop(verdict.transport)
            return
        self._failed.pop(verdict.transport, None)
        proofs = self._proofs.setdefault((verdict.transport, verdict.address), {})
        proofs[verdict.network] = now
        while len(self._proofs) > MAX_ASKED:
            del self._proofs[next(iter(self._proofs))]

    def addresses(self, transport: Transport, now: float) -> list[Address]:
        """The addresses that lead here."""
        return [
            address
            for (one, address), proofs in self._proofs.items()
            if one is transport and _recent(proofs.values(), now) >= self._enough(transport, address, now)
        ]

    def forget(self) -> None:
        """This machine is on another network."""
        self._proofs.clear()
        self._tried.clear()
        self._failed.clear()

    def _enough(self, transport: Transport, address: Address, now: float) -> int:
        """How many networks must have come through. At least one has, so that at least one is needed."""
        if self._ours(address):
            return 1
        family = [
            at
            for network, at in self._tried.get(transport, {}).items()
            if (":" in network) == (":" in address.ip)
        ]
        return max(1, min(self._needed, _recent(family, now)))

    def _drop(self, transport: Transport) -> None:
        self._failed.pop(transport, None)
        for key in [one for one in self._proofs if one[0] is transport]:
            del self._proofs[key]


def _recent(moments: Iterable[float], now: float) -> int:
    return sum(at > now - KEPT_S for at in moments)


def probe(nonce: bytes) -> bytes:
    """The datagram that carries a nonce."""
    return PROBE_HEAD + nonce


def probed(datagram: bytes) -> bytes | None:
    """The nonce in a datagram, if it is a probe."""
    whole = len(PROBE_HEAD) + limits.DIAL_BACK_NONCE_BYTES
    return datagram[len(PROBE_HEAD) :] if len(datagram) == whole and datagram.startswith(PROBE_HEAD) else None


def _verdict(question: _Question, *, refused: bool = False) -> Verdict:
    return Verdict(
        transport=question.transport,
        address=question.named,
        proven=question.came_back and question.named is not None,
        by=question.peer,
        network=question.network,
        refused=refused,
    )
