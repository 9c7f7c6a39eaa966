"""What each peer may still have of this host: sessions at once, and tokens a while. Pure, and bounded in memory.

A peer's tokens are a bucket: an hour's worth to begin with, refilled evenly. It may go into debt, since an answer under
way is not cut off for being the one that used up the hour; but not far. A peer that owes nothing and holds nothing is
forgotten, which changes nothing for it. When too many are known, those that owe least are forgotten first: an attacker
with many identities pushes out each other's, and not the debt of whoever used most.

Refusals are `too_many_sessions` (specs/errors.md: "the host, or this client's share of it, is full"), with the time to
try again.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Final

from crypto.identity import PeerId
from node.manners.bucket import Bucket
from wire import limits
from wire.codes import Code
from wire.messages.session import Refused
from wire.types import SessionId

MAX_PEERS: Final = 4_096
"""Security limit: peers whose use is remembered; some 200 bytes each."""
FORGOTTEN_PART: Final = 16
"""Of all peers, one in so many is forgotten when there are too many: that costs a look at all of them."""
WORTH_SHARE: Final = 0.02
"""Of an hour's tokens: what must be there before a session is worth opening, or it would end at once."""
DEBT_SHARE: Final = 0.1
"""Of an hour's tokens: what a session under way may overdraw before it is ended."""
MAX_RETRY_MS: Final = 86_400_000
"""What a refusal can say (`wire.messages.session`)."""
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a session is not taken, or must end."""

    code: Code
    detail: str
    retry_after_ms: int | None = None

    def of(self, session: SessionId) -> Refused:
        """What the client is told."""
        return Refused(
            session=session, code=self.code, detail=self.detail, retry_after_ms=self.retry_after_ms
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """What one peer may have."""

    sessions: int = limits.MAX_SESSIONS_PER_PEER
    tokens_per_hour: int | None = None
    """Positions computed for it, prompts included; None for any number."""


class _Account:
    """What one peer has."""

    __slots__ = ("bucket", "sessions")

    def __init__(self, bucket: Bucket | None) -> None:
        self.sessions = 0
        self.bucket = bucket


class Allowances:
    """The accounts of all peers. Every method takes the time, in seconds of a clock that nobody sets."""

    def __init__(self, shares: Shares, *, max_peers: int = MAX_PEERS) -> None:
        self._shares = shares
        self._max_peers = max_peers
        self._accounts: dict[PeerId, _Account] = {}

    def __len__(self) -> int:
        """How many peers are known."""
        return len(self._accounts)

    def change(self, shares: Shares, now: float) -> None:
        """Go by other shares from now on. Sessions that are open stay, what was used stays used."""
        self._shares = shares
        for peer, account in list(self._accounts.items()):
            if shares.tokens_per_hour is None:
                account.bucket = None
            elif account.bucket is None:
                account.bucket = self._full_bucket(now)
            else:
                rate, burst = shares.tokens_per_hour / _HOUR_S, float(shares.tokens_per_hour)
                account.bucket = account.bucket.scaled(rate, burst, now)
            self._forget_if_even(peer, now)

    def sessions(self, peer: PeerId) -> int:
        """How many sessions a peer holds."""
        account = self._accounts.get(peer)
        return 0 if account is None else account.sessions

    def may_open(self, peer: PeerId, now: float) -> Refusal | None:
        """Return why a peer may not open a session now, or None. Changes nothing."""
        account = self._accounts.get(peer)
        if account is None:
            return None
        if account.sessions >= self._shares.sessions:
            return Refusal(
                code=Code.TOO_MANY_SESSIONS,
                detail=f"you hold {account.sessions} sessions here already",
            )
        bucket = account.bucket
        if bucket is None or bucket.level(now) >= self._worth:
            return None
        return Refusal(
            code=Code.TOO_MANY_SESSIONS,
            detail=f"you have used the {self._shares.tokens_per_hour} tokens an hour you may have here",
            retry_after_ms=_milliseconds(bucket.wait_s(self._worth, now)),
        )

    def must_end(self, peer: PeerId, now: float) -> Refusal | None:
        """Return why sessions of a peer that are under way must end, or None while they may go on."""
        account = self._accounts.get(peer)
        bucket = None if account is None else account.bucket
        if bucket is None or bucket.level(now) > -bucket.burst * DEBT_SHARE:
            return None
        return Refusal(
            code=Code.TOO_MANY_SESSIONS,
            detail=f"you have used more than the {self._shares.tokens_per_hour} tokens an hour you may have here",
            retry_after_ms=_milliseconds(bucket.wait_s(self._worth, now)),
        )

    def opened(self, peer: PeerId, now: float) -> None:
        """A peer has opened a session."""
        self._account(peer, now).sessions += 1

    def closed(self, peer: PeerId, now: float) -> None:
        """A session of a peer is over. One more than were opened is a defect of the caller, and does nothing."""
        account = self._accounts.get(peer)
        if account is not None:
            account.sessions = max(0, account.sessions - 1)
            self._forget_if_even(peer, now)

    def spent(self, peer: PeerId, tokens: int, now: float) -> None:
        """So many positions were computed for a peer."""
        if self._shares.tokens_per_hour is None or tokens <= 0:
            return
        bucket = self._account(peer, now).bucket
        if bucket is not None:
            bucket.spend(tokens, now)

    @property
    def _worth(self) -> float:
        return max(1.0, (self._shares.tokens_per_hour or 0) * WORTH_SHARE)

    def _full_bucket(self, now: float) -> Bucket | None:
        tokens = self._shares.tokens_per_hour
        return None if tokens is None else Bucket(tokens / _HOUR_S, tokens, now)

    def _account(self, peer: PeerId, now: float) -> _Account:
        account = self._accounts.get(peer)
        if account is None:
            if len(self._accounts) >= self._max_peers:
                self._forget_some(now)
            account = self._accounts[peer] = _Account(self._full_bucket(now))
        return account

    def _forget_if_even(self, peer: PeerId, now: float) -> None:
        account = self._accounts[peer]
        if not account.sessions and (
            account.bucket is None or account.bucket.level(now) >= account.bucket.burst
        ):
            del self._accounts[peer]

    def _forget_some(self, now: float) -> None:
        """Make room: whoever holds no session and owes least. Sessions are bounded, so there is always somebody."""
        excess = len(self._accounts) - self._max_peers + max(1, self._max_peers // FORGOTTEN_PART)
        idle = (
            (_level(account, now), peer) for peer, account in self._accounts.items() if not account.sessions
        )
        for _, peer in heapq.nlargest(excess, idle, key=lambda one: one[0]):
            del self._accounts[peer]


def _level(account: _Account, now: float) -> float:
    return math.inf if account.bucket is None else account.bucket.level(now)


def _milliseconds(seconds: float) -> int:
    return min(MAX_RETRY_MS, max(1, math.ceil(seconds * 1000)))
