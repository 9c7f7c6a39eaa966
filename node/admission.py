"""Whether a host takes a session: what it has room for, what each peer may still have, what it was told to refuse."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from crypto.identity import PeerId
from node.hosting import HostedSlice
from node.manners.allowance import Allowances, Refusal, Shares
from node.manners.overload import Forecast
from wire import limits
from wire.codes import Code

_WHY: Final = {
    Code.DRAINING: "this slice is being drained and takes no new sessions",
    Code.SHUTTING_DOWN: "the host is stopping",
}


class Admission:
    """The door of one host. It is told of every session that is let in and of every one that is over."""

    def __init__(
        self,
        *,
        max_sessions: int = limits.MAX_SESSIONS,
        shares: Shares | None = None,
        owner: PeerId | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """
        Args:
            shares: what each peer may have.
            owner: whoever this machine belongs to may have as many tokens as it likes.
            clock: seconds.
        """
        self.max_sessions = max_sessions
        self.closed = False
        """Whether nobody is let in any more."""
        self._refused: list[tuple[HostedSlice, Code]] = []
        self._allowances = Allowances(shares or Shares())
        self._forecast = Forecast()
        self._owner = owner
        self._clock = clock
        self._began: dict[object, float] = {}
        """When each session was let in; the oldest is the first."""

    def share(self, shares: Shares) -> None:
        """Let each peer have something else from now on; sessions that are open stay."""
        self._allowances.change(shares, self._clock())

    def refuse(self, held: HostedSlice, code: Code) -> None:
        """Refuse new sessions on a slice from now on."""
        self.admit(held)
        self._refused.append((held, code))

    def admit(self, held: HostedSlice) -> None:
        """Take sessions on a slice again."""
        self._refused = [one for one in self._refused if one[0] is not held]

    def takes(self, held: HostedSlice) -> bool:
        """Whether new sessions on a slice are taken."""
        return not any(one is held for one, _ in self._refused)

    def of_slice(self, held: HostedSlice) -> Refusal | None:
        """Why no session on a slice is taken."""
        code = next((code for one, code in self._refused if one is held), None)
        return None if code is None else Refusal(code, _WHY.get(code, code.text))

    def of_client(self, client: PeerId) -> Refusal | None:
        """Why nobody, or this client, is given another session."""
        if self.closed:
            return Refusal(Code.DRAINING, "this host is stopping and takes no new sessions")
        if len(self._began) >= self.max_sessions:
            words = f"all {self.max_sessions} sessions are taken"
            return Refusal(Code.TOO_MANY_SESSIONS, words, self.hint_ms())
        return self._allowances.may_open(client, self._clock())

    def hint_ms(self) -> int:
        """When a place is likely to be free, in milliseconds; whoever is told counts as one who comes back then."""
        now = self._clock()
        oldest_s = now - next(iter(self._began.values()), now)
        return self._forecast.hint_ms(sessions=len(self._began), oldest_s=oldest_s, now=now)

    def entered(self, session: object, client: PeerId) -> None:
        """A session was let in."""
        now = self._clock()
        self._began[session] = now
        self._allowances.opened(client, now)

    def left(self, session: object, client: PeerId) -> None:
        """A session that was let in is over."""
        now = self._clock()
        self._forecast.ended(now - self._began.pop(session))
        self._allowances.closed(client, now)

    def computed(self, client: PeerId, tokens: int, seconds: float) -> Refusal | None:
        """Count a step, which was here for so long.

        Returns: Why the client's sessions must end, if they must.
        """
        self._forecast.stepped(seconds)
        if client == self._owner:
            return None
        now = self._clock()
        self._allowances.spent(client, tokens, now)
        return self._allowances.must_end(client, now)
