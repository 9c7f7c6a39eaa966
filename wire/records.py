"""What hosts publish in the DHT: signed records of slices, and of which models exist. Spec: `specs/dht.md` §Records.

A record is the canonical CBOR of an array, followed by the host's Ed25519 signature of the network's name and those
bytes. Under which key it is stored follows from what it says, so it cannot be stored under another's. Time is an
argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from crypto.digest import framed, label, sha256
from crypto.errors import BadSignature
from crypto.identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, PeerId, peer_id_of, verify
from wire import limits
from wire.cbor import canonical, loads
from wire.claims import (
    INDEX,
    INDEX_VALUES,
    SLICE,
    SLICE_VALUES,
    Claim,
    index_part,
    index_part_key,
    read_claim,
    shard_key,
)
from wire.endpoints import NodeId, pack_address, unpack_address
from wire.errors import BadMessage, InvalidValue
from wire.fields import DTYPE, WEIGHTS, Bool, UInt
from wire.tensors import DType, WeightFormat
from wire.types import Address, LayerRange, ModelId

CONTEXT: Final = "lamella-dht-record/1"
WHOLE_MODEL: Final = 0
"""The shard that all hosts of a model announce under, as long as it has room."""
_MAX_TIME: Final = 1 << 48
_MAX_SHARDS: Final = 1 + limits.MAX_LAYERS // limits.SHARD_LAYERS


class Untimely(BadMessage):
    """A record that has expired, or is not issued yet: its writer's clock or the reader's is wrong, or it is old."""


class Forged(BadMessage):
    """A record or answer whose signature is not that of the key it names, for this network."""


class RecordState(Enum):
    """Whether what a record says is on offer."""

    SERVING = 0
    WITHDRAWN = 1
    """The host has taken it back; the record stands in the place of the one before it until both have expired."""


@dataclass(frozen=True, slots=True)
class Relay:
    """A peer that carries links for the host, and where it takes them."""

    peer: PeerId
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """When a record was made and how long it counts."""

    sequence: int
    """Of two records of one place the higher counts; hosts take the time of issue in microseconds."""
    issued: int
    """Unix time in seconds."""
    expires: int
    """Unix time in seconds, after `issued` by `MAX_RECORD_TTL_SECONDS` at most."""

    def __post_init__(self) -> None:
        if not 0 <= self.sequence < 1 << 63:
            raise InvalidValue("a sequence is an unsigned 63-bit integer")
        if not 0 <= self.issued < self.expires <= self.issued + limits.MAX_RECORD_TTL_SECONDS:
            raise InvalidValue(f"a record lives for 1 to {limits.MAX_RECORD_TTL_SECONDS} s")

    def check(self, now: float) -> None:
        """Raise `Untimely` unless a record of these times counts at `now`, Unix time in seconds."""
        if self.issued > now + limits.RECORD_SKEW_SECONDS:
            raise Untimely(f"a record issued {self.issued - now:.0f} s in the future")
        if self.expires <= now:
            raise Untimely(f"a record that expired {now - self.expires:.0f} s ago")


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRecord:
    """One slice of one host, under one shard of its model."""

    model: ModelId
    host: bytes
    """The host's Ed25519 public key."""
    shard: int = WHOLE_MODEL
    """0 for the whole model, n for its layers from 16 (n - 1) to 16 n."""
    slot: int = 0
    """Which of the host's slices this is: records of one host, key and slot replace each other."""
    layers: LayerRange
    head: bool
    num_layers: int
    tokens_until: int = 0
    addresses: tuple[Address, ...] = ()
    """Where the host takes links; proven, and none when it can be reached by relays alone."""
    relays: tuple[Relay, ...] = ()
    lifetime: Lifetime
    dtype: DType
    weights: WeightFormat = WeightFormat.NATIVE
    max_positions: int = 0
    free_kv_bytes: int = 0
    sessions: int = 0
    step_us: int = 0
    state: RecordState = RecordState.SERVING
    peer: PeerId = field(init=False, repr=False, compare=False)
    """The host's peer id, made from its key."""

    def __post_init__(self) -> None:
        if len(self.host) != PUBLIC_KEY_BYTES:
            raise InvalidValue("a host is named by its public key of 32 bytes")
        if not (0 <= self.shard < _MAX_SHARDS and 0 <= self.slot < limits.MAX_SLICES_PER_PEER):
            raise InvalidValue("the shard or the slot is out of bounds")
        if not self.layers.end <= self.num_layers <= limits.MAX_LAYERS or self.tokens_until > self.num_layers:
            raise InvalidValue("the slice is not within its model")
        if not (len(self.layers) or self.head):
            raise InvalidValue("a slice has layers or the head")
        if self.shard and self.shard not in block_shards(self.layers):
            raise InvalidValue("the slice has no layer of this shard")
        ways = len(self.addresses) + len(self.relays)
        if ways > limits.MAX_RECORD_ADDRESSES or len(self.relays) > limits.MAX_RECORD_RELAYS:
            raise InvalidValue("too many addresses or relays for one record")
        if bool(self.addresses or self.relays) is (self.state is RecordState.WITHDRAWN):
            raise InvalidValue("a record has an address or a relay, and a withdrawn one neither")
        object.__setattr__(self, "peer", peer_id_of(self.host))

    @property
    def place(self) -> bytes:
        """What this record and those that replace it have in common, and no other under its key."""
        return b"slice" + self.host + bytes((self.slot,))

    def key(self, network: str) -> NodeId:
        """Where in the DHT it is stored."""
        return slice_key(network, self.model, self.shard)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRecord:
    """That a model exists: one host's word, by which models can be listed."""

    model: ModelId
    host: bytes
    """The host's Ed25519 public key."""
    name: str
    """What the host calls the model; for people, never for decisions."""
    num_layers: int
    lifetime: Lifetime
    state: RecordState = RecordState.SERVING
    peer: PeerId = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.host) != PUBLIC_KEY_BYTES:
            raise InvalidValue("a host is named by its public key of 32 bytes")
        if not 1 <= self.num_layers <= limits.MAX_LAYERS:
            raise InvalidValue(f"a model has 1 to {limits.MAX_LAYERS} layers")
        _check_name(self.name)
        object.__setattr__(self, "peer", peer_id_of(self.host))

    @property
    def place(self) -> bytes:
        """What this record and those that replace it have in common, and no other under its key."""
        return b"index" + self.host + self.model.digest

    def key(self, network: str) -> NodeId:
        """Where in the DHT it is stored."""
        return index_key(network, index_shard(self.model))


Record = SliceRecord | IndexRecord


def slice_key(network: str, model: ModelId, shard: int) -> NodeId:
    """The key of one shard of a model."""
    return shard_key(network, model.digest, shard)


def index_key(network: str, shard: int) -> NodeId:
    """The key of one part of the index of models."""
    return index_part_key(network, shard)


def index_shard(model: ModelId) -> int:
    """Which part of the index names a model."""
    return index_part(model.digest)


def block_shards(layers: LayerRange) -> tuple[int, ...]:
    """The shards, beside that of the whole model, that a slice of a popular model is announced under.

    A slice that is the head alone goes with the layer before it.
    """
    first = min(layers.start, max(layers.end - 1, 0))
    last = max(layers.end - 1, 0)
    return tuple(1 + block for block in range(first // limits.SHARD_LAYERS, last // limits.SHARD_LAYERS + 1))


def position(record: Record) -> int:
    """Where a record stands in the ring of its key's records, by which answers are cut into pages: 64 bits."""
    return int.from_bytes(sha256(record.place)[:8], "big")


def sign_record(record: Record, identity: Identity, network: str) -> bytes:
    """Return a record's bytes with the signature of its host.

    Raises:
        InvalidValue: the identity is not the record's host, or the record is too long.
    """
    if identity.public_key != record.host:
        raise InvalidValue("a record is signed by the host it names")
    body = _encode(record)
    if len(body) + SIGNATURE_BYTES > limits.MAX_RECORD_BYTES:
        raise InvalidValue(f"a record has at most {limits.MAX_RECORD_BYTES} bytes")
    return body + identity.sign(CONTEXT, framed(label(network), body))


def claim_of(record: Record) -> Claim:
    """What a record's first bytes say."""
    life = record.lifetime
    times = (life.sequence, life.issued, life.expires)
    if isinstance(record, IndexRecord):
        return Claim(INDEX, record.model.digest, record.host, *times)
    return Claim(SLICE, record.model.digest, record.host, *times, record.shard, record.slot)


def check_times(claim: Claim, now: float) -> None:
    """Raise `Untimely` unless what a record claims counts at `now`, Unix time in seconds.

    Raises `BadMessage` for a life that no record can have.
    """
    try:
        life = Lifetime(sequence=claim.sequence, issued=claim.issued, expires=claim.expires)
    except InvalidValue as error:
        raise BadMessage(str(error)) from error
    life.check(now)


def read_record(data: bytes, *, network: str, now: float) -> Record:
    """Read the bytes of a record that counts at `now`, Unix time in seconds.

    What is cheap to check is checked first, and nothing is decoded that its host has not signed.

    Raises:
        Untimely: it has expired, or its issue lies in the future.
        Forged: it is not signed for this network by the host it names.
        BadMessage: it is not a record, whoever signed it.
    """
    claim = read_claim(data)
    check_times(claim, now)
    body, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
    try:
        verify(claim.host, CONTEXT, framed(label(network), body), signature)
    except BadSignature as error:
        raise Forged("a record that its host has not signed for this network") from error
    return parse_record(data)


def parse_record(data: bytes) -> Record:
    """Read what a record says, its signature and its times unchecked. Raises `BadMessage`."""
    if type(data) is not bytes or not SIGNATURE_BYTES < len(data) <= limits.MAX_RECORD_BYTES:
        raise BadMessage(f"a record has at most {limits.MAX_RECORD_BYTES} bytes")
    body = data[:-SIGNATURE_BYTES]
    raw = loads(body, max_bytes=limits.MAX_RECORD_BYTES)
    if type(raw) is not list or not raw or type(raw[0]) is not int:
        raise BadMessage("a record is an array that begins with its kind")
    read = _READERS.get(raw[0])
    if read is None or len(raw) != _LENGTHS[raw[0]]:
        raise BadMessage(f"a record of an unknown kind ({raw[0]}) or length")
    try:
        record = read(raw)
    except InvalidValue as error:
        raise BadMessage(str(error)) from error
    if _encode(record) != body:
        raise BadMessage("the record is not in canonical form")
    return record


def _encode(record: Record) -> bytes:
    life = record.lifetime
    head = [record.model.digest, record.host]
    times = [life.sequence, life.issued, life.expires, record.state.value]
    if isinstance(record, IndexRecord):
        return canonical([INDEX, *head, *times, record.name, record.num_layers])
    return canonical(
        [
            SLICE,
            *head,
            *times,
            record.shard,
            record.slot,
            record.layers.start,
            record.layers.end,
            record.head,
            record.num_layers,
            record.tokens_until,
            [pack_address(one) for one in record.addresses],
            [[one.peer.raw, pack_address(one.address)] for one in record.relays],
            record.dtype.value,
            record.weights.value,
            record.max_positions,
            record.free_kv_bytes,
            record.sessions,
            record.step_us,
        ]
    )


def _slice(raw: Sequence[Any]) -> SliceRecord:
    layer = UInt(limits.MAX_LAYERS).decode
    return SliceRecord(
        model=ModelId(_bytes(raw[1], limits.DIGEST_BYTES)),
        host=_bytes(raw[2], PUBLIC_KEY_BYTES),
        lifetime=_lifetime(raw),
        state=_state(raw[6]),
        shard=UInt(_MAX_SHARDS).decode(raw[7]),
        slot=UInt(limits.MAX_SLICES_PER_PEER).decode(raw[8]),
        layers=LayerRange(layer(raw[9]), layer(raw[10])),
        head=Bool().decode(raw[11]),
        num_layers=layer(raw[12]),
        tokens_until=layer(raw[13]),
        addresses=tuple(unpack_address(one) for one in _list(raw[14], limits.MAX_RECORD_ADDRESSES)),
        relays=tuple(_relay(one) for one in _list(raw[15], limits.MAX_RECORD_RELAYS)),
        dtype=DTYPE.decode(raw[16]),
        weights=WEIGHTS.decode(raw[17]),
        max_positions=UInt(limits.MAX_POSITIONS).decode(raw[18]),
        free_kv_bytes=UInt(_MAX_TIME).decode(raw[19]),
        sessions=UInt(65_535).decode(raw[20]),
        step_us=UInt(limits.MAX_STEP).decode(raw[21]),
    )


def _index(raw: Sequence[Any]) -> IndexRecord:
    if type(raw[7]) is not str:
        raise BadMessage("expected a model's name")
    return IndexRecord(
        model=ModelId(_bytes(raw[1], limits.DIGEST_BYTES)),
        host=_bytes(raw[2], PUBLIC_KEY_BYTES),
        lifetime=_lifetime(raw),
        state=_state(raw[6]),
        name=raw[7],
        num_layers=UInt(limits.MAX_LAYERS).decode(raw[8]),
    )


_READERS: Final[dict[int, Callable[[Sequence[Any]], Record]]] = {SLICE: _slice, INDEX: _index}
_LENGTHS: Final = {SLICE: SLICE_VALUES, INDEX: INDEX_VALUES}


def _lifetime(raw: Sequence[Any]) -> Lifetime:
    time = UInt(_MAX_TIME).decode
    return Lifetime(sequence=UInt((1 << 63) - 1).decode(raw[3]), issued=time(raw[4]), expires=time(raw[5]))


def _state(raw: object) -> RecordState:
    return RecordState(UInt(len(RecordState) - 1).decode(raw))


def _relay(raw: object) -> Relay:
    peer, address = _list(raw, 2, least=2)
    return Relay(PeerId(_bytes(peer, limits.DIGEST_BYTES)), unpack_address(address))


def _bytes(raw: object, size: int) -> bytes:
    if type(raw) is not bytes or len(raw) != size:
        raise BadMessage(f"expected {size} bytes")
    return raw


def _list(raw: Any, most: int, *, least: int = 0) -> list[Any]:
    if type(raw) is not list or not least <= len(raw) <= most:
        raise BadMessage(f"expected an array of {least} to {most} entries")
    return raw


def _check_name(name: str) -> None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidValue("a model's name is valid Unicode text") from error
    if not 0 < size <= limits.MAX_RECORD_NAME_BYTES or not name.isprintable():
        raise InvalidValue(f"a model's name is 1 to {limits.MAX_RECORD_NAME_BYTES} bytes of printable text")
