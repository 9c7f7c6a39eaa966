"""What a record says of itself, read from its first bytes before anything is decoded. Spec: `specs/dht.md` §Records.

A record's encoding is canonical, so what decides about it stands where it can be found without a decoder: whose it is,
where it belongs, when it counts and what it replaces. That is enough to refuse most of what is hostile for a few
microseconds. A claim is believed of nobody: `wire.records` checks the signature and the whole form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from crypto.digest import framed, label, sha256
from crypto.identity import SIGNATURE_BYTES
from wire import limits
from wire.endpoints import NodeId
from wire.errors import BadMessage

KEY_CONTEXT: Final = "lamella-dht-key/1"
SLICE: Final = 1
INDEX: Final = 2
SLICE_VALUES: Final = 22
INDEX_VALUES: Final = 9
"""How many values the array of each kind has."""
_DIGEST: Final = bytes((0x58, limits.DIGEST_BYTES))
"""The head of 32 bytes: of the model id, and of the host's key."""
_STARTS: Final = {
    bytes((0x80 | SLICE_VALUES, SLICE)) + _DIGEST: SLICE,
    bytes((0x80 | INDEX_VALUES, INDEX)) + _DIGEST: INDEX,
}
_MODEL_AT: Final = 2 + len(_DIGEST)
_HOST_HEAD_AT: Final = _MODEL_AT + limits.DIGEST_BYTES
_HOST_AT: Final = _HOST_HEAD_AT + len(_DIGEST)
_NUMBERS_AT: Final = _HOST_AT + limits.DIGEST_BYTES
_NUMBERS: Final = {SLICE: 6, INDEX: 4}
"""Sequence, issued, expires, state; of a slice also shard and slot."""
_WIDTHS: Final = {0x18: 1, 0x19: 2, 0x1A: 4, 0x1B: 8}
"""How many bytes an unsigned integer has after its head, unless the head holds it."""
_INLINE: Final = 0x18
_INDEX_BITS: Final = 6
"""What is cut off the model id's first byte, so that two bits are left."""
_REMEMBERED_KEYS: Final = 4_096
"""Keys made lately: the records of one model have the same."""


@dataclass(slots=True)
class Claim:
    """Whose a record says it is, where it belongs, and when. Not frozen: one is made for every record that arrives."""

    kind: int
    """`SLICE` or `INDEX`."""
    model: bytes
    host: bytes
    """The host's Ed25519 public key."""
    sequence: int
    issued: int
    expires: int
    """Both in Unix seconds, in no bounds yet."""
    shard: int = 0
    slot: int = 0

    @property
    def place(self) -> bytes:
        """What it shares with the records that it replaces. Raises `BadMessage` for a slot that no record can have."""
        if self.kind == INDEX:
            return b"index" + self.host + self.model
        if self.slot >= limits.MAX_SLICES_PER_PEER:
            raise BadMessage("the slot is out of bounds")
        return b"slice" + self.host + bytes((self.slot,))

    def key(self, network: str) -> NodeId:
        """Where it belongs. Raises `BadMessage` for a shard that no model has."""
        if self.kind == INDEX:
            return index_part_key(network, index_part(self.model))
        if self.shard > limits.MAX_LAYERS:
            raise BadMessage("the shard is out of bounds")
        return shard_key(network, self.model, self.shard)


def read_claim(data: bytes) -> Claim:
    """Read how a record begins; of what follows nothing is known. Raises `BadMessage`."""
    # The signature is longer than all the numbers together: reading them never leaves the data.
    if type(data) is not bytes or not _NUMBERS_AT + SIGNATURE_BYTES < len(data) <= limits.MAX_RECORD_BYTES:
        raise BadMessage(f"a record is an array and a signature, at most {limits.MAX_RECORD_BYTES} bytes")
    kind = _STARTS.get(data[:_MODEL_AT])
    if kind is None or data[_HOST_HEAD_AT:_HOST_AT] != _DIGEST:
        raise BadMessage("a record of an unknown kind or length, or not in canonical form")
    numbers: list[int] = []
    at = _NUMBERS_AT
    for _ in range(_NUMBERS[kind]):
        first = data[at]
        at += 1
        if first >= _INLINE:
            width = _WIDTHS.get(first)
            if width is None:
                raise BadMessage("a record's times and places are unsigned integers")
            first = int.from_bytes(data[at : at + width], "big")
            at += width
        numbers.append(first)
    model, host = data[_MODEL_AT:_HOST_HEAD_AT], data[_HOST_AT:_NUMBERS_AT]
    # The state, the fourth number, does not decide where a record goes.
    return Claim(kind, model, host, *numbers[:3], *numbers[4:])


def index_part(model: bytes) -> int:
    """Which part of the index names the model with this id."""
    return model[0] >> _INDEX_BITS


@lru_cache(maxsize=_REMEMBERED_KEYS)
def shard_key(network: str, model: bytes, shard: int) -> NodeId:
    """The key of one shard of a model."""
    return _key(network, b"slice", model, shard.to_bytes(2, "big"))


@lru_cache(maxsize=_REMEMBERED_KEYS)
def index_part_key(network: str, part: int) -> NodeId:
    """The key of one part of the index of models."""
    return _key(network, b"index", part.to_bytes(2, "big"))


def _key(network: str, *parts: bytes) -> NodeId:
    return NodeId(sha256(framed(label(KEY_CONTEXT), label(network), *parts))[: limits.NODE_ID_BYTES])
