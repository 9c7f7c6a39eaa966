"""How a prompt is cut into steps. Pure.

Between machines, small chunks let the hops work at the same time: with n chunks over s equal stages a prefill takes
(n + s - 1) / (n s) of the unsplit time. On one machine the stages share its cores, so there is nothing to overlap, and
every chunk reads all weights again: there, chunks are as large as a message should be.
"""

from __future__ import annotations

import ipaddress
from typing import Final

from chat.route import Route
from wire import limits

PIPELINED_TOKENS: Final = 128
"""Small enough to overlap over a few hops, large enough for the matrix kernels."""
MAX_CHUNK_BYTES: Final = 1 << 20
"""No message should hold up another session's for longer than this takes on a thin link."""


def chunk_tokens(route: Route, hidden_size: int) -> int:
    """Return the tokens of one prefill step over `route`, of hidden states `hidden_size` wide."""
    widest = max((hop.dtype.size for hop in route.hops), default=4)
    fits = max(1, MAX_CHUNK_BYTES // (hidden_size * widest))
    if route.sees_tokens:
        fits = min(fits, limits.MAX_STEP_TOKENS)
    shared = all(ipaddress.ip_address(hop.address.ip).is_loopback for hop in route.hops)
    return fits if shared else min(fits, PIPELINED_TOKENS)
