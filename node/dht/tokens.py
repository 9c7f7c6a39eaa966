"""Write tokens, as in BitTorrent (BEP 5): who shows one receives datagrams at the address it was made for.

A token is a keyed digest of the address under a secret that changes every `TOKEN_LIFE_S` and is kept for
another, so that nothing is remembered of those who were given one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from wire import limits
from wire.types import Address

_SECRET_BYTES = 16


class WriteTokens:
    """The tokens of one node."""

    def __init__(self, random: Callable[[int], bytes], now: float) -> None:
        """`random` gives that many random bytes; `now` is monotonic time in seconds."""
        self._random = random
        self._secrets = (random(_SECRET_BYTES), random(_SECRET_BYTES))
        """The present one and the one before it."""
        self._changed_at = now

    def make(self, address: Address, now: float) -> bytes:
        """The token of an address."""
        self._change(now)
        return _token(self._secrets[0], address)

    def check(self, token: bytes, address: Address, now: float) -> bool:
        """Whether an address was given this token lately."""
        self._change(now)
        return any(hmac.compare_digest(token, _token(secret, address)) for secret in self._secrets)

    def _change(self, now: float) -> None:
        periods = int((now - self._changed_at) // limits.TOKEN_LIFE_S)
        for _ in range(min(periods, len(self._secrets))):
            self._secrets = (self._random(_SECRET_BYTES), self._secrets[0])
        self._changed_at += max(0, periods) * limits.TOKEN_LIFE_S


def _token(secret: bytes, address: Address) -> bytes:
    return hashlib.blake2b(str(address).encode(), key=secret, digest_size=limits.TOKEN_BYTES).digest()
