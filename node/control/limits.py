"""Bounds of the control socket. Spec: `specs/control.md`, whose table is made from this file."""

from __future__ import annotations

from typing import Final

VERSION: Final = 1
"""The version of the protocol that is spoken here, in every line."""
MAX_REQUEST_BYTES: Final = 16 * 1024
"""Security limit: a line to the host, its newline included; the longest argument is a path."""
MAX_ANSWER_BYTES: Final = 1024 * 1024
"""A line from the host; some 2,000 sessions or log records of the greatest length fit."""
MAX_UNREAD_BYTES: Final = 2 * 1024 * 1024
"""Security limit: answers kept for a client that does not read them; past it the client is dropped."""
MAX_CLIENTS: Final = 16
"""Security limit: connections at once; a person has a few terminals, a monitor and a chat."""
MAX_REQUESTS: Final = 8
"""Security limit: requests of one connection at once."""
MAX_MALFORMED: Final = 32
"""Security limit: lines of one connection that are no requests; past it the connection ends."""
MAX_WHOLE: Final = (1 << 53) - 1
"""The greatest whole number, ids of requests too: what every JSON reader keeps exactly."""
MAX_MODEL_CHARS: Final = 4096
"""The longest name of a model, which may be a path."""
MAX_SLICE_CHARS: Final = 160
"""The longest name of a slice."""
MAX_GRACE_S: Final = 24 * 3600.0
"""The longest grace that can be asked for."""
MAX_LOG_RECORDS: Final = 10_000
"""The most past log records that can be asked for."""
MAX_LOG_CHARS: Final = 4096
"""What of a log record's message is sent; the rest of a longer one is cut off."""
STALL_S: Final = 10.0
"""A client that reads nothing for so long while answers wait is dropped."""
IDLE_S: Final = 600.0
"""A connection without a request under way ends after this time without a line."""
HALF_CLOSED_S: Final = 1.0
"""How long requests go on after their client has ended its side; then they are cancelled."""
CLOSE_S: Final = 5.0
"""How long cancelled requests may take to tidy up before their connection is closed all the same."""
CONNECT_S: Final = 5.0
"""How long a client tries to connect."""
ANSWER_S: Final = 10.0
"""How long a client waits for the answer to a request that is not a long one."""
CANCEL_S: Final = 2.0
"""How long a client waits for a cancelled request to be answered."""
