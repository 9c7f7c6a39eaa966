"""The fixed vectors of the DHT's records and datagrams, for `scripts.make_vectors`, which writes and checks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from crypto.digest import sha256
from crypto.identity import Identity, PeerId
from wire import limits
from wire.datagrams import write_answer, write_knock, write_request
from wire.dht_messages import (
    Answer,
    Find,
    Found,
    Help,
    Outcome,
    Ping,
    Pong,
    Probe,
    Probed,
    Reach,
    Reaching,
    Request,
    Store,
    Stored,
)
from wire.endpoints import NodeContact, NodeId, network_tag, node_id_of
from wire.records import (
    IndexRecord,
    Lifetime,
    Record,
    RecordState,
    Relay,
    SliceRecord,
    position,
    sign_record,
)
from wire.tensors import DType, WeightFormat
from wire.types import Address, LayerRange, ModelId

NETWORK: Final = "main"
ISSUED: Final = 1_800_000_000
HOST: Final = Identity.from_seed(sha256(b"lamella vector: dht host"))
MODEL: Final = ModelId(sha256(b"lamella vector: manifest"))
V4: Final = Address("203.0.113.7", 7311)
V6: Final = Address("2001:db8::7", 7311)
LIFE: Final = Lifetime(sequence=ISSUED * 1_000_000, issued=ISSUED, expires=ISSUED + limits.RECORD_TTL_SECONDS)

SLICE: Final = SliceRecord(
    model=MODEL,
    host=HOST.public_key,
    layers=LayerRange(12, 24),
    head=True,
    num_layers=24,
    addresses=(V4, V6),
    lifetime=LIFE,
    dtype=DType.BFLOAT16,
    weights=WeightFormat.INT8,
    max_positions=32_768,
    free_kv_bytes=6 << 30,
    sessions=3,
    step_us=8_200,
)
RECORDS: Final[tuple[tuple[str, Record], ...]] = (
    ("slice", SLICE),
    ("slice of a block", replace(SLICE, shard=2, slot=1)),
    (
        "slice behind a relay",
        replace(SLICE, addresses=(), relays=(Relay(PeerId(sha256(b"lamella vector: relay")), V4),)),
    ),
    ("withdrawn slice", replace(SLICE, addresses=(), state=RecordState.WITHDRAWN)),
    (
        "index",
        IndexRecord(model=MODEL, host=HOST.public_key, name="org/größe", num_layers=24, lifetime=LIFE),
    ),
)
NODE: Final = node_id_of(HOST.public_key)
TOKEN: Final = bytes(range(limits.TOKEN_BYTES))
NONCE: Final = bytes(range(16, 16 + limits.TRANSACTION_BYTES))
TRANSACTION: Final = bytes(range(32, 32 + limits.TRANSACTION_BYTES))
OTHER: Final = NodeContact(NodeId(bytes(range(limits.NODE_ID_BYTES))), V6)

REQUESTS: Final[tuple[Request, ...]] = (
    Ping(sender=NODE, serves=False),
    Find(sender=NODE, serves=True, key=SLICE.key(NETWORK), cursor=(1 << 64) - 1, v6=False),
    Store(sender=NODE, serves=True, token=TOKEN, record=sign_record(SLICE, HOST, NETWORK)),
    Reach(sender=NODE, serves=False, token=TOKEN, nonce=NONCE),
    Probe(sender=NODE, serves=True, token=TOKEN, target=V6, nonce=NONCE),
)
ANSWERS: Final[tuple[Answer, ...]] = (
    Pong(observed=V4, token=TOKEN),
    Found(
        observed=V4,
        token=TOKEN,
        total=3,
        next=1 << 40,
        contacts=(OTHER, NodeContact(NODE, V4)),
        records=tuple(sign_record(record, HOST, NETWORK) for _, record in RECORDS[:2]),
    ),
    Stored(observed=V4, outcome=Outcome.UNTIMELY, time=ISSUED),
    Reaching(observed=V6, help=Help.ANOTHER),
    Probed(observed=V6, done=True),
)


def records() -> object:
    """Return records with their bytes, and bytes that are refused."""
    good = sign_record(SLICE, HOST, NETWORK)
    refused = (
        ("signature of another byte", good[:-1] + bytes((good[-1] ^ 1,)), NETWORK, ISSUED),
        ("another network", good, "other", ISSUED),
        ("expired", good, NETWORK, ISSUED + limits.RECORD_TTL_SECONDS),
        ("in the future", good, NETWORK, ISSUED - limits.RECORD_SKEW_SECONDS - 1),
        ("not canonical", b"\x98" + bytes((good[0] & 0x1F,)) + good[1:], NETWORK, ISSUED),
        ("signature alone", good[-64:], NETWORK, ISSUED),
        ("cut short", good[:-65] + good[-64:], NETWORK, ISSUED),
    )
    return {
        "comment": "Byte strings are hexadecimal; position is a 64-bit number in hexadecimal; now is Unix time in s.",
        "host_seed": sha256(b"lamella vector: dht host").hex(),
        "records": [
            {
                "name": name,
                "network": NETWORK,
                "now": ISSUED + 1,
                "bytes": sign_record(record, HOST, NETWORK).hex(),
                "key": record.key(NETWORK).raw.hex(),
                "peer": record.peer.raw.hex(),
                "position": f"{position(record):016x}",
            }
            for name, record in RECORDS
        ],
        "refused": [
            {"name": name, "network": network, "now": now, "bytes": data.hex()}
            for name, data, network, now in refused
        ],
    }


def datagrams() -> object:
    """Return each kind of datagram with its bytes."""
    tag = network_tag(NETWORK)
    made = [(type(one).__name__, write_request(one, tag=tag, transaction=TRANSACTION)) for one in REQUESTS]
    made.append(("Knock", write_knock(tag=tag, nonce=NONCE)))
    made += [
        (type(one).__name__, write_answer(one, HOST, tag=tag, transaction=TRANSACTION)) for one in ANSWERS
    ]
    return {
        "comment": "All byte strings are hexadecimal. The node asking and the one answering are the same.",
        "seed": sha256(b"lamella vector: dht host").hex(),
        "network": NETWORK,
        "tag": tag.hex(),
        "node": NODE.raw.hex(),
        "transaction": TRANSACTION.hex(),
        "datagrams": [{"name": name.lower(), "bytes": data.hex()} for name, data in made],
    }


FILES: Mapping[str, Callable[[], object]] = {"records.json": records, "datagrams.json": datagrams}
