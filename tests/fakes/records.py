"""Records and identities for tests of the DHT."""

from __future__ import annotations

from dataclasses import replace

from crypto.digest import sha256
from crypto.identity import Identity
from wire.records import IndexRecord, Lifetime, Record, RecordState, SliceRecord, sign_record
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

NETWORK = "main"
NOW = 1_700_000_000
MODEL = ModelId(sha256(b"a model"))


def identity(number: int) -> Identity:
    """The same identity for the same number."""
    return Identity.from_seed(sha256(b"dht test", number.to_bytes(8, "big")))


def lifetime(*, sequence: int = 1, issued: int = NOW, ttl_s: int = 600) -> Lifetime:
    return Lifetime(sequence=sequence, issued=issued, expires=issued + ttl_s)


def slice_record(host: Identity, /, **changes: object) -> SliceRecord:
    """A slice of `MODEL`, layers 0:4 of 8."""
    record = SliceRecord(
        model=MODEL,
        host=host.public_key,
        layers=LayerRange(0, 4),
        head=False,
        num_layers=8,
        addresses=(Address("203.0.113.7", 7311),),
        lifetime=lifetime(),
        dtype=DType.BFLOAT16,
        max_positions=4096,
        free_kv_bytes=1 << 30,
        sessions=2,
        step_us=1500,
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # the caller names fields of the record


def index_record(host: Identity, /, **changes: object) -> IndexRecord:
    record = IndexRecord(
        model=MODEL, host=host.public_key, name="tiny/model", num_layers=8, lifetime=lifetime()
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # the caller names fields of the record


def withdrawn(record: SliceRecord, **changes: object) -> SliceRecord:
    changes = {"state": RecordState.WITHDRAWN, "addresses": (), "relays": (), **changes}
    return replace(record, **changes)  # type: ignore[arg-type]  # the caller names fields of the record


def signed(number: int, record: Record | None = None, **changes: object) -> bytes:
    """The bytes of a record of the host with this number."""
    host = identity(number)
    return sign_record(record or slice_record(host, **changes), host, NETWORK)
