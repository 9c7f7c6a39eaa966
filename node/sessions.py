"""The sessions of one host, by the names under which their clients and their next hops speak of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from crypto.identity import PeerId
from node.hosting import HostedSlice
from node.manners.allowance import Refusal
from node.running import Running
from wire.codes import Code
from wire.messages.session import Delivery, Open
from wire.types import SessionId


class Sessions:
    """A session is found by its client's id of it, and by the id its next hop knows it by."""

    def __init__(self) -> None:
        self._called: dict[SessionId, Running] = {}
        self._ahead: dict[tuple[PeerId | None, SessionId | None], Running] = {}

    def __len__(self) -> int:
        return len(self._called)

    def all(self) -> tuple[Running, ...]:
        """Every session, as they are now."""
        return tuple(self._called.values())

    def on(self, held: HostedSlice | None) -> list[Running]:
        """The sessions of a slice; those of all slices for None."""
        return [run for run in self._called.values() if held is None or run.slice is held]

    def counts(self) -> Mapping[int, int]:
        """How many sessions each slice has, by `id`."""
        return Counter(id(run.slice) for run in self._called.values())

    def called(self, session: SessionId) -> Running | None:
        """The session that a client speaks of."""
        return self._called.get(session)

    def ahead(self, peer: PeerId, session: SessionId) -> Running | None:
        """The session whose next hop speaks of it."""
        return self._ahead.get((peer, session))

    def needs(self, peer: PeerId) -> bool:
        """Whether a session speaks with a peer."""
        return any(
            peer in (run.client.peer_id, run.machine.opened.upstream, run.machine.opened.next_peer)
            for run in self._called.values()
        )

    def refusal(self, opened: Open) -> Refusal | None:
        """Why a session cannot be held under the ids it was opened with."""
        if opened.session in self._called:
            return Refusal(Code.DUPLICATE_SESSION, "the session's id is in use here; draw another")
        if (opened.next_peer, opened.next_session) in self._ahead:
            return Refusal(Code.DUPLICATE_SESSION, "the next hop's session id is in use here; draw another")
        return None

    def add(self, run: Running) -> None:
        """Hold a session that was not refused."""
        opened = run.machine.opened
        self._called[opened.session] = run
        if opened.delivery is Delivery.NEXT:
            self._ahead[opened.next_peer, opened.next_session] = run

    def remove(self, run: Running) -> bool:
        """Free a session's ids; whether it was held."""
        opened = run.machine.opened
        following = opened.next_peer, opened.next_session
        if self._ahead.get(following) is run:
            del self._ahead[following]
        if self._called.get(opened.session) is not run:
            return False
        del self._called[opened.session]
        return True
