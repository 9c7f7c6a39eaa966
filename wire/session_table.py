"""The legal orders of a session, as data and nothing else. Spec: `specs/forward.md` §States.

A pair that is missing is illegal: from a peer it ends the session with `protocol`, from our own caller it raises
`IllegalState`. In `CLOSED` everything a peer still sends is late, and ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class HostState(Enum):
    """A session as one host sees it."""

    OPENING = "opening"
    OPEN = "open"
    CUTTING = "cutting"
    CLOSED = "closed"


class HostInput(Enum):
    """What can happen to it: messages received, then the host's own doing."""

    FORWARD = "forward"
    TRUNCATE = "truncate"
    CREDIT = "credit"
    CLOSE = "close"
    ABORT = "abort"
    ACCEPT = "accept"
    REFUSE = "refuse"
    DELIVER = "deliver"
    CUT_DONE = "cut done"
    FAIL = "fail"


class ClientState(Enum):
    """A session at one hop as the client sees it."""

    OPENING = "opening"
    READY = "ready"
    TRUNCATING = "truncating"
    CLOSED = "closed"


class ClientInput(Enum):
    """What can happen to it: messages received, then the client's own doing."""

    READY = "ready"
    REFUSED = "refused"
    TOKENS = "tokens"
    OUTPUT = "output"
    CREDIT = "credit"
    TRUNCATED = "truncated"
    ABORT = "abort"
    SEND_FORWARD = "send forward"
    SEND_TRUNCATE = "send truncate"
    SEND_CLOSE = "send close"
    FAIL = "fail"


HOST: Mapping[tuple[HostState, HostInput], HostState] = {
    (HostState.OPENING, HostInput.ACCEPT): HostState.OPEN,
    (HostState.OPENING, HostInput.REFUSE): HostState.CLOSED,
    (HostState.OPENING, HostInput.CLOSE): HostState.CLOSED,
    (HostState.OPENING, HostInput.FAIL): HostState.CLOSED,
    (HostState.OPEN, HostInput.FORWARD): HostState.OPEN,
    (HostState.OPEN, HostInput.TRUNCATE): HostState.CUTTING,
    (HostState.OPEN, HostInput.CREDIT): HostState.OPEN,
    (HostState.OPEN, HostInput.DELIVER): HostState.OPEN,
    (HostState.OPEN, HostInput.CLOSE): HostState.CLOSED,
    (HostState.OPEN, HostInput.ABORT): HostState.CLOSED,
    (HostState.OPEN, HostInput.FAIL): HostState.CLOSED,
    (HostState.CUTTING, HostInput.FORWARD): HostState.CUTTING,
    (HostState.CUTTING, HostInput.CREDIT): HostState.CUTTING,
    (HostState.CUTTING, HostInput.CUT_DONE): HostState.OPEN,
    (HostState.CUTTING, HostInput.CLOSE): HostState.CLOSED,
    (HostState.CUTTING, HostInput.ABORT): HostState.CLOSED,
    (HostState.CUTTING, HostInput.FAIL): HostState.CLOSED,
}

CLIENT: Mapping[tuple[ClientState, ClientInput], ClientState] = {
    (ClientState.OPENING, ClientInput.READY): ClientState.READY,
    (ClientState.OPENING, ClientInput.REFUSED): ClientState.CLOSED,
    (ClientState.OPENING, ClientInput.ABORT): ClientState.CLOSED,
    (ClientState.OPENING, ClientInput.SEND_CLOSE): ClientState.CLOSED,
    (ClientState.OPENING, ClientInput.FAIL): ClientState.CLOSED,
    (ClientState.READY, ClientInput.TOKENS): ClientState.READY,
    (ClientState.READY, ClientInput.OUTPUT): ClientState.READY,
    (ClientState.READY, ClientInput.CREDIT): ClientState.READY,
    (ClientState.READY, ClientInput.SEND_FORWARD): ClientState.READY,
    (ClientState.READY, ClientInput.SEND_TRUNCATE): ClientState.TRUNCATING,
    (ClientState.READY, ClientInput.ABORT): ClientState.CLOSED,
    (ClientState.READY, ClientInput.SEND_CLOSE): ClientState.CLOSED,
    (ClientState.READY, ClientInput.FAIL): ClientState.CLOSED,
    (ClientState.TRUNCATING, ClientInput.TOKENS): ClientState.TRUNCATING,
    (ClientState.TRUNCATING, ClientInput.OUTPUT): ClientState.TRUNCATING,
    (ClientState.TRUNCATING, ClientInput.CREDIT): ClientState.TRUNCATING,
    (ClientState.TRUNCATING, ClientInput.TRUNCATED): ClientState.READY,
    (ClientState.TRUNCATING, ClientInput.ABORT): ClientState.CLOSED,
    (ClientState.TRUNCATING, ClientInput.SEND_CLOSE): ClientState.CLOSED,
    (ClientState.TRUNCATING, ClientInput.FAIL): ClientState.CLOSED,
}
