"""What senders did that had proven their address: who forged, who was honest, who wastes our time.

An address is proven by a write token or by the answer to a request of ours, so that nobody is blamed for what another
sent in his name. Many nodes may share one IP: who forged is silenced by address and port. A whole source (an IPv4
address, an IPv6 /64) is held to account only where its unknown ports would have signatures checked, never those that
have shown a right one, and never entirely.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, TypeVar

from node.dht.places import Scope, scope_of, source_of
from wire import limits
from wire.types import Address

Name = TypeVar("Name")
Kept = TypeVar("Kept")
_FORGERS_HZ: Final = limits.FORGERS_PER_SOURCE / limits.MUTED_S


@dataclass(slots=True)
class _Allowance:
    """A token bucket."""

    left: float
    filled_at: float

    def fill(self, rate_hz: float, most: float, now: float) -> bool:
        """Whether there is one left."""
        self.left = min(most, self.left + (now - self.filled_at) * rate_hz)
        self.filled_at = now
        return self.left >= 1


@dataclass(slots=True)
class _Sender:
    patience: _Allowance
    muted_until: float = 0.0
    honest: bool = False
    """Whether its last signature was right."""


class Conducts:
    """What is remembered of addresses; the longest unheard are forgotten."""

    def __init__(self) -> None:
        self._senders: OrderedDict[Address, _Sender] = OrderedDict()
        self._forgers: OrderedDict[bytes, _Allowance] = OrderedDict()

    def __len__(self) -> int:
        return max(len(self._senders), len(self._forgers))

    def muted(self, address: Address, now: float) -> bool:
        """Whether an address is not listened to."""
        sender = self._senders.get(address)
        return sender is not None and now < sender.muted_until

    def may_check(self, address: Address, now: float) -> bool:
        """Whether a signature from an address that has shown its token is worth checking now."""
        sender = self._senders.get(address)
        if sender is not None and not sender.patience.fill(limits.FRUITLESS_HZ, limits.FRUITLESS_BURST, now):
            return False
        if (sender is not None and sender.honest) or scope_of(address.ip) is Scope.MACHINE:
            return True
        forgers = self._forgers.get(source_of(address.ip))
        return forgers is None or forgers.fill(_FORGERS_HZ, limits.FORGERS_PER_SOURCE, now)

    def honest(self, address: Address, now: float) -> None:
        """A signature from there was right."""
        self._sender(address, now).honest = True

    def forged(self, address: Address, now: float) -> None:
        """A signature from there was wrong: it is not listened to for a while."""
        sender = self._sender(address, now)
        sender.muted_until = now + limits.MUTED_S
        sender.honest = False
        if scope_of(address.ip) is Scope.MACHINE:
            return
        source = source_of(address.ip)
        forgers = self._forgers.setdefault(source, _Allowance(limits.FORGERS_PER_SOURCE, now))
        forgers.fill(_FORGERS_HZ, limits.FORGERS_PER_SOURCE, now)
        forgers.left -= 1
        _keep_newest(self._forgers, source)

    def fruitless(self, address: Address, now: float) -> bool:
        """Count a record from there that changed nothing; return whether there is patience for it."""
        patience = self._sender(address, now).patience
        if not patience.fill(limits.FRUITLESS_HZ, limits.FRUITLESS_BURST, now):
            return False
        patience.left -= 1
        return True

    def _sender(self, address: Address, now: float) -> _Sender:
        sender = self._senders.get(address)
        if sender is None:
            sender = self._senders[address] = _Sender(_Allowance(limits.FRUITLESS_BURST, now))
        _keep_newest(self._senders, address)
        return sender


def _keep_newest(table: OrderedDict[Name, Kept], name: Name) -> None:
    table.move_to_end(name)
    if len(table) > limits.MAX_CONDUCTS:
        table.popitem(last=False)
