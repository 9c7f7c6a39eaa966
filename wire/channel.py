"""The encrypted records between two peers who know each other: ciphers at work on frames, in both directions.

Each direction changes its key after every `REKEY_MESSAGES` Noise messages, by count, so both sides do so at the same
record. Not here: what a message means, and when a slow or silent peer is given up. Spec: `specs/wire.md` §Framing.
"""

from __future__ import annotations

from typing import Final

from crypto.digest import Buffer
from crypto.errors import CipherError
from crypto.noise.handshake import TransportKeys
from wire import limits
from wire.errors import BadFrame
from wire.frames import (
    LENGTH_BYTES,
    MAX_FRAGMENT_BYTES,
    RECORD_OVERHEAD_BYTES,
    TAG_BYTES,
    Assembler,
    Frame,
    Lane,
)
from wire.lanes import Outbox

LEAST_RECORD_BYTES: Final = 1 + 1 + TAG_BYTES
"""A lane and one byte: records that carry nothing would be free to send and cost us a decryption."""
_LEAST_ROOM_BYTES: Final = 4_096
"""At the end of a limited batch, no record is begun for less room than this."""


class Channel:
    """Seals what an outbox holds, opens what a peer sealed."""

    def __init__(self, keys: TransportKeys) -> None:
        self.lanes = tuple(Assembler() for _ in Lane)
        self._send = keys.send
        self._receive = keys.receive
        # One record's plaintext, in either direction; it is copied out before anything else can need it.
        self._plaintext = memoryview(bytearray(limits.MAX_RECORD_PLAINTEXT_BYTES))

    def open(self, record: memoryview) -> tuple[int, list[Frame]]:
        """Return a record's lane and the messages it completes.

        Raises:
            BadFrame: altered, repeated, reordered, or not a fragment of a lane. The channel is dead then.
        """
        plaintext = self._plaintext
        try:
            size = self._receive.decrypt_into(record, plaintext)
        except CipherError as error:
            raise BadFrame("a record does not authenticate") from error
        if not self._receive.nonce % limits.REKEY_MESSAGES:
            self._receive.rekey()
        lane = plaintext[0]
        if lane >= len(self.lanes):
            raise BadFrame(f"lane {lane} does not exist")
        return lane, self.lanes[lane].feed(plaintext[1:size])

    def seal(self, outbox: Outbox, limit: int | None) -> Buffer:
        """Return the next records in one fresh buffer: all that waits, or about `limit` bytes of it."""
        pending = outbox.pending_bytes
        # Lanes fill their records but for the last of each turn, so this is never too little.
        room = pending + RECORD_OVERHEAD_BYTES * (2 + 2 * (pending // MAX_FRAGMENT_BYTES))
        if limit is not None:
            room = min(room, max(limit, _LEAST_ROOM_BYTES))
        out = memoryview(bytearray(room))
        at = 0
        while pending and room - at >= min(_LEAST_ROOM_BYTES, pending + RECORD_OVERHEAD_BYTES):
            at = self._seal_record(outbox, out, at)
            pending = outbox.pending_bytes
        return out[:at]

    def _seal_record(self, outbox: Outbox, out: memoryview, at: int) -> int:
        """Write the next record to `out[at:]`; return where it ends."""
        most = len(out) - at - LENGTH_BYTES - TAG_BYTES
        size = outbox.fill(self._plaintext[:most])
        start = at + LENGTH_BYTES
        end = start + size + TAG_BYTES
        out[at] = (size + TAG_BYTES) >> 8
        out[at + 1] = (size + TAG_BYTES) & 0xFF
        self._send.encrypt_into(self._plaintext[:size], out[start:end])
        if not self._send.nonce % limits.REKEY_MESSAGES:
            self._send.rekey()
        return end
