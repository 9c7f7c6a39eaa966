"""Fuzz target: any bytes are a record that encodes to the same bytes, or `BadMessage`."""

from __future__ import annotations

from scripts.make_record_vectors import HOST, ISSUED, NETWORK, RECORDS
from wire.errors import BadMessage
from wire.records import parse_record, read_record, sign_record

SEEDS = tuple(sign_record(record, HOST, NETWORK) for _, record in RECORDS)
"""Every kind of record."""


def fuzz(data: bytes) -> None:
    """Read with and without the signature; what is read says the same when it is signed anew."""
    try:
        record = parse_record(data)
    except BadMessage:
        return
    if record.host == HOST.public_key:
        assert sign_record(record, HOST, NETWORK)[:-64] == data[:-64]
    try:
        assert read_record(data, network=NETWORK, now=ISSUED) == record
    except BadMessage:
        assert data not in SEEDS
