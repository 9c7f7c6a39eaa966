"""What senders did that had proven their address: who forged, who was honest, who wastes our time.

An address is proven by a write token or by the answer to a request of ours, so that nobody is blamed for what another
sent in his name. Many nodes may share one IP: who forged is silenced by address and port. A whole source (an IPv4
address, an IPv6 /64) has an allowance too, which only its unknown ports share: one that has shown a right signature is
served whatever its neighbours do, and it has to show one only once.
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
_VAIN_HZ: Final = limits.VAIN_CHECKS_PER_SOURCE / limits.MUTED_S


@dataclass(slots=True)
class _Allowance:
    """A token bucket."""

    left: float
    filled_at: float

    def has(self, rate_hz: float, most: float, now: float) -> bool:
        """Whether there is one left."""
        self.left = min(most, self.left + (now - self.filled_at) * rate_hz)
        self.filled_at = now
        return self.left >= 1


@dataclass(slots=True)
class _Sender:
    """An address that has shown a token."""

    patience: _Allowance
    muted_until: float = 0.0
    honest: bool = False
    """Whether its last signature was right."""


@dataclass(slots=True)
class _Source:
    """What the unknown ports of an IP share."""

    checks: _Allowance
    """Signatures that may yet be checked in vain."""
    patience: _Allowance


class Conducts:
    """What is remembered of addresses and sources; the longest unheard are forgotten."""

    def __init__(self) -> None:
        self._senders: OrderedDict[Address, _Sender] = OrderedDict()
        self._sources: OrderedDict[bytes, _Source] = OrderedDict()

    def __len__(self) -> int:
        return max(len(self._senders), len(self._sources))

    def muted(self, address: Address, now: float) -> bool:
        """Whether an address is not listened to."""
        sender = self._senders.get(address)
        return sender is not None and now < sender.muted_until

    def may_check(self, address: Address, now: float) -> bool:
        """Whether a signature from an address that has shown its token is worth checking now."""
        sender = self._senders.get(address)
        if sender is not None and not sender.patience.has(limits.FRUITLESS_HZ, limits.FRUITLESS_BURST, now):
            return False
        if (sender is not None and sender.honest) or scope_of(address.ip) is Scope.MACHINE:
            return True
        source = self._sources.get(source_of(address.ip))
        return source is None or source.checks.has(_VAIN_HZ, limits.VAIN_CHECKS_PER_SOURCE, now)

    def honest(self, address: Address, now: float) -> None:
        """A signature from there was right."""
        self._sender(address, now).honest = True

    def forged(self, address: Address, now: float) -> None:
        """A signature from there was wrong: it is not listened to for a while."""
        sender = self._sender(address, now)
        sender.muted_until = now + limits.MUTED_S
        sender.honest = False
        self._spend_check(address, now)

    def vain(self, address: Address, now: float) -> None:
        """What came from there was signed and still could not be read, as by a later version: no crime, but dear."""
        sender = self._sender(address, now)
        sender.patience.has(limits.FRUITLESS_HZ, limits.FRUITLESS_BURST, now)
        sender.patience.left -= 1
        self._spend_check(address, now)

    def fruitless(self, address: Address, now: float) -> bool:
        """Count a record from there that changed nothing; return whether it is worth an answer."""
        sender = self._sender(address, now)
        spent = [sender.patience]
        if not sender.patience.has(limits.FRUITLESS_HZ, limits.FRUITLESS_BURST, now):
            return False
        if not sender.honest and scope_of(address.ip) is not Scope.MACHINE:
            shared = self._source(address, now).patience
            if not shared.has(limits.FRUITLESS_HZ, limits.FRUITLESS_BURST, now):
                return False
            spent.append(shared)
        for one in spent:
            one.left -= 1
        return True

    def _spend_check(self, address: Address, now: float) -> None:
        if scope_of(address.ip) is not Scope.MACHINE:
            checks = self._source(address, now).checks
            checks.has(_VAIN_HZ, limits.VAIN_CHECKS_PER_SOURCE, now)
            checks.left = max(0.0, checks.left - 1)

    def _sender(self, address: Address, now: float) -> _Sender:
        sender = self._senders.get(address)
        if sender is None:
            sender = self._senders[address] = _Sender(_Allowance(limits.FRUITLESS_BURST, now))
        _keep_newest(self._senders, address)
        return sender

    def _source(self, address: Address, now: float) -> _Source:
        name = source_of(address.ip)
        source = self._sources.get(name)
        if source is None:
            checks = _Allowance(limits.VAIN_CHECKS_PER_SOURCE, now)
            source = self._sources[name] = _Source(checks, _Allowance(limits.FRUITLESS_BURST, now))
        _keep_newest(self._sources, name)
        return source


def _keep_newest(table: OrderedDict[Name, Kept], name: Name) -> None:
    table.move_to_end(name)
    if len(table) > limits.MAX_CONDUCTS:
        table.popitem(last=False)
