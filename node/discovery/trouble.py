"""Why there is nobody to reach, in one sentence with the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.discovery.entries import Entry, Failure
from wire.contacts import Contact

_ONE: Final = {
    Failure.NO_NETWORK: "this machine has no network",
    Failure.SILENT: "does not answer",
    Failure.REFUSED: "refuses the connection",
    Failure.BROKEN: "answers, but not as a peer of this version",
    Failure.OTHER_NETWORK: "is in another network",
    Failure.SOMEONE_ELSE: "is someone else now",
}
_SEVERAL: Final = {
    Failure.SILENT: "silent",
    Failure.REFUSED: "refusing",
    Failure.BROKEN: "no peers of this version",
    Failure.OTHER_NETWORK: "in another network",
    Failure.SOMEONE_ELSE: "someone else now",
}
_NEXT: Final = {
    Failure.NO_NETWORK: "connect it; the search goes on by itself",
    Failure.SILENT: "make sure the other side runs, and that no firewall blocks its port for TCP and UDP",
    Failure.REFUSED: "make sure the other side runs, and that the port is right",
    Failure.BROKEN: "check the port, and that both sides run the same version",
    Failure.OTHER_NETWORK: "start with its --network, or name a peer of yours",
    Failure.SOMEONE_ELSE: "ask its owner for the new peer id, or for a new join string",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A cause and what to do about it."""

    cause: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.cause}; {self.next_step}"


def of_one(contact: Contact, why: Failure) -> Trouble:
    """What to tell of a contact that a person named."""
    if why is Failure.NO_NETWORK:
        return Trouble(cause=_ONE[why], next_step=_NEXT[why])
    who = str(contact.address) if contact.peer is None else f"{contact.peer.short}… at {contact.address}"
    return Trouble(cause=f"{who} {_ONE[why]}", next_step=_NEXT[why])


def of_all(entries: Sequence[Entry]) -> Trouble | None:
    """Why none of these contacts is answering, or None when one is, or has not been tried yet."""
    if not entries:
        return Trouble(
            cause="no peer is known: none is configured, none announces itself on the local network, "
            "and none was met before",
            next_step="name one with --peer IP:PORT or --join lamella:..., or start lamella-node here",
        )
    whys = [one.failure for one in entries if one.failure is not None]
    if len(whys) < len(entries):
        return None
    if len(entries) == 1:
        return of_one(entries[0].contact, whys[0])
    counts = Counter(one for one in whys if one is not Failure.NO_NETWORK)
    if not counts:
        return Trouble(cause=_ONE[Failure.NO_NETWORK], next_step=_NEXT[Failure.NO_NETWORK])
    said = ", ".join(f"{number} {_SEVERAL[why]}" for why, number in counts.most_common())
    most = counts.most_common(1)[0][0]
    return Trouble(
        cause=f"none of {len(entries)} known contacts can be reached ({said})",
        next_step=_NEXT[most],
    )
