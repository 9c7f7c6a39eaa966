"""Every reason a peer can be told, by number. Spec: `specs/errors.md`, whose table is made from this file.

Numbers are never reused. 1-31 end a link, 32-63 refuse a session, 64-95 end a running session, 96-127
refuse or end what a relay carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a code says to people; the one place these words exist."""

    meaning: str
    actor: str
    """Who can do something about it: `client`, `host`, `sender` or `receiver` of what was wrong, or a person."""
    advice: str
    """What the actor does next."""


class Code(IntEnum):
    """An error code as it travels."""

    # Links
    SHUTTING_DOWN = 1
    BAD_FRAME = 2
    BAD_MESSAGE = 3
    UNKNOWN_MESSAGE = 4
    TOO_LARGE = 5
    HANDSHAKE_FAILED = 6
    WRONG_PEER = 7
    VERSION = 8
    TIMEOUT = 9
    TOO_MANY_LINKS = 10
    DUPLICATE_LINK = 11
    FLOODING = 12
    IDLE = 13
    CONNECTION_LOST = 14
    # Session refusals
    NOT_HOSTING = 32
    DRAINING = 33
    NO_MEMORY = 34
    TOO_MANY_SESSIONS = 35
    NOT_ALLOWED = 36
    NUMERICS = 37
    NEXT_UNREACHABLE = 38
    CONTEXT_TOO_LONG = 39
    DUPLICATE_SESSION = 40
    # Session ends
    CANCELLED = 64
    UNKNOWN_SESSION = 65
    STEP_GAP = 66
    POSITION_MISMATCH = 67
    BAD_TENSOR = 68
    NOT_FINITE = 69
    WINDOW_EXCEEDED = 70
    COMPUTE_FAILED = 71
    HOP_LOST = 72
    SESSION_IDLE = 73
    CONTEXT_FULL = 74
    PROTOCOL = 75
    BAD_TOKENS = 76
    # Relays
    NO_RELAY = 96
    RELAY_FULL = 97
    NO_RESERVATION = 98
    CIRCUIT_SPENT = 99
    CIRCUIT_CLOSED = 100

    @property
    def text(self) -> str:
        """The code's name as it is printed: `not_hosting`."""
        return self.name.lower()

    @property
    def explanation(self) -> Explanation:
        """Meaning, actor and advice in words for people."""
        return EXPLANATIONS[self]


def known(value: int) -> Code | None:
    """The code for a received number, or None for one from a newer peer."""
    try:
        return Code(value)
    except ValueError:
        return None


_REPORT = "Do not repeat it; report a bug with both sides' versions."

EXPLANATIONS: Mapping[Code, Explanation] = {
    Code.SHUTTING_DOWN: Explanation(
        "The peer's process is ending.", "client", "Plan a route without this host."
    ),
    Code.BAD_FRAME: Explanation("The bytes received cannot be cut into messages.", "sender", _REPORT),
    Code.BAD_MESSAGE: Explanation(
        "A message does not decode, is out of bounds, or is not allowed in the connection's state.",
        "sender",
        _REPORT,
    ),
    Code.UNKNOWN_MESSAGE: Explanation(
        "A message has an id this side does not know.",
        "sender",
        "Use only features both sides named in `hello`.",
    ),
    Code.TOO_LARGE: Explanation(
        "A message is longer than the limits allow.", "sender", "Cut prefill into smaller chunks."
    ),
    Code.HANDSHAKE_FAILED: Explanation(
        "The handshake could not be finished: another network, another protocol, or a changed byte.",
        "person",
        "Check that both sides name the same network and run versions that speak to each other.",
    ),
    Code.WRONG_PEER: Explanation(
        "Another peer answered at this address than the one that was meant.",
        "client",
        "Forget the address; ask for a fresh one. Never go on with the peer that answered.",
    ),
    Code.VERSION: Explanation(
        "The two sides share no version of the protocol.", "person", "Update the older of the two programs."
    ),
    Code.TIMEOUT: Explanation(
        "An answer did not come in time: the peer is slow, stopped, or not reachable in one direction.",
        "client",
        "Dial once more, then plan a route without this host.",
    ),
    Code.TOO_MANY_LINKS: Explanation(
        "The peer has no room for another link.", "client", "Wait, or plan a route without this host."
    ),
    Code.DUPLICATE_LINK: Explanation(
        "Both sides dialled at once and the other link was kept.",
        "nobody",
        "Go on with the link that was kept.",
    ),
    Code.FLOODING: Explanation(
        "The peer sent more pings, acks or unknown messages than an honest peer has use for.",
        "sender",
        _REPORT,
    ),
    Code.IDLE: Explanation(
        "Nothing was said on this link for long.", "nobody", "Dial again when there is work."
    ),
    Code.CONNECTION_LOST: Explanation(
        "The stream ended without a `goodbye`, or with a reason this side does not know.",
        "client",
        "Dial once more, then plan a route without this host.",
    ),
    Code.NOT_HOSTING: Explanation(
        "The host does not serve this model, these layers, or its head.",
        "client",
        "Ask what it serves and plan again.",
    ),
    Code.DRAINING: Explanation(
        "The host is about to stop and takes no new sessions.", "client", "Plan a route without this host."
    ),
    Code.NO_MEMORY: Explanation(
        "The host has too little memory for the positions asked for.",
        "client",
        "Ask for fewer positions, try again later, or plan a route without this host.",
    ),
    Code.TOO_MANY_SESSIONS: Explanation(
        "The host, or this client's share of it, is full.",
        "client",
        "Close sessions that are no longer used, or try again after the time the refusal names.",
    ),
    Code.NOT_ALLOWED: Explanation(
        "The host's rules do not allow the session.",
        "person",
        "Ask the host's owner, or choose another host.",
    ),
    Code.NUMERICS: Explanation(
        "The slice computes in another number format than the client planned with.",
        "client",
        "Ask what it serves and plan again.",
    ),
    Code.NEXT_UNREACHABLE: Explanation(
        "The host could not reach, or not prove, the next hop.",
        "client",
        "Choose another next hop, or carry that hop through the client.",
    ),
    Code.CONTEXT_TOO_LONG: Explanation(
        "More positions were asked for than the model takes.",
        "client",
        "Ask for no more than the offer names.",
    ),
    Code.DUPLICATE_SESSION: Explanation(
        "The session id is in use at this host.", "client", "Draw another session id and open again."
    ),
    Code.CANCELLED: Explanation("The client ended the session.", "nobody", "Nothing is left to do."),
    Code.UNKNOWN_SESSION: Explanation(
        "The host holds no such session of this peer; it may have ended or the host restarted.",
        "client",
        "Open a new session and send its tokens again.",
    ),
    Code.STEP_GAP: Explanation(
        "A step came that is not the next one.", "client", "Open a new session and send its tokens again."
    ),
    Code.POSITION_MISMATCH: Explanation(
        "A step or a cut names a position the host's cache does not have.",
        "client",
        "Open a new session and send its tokens again.",
    ),
    Code.BAD_TENSOR: Explanation(
        "Dtype, shape and length of a tensor do not fit each other or the session.", "sender", _REPORT
    ),
    Code.NOT_FINITE: Explanation(
        "Hidden states hold NaN or infinity.",
        "client",
        "Open the session on other hosts; the hop before the one that reports this computed the values.",
    ),
    Code.WINDOW_EXCEEDED: Explanation("More steps were sent than the window allows.", "sender", _REPORT),
    Code.COMPUTE_FAILED: Explanation(
        "The host's slice failed on this step.",
        "client",
        "Open the session on other hosts; the host's owner finds the reason in its log.",
    ),
    Code.HOP_LOST: Explanation(
        "The link to the next hop, or the session there, is gone.",
        "client",
        "Plan another route and open again.",
    ),
    Code.SESSION_IDLE: Explanation(
        "No step came for long and the memory was freed.",
        "client",
        "Open a new session and send its tokens again.",
    ),
    Code.CONTEXT_FULL: Explanation(
        "The positions the session was opened for are used up.",
        "client",
        "Open a session with more positions, or shorten the conversation.",
    ),
    Code.PROTOCOL: Explanation("A message came that the session's state does not allow.", "sender", _REPORT),
    Code.BAD_TOKENS: Explanation(
        "A step lacks the token ids that its layers need, carries ids that they do not, or ones that cannot be.",
        "sender",
        _REPORT,
    ),
    Code.NO_RELAY: Explanation(
        "The peer does not carry links for others.", "sender", "Ask another peer to be the relay."
    ),
    Code.RELAY_FULL: Explanation(
        "The relay carries as many links as it may, in all or for this peer.",
        "sender",
        "Wait, or choose another relay.",
    ),
    Code.NO_RESERVATION: Explanation(
        "The relay carries no links to that host: it never asked, its reservation lapsed, or it is gone.",
        "client",
        "Look the host up again, or plan a route without it.",
    ),
    Code.CIRCUIT_SPENT: Explanation(
        "A carried link has used up the bytes or the time the relay gives it.",
        "client",
        "Try the direct address again, or open another link.",
    ),
    Code.CIRCUIT_CLOSED: Explanation(
        "One end of a carried link hung up.", "nobody", "Dial again when there is work."
    ),
}
