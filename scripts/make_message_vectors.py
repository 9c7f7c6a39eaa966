"""The fixed vectors of messages and manifests, for `scripts.make_vectors`, which writes and checks them.

A message's vector holds its fields as they stand in the CBOR header, byte strings as `{"hex": ...}`, then the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crypto.digest import sha256
from crypto.identity import Identity, PeerId
from scripts.reach_vectors import REACH_MESSAGES
from wire import codec, limits
from wire.cbor import dumps
from wire.codes import Code
from wire.errors import BadMessage
from wire.messages.base import Message
from wire.messages.forward import Alternative, Credit, Forward, HopTime, Output, Phase, Tokens
from wire.messages.hosting import Describe, Hosting, Offer
from wire.messages.link import Ack, Goodbye, Hello, Ping, Pong, Unsupported
from wire.messages.peers import Introduce, KnownPeer, Peers
from wire.messages.session import (
    Abort,
    Close,
    Delivery,
    Open,
    Ready,
    Refused,
    Truncate,
    Truncated,
)
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId, Sampling, SessionId


def _bytes(name: str) -> bytes:
    return sha256(b"lamella vector: ", name.encode())


def _session(name: str) -> SessionId:
    return SessionId(_bytes(f"session {name}")[: limits.SESSION_ID_BYTES])


def _peer(name: str) -> PeerId:
    return Identity.from_seed(_bytes(f"identity {name}")).peer_id


MODEL = ModelId(_bytes("manifest"))
TRACE = (HopTime(queue_us=12, compute_us=3_456), HopTime(queue_us=0, compute_us=1 << 33))

MESSAGES: tuple[tuple[str, Message], ...] = (
    (
        "hello",
        Hello(
            version=1,
            identity=Identity.from_seed(_bytes("identity a")).public_key,
            signature=_bytes("signature 1") + _bytes("signature 2"),
            agent="lamella 0.1.0",
            features=(1, 300),
        ),
    ),
    ("ping", Ping(nonce=7)),
    ("pong", Pong(nonce=(1 << 63) - 1)),
    ("ack", Ack(count=1_000)),
    ("goodbye", Goodbye(code=Code.SHUTTING_DOWN, detail="the host is stopping")),
    ("unsupported", Unsupported(id=60_000)),
    ("describe", Describe()),
    (
        "hosting",
        Hosting(
            offers=(
                Offer(
                    model=MODEL,
                    name="pocket",
                    layers=LayerRange(6, 24),
                    head=True,
                    num_layers=24,
                    dtype=DType.BFLOAT16,
                    max_positions=4_096,
                    free_kv_bytes=1 << 30,
                    sessions=2,
                    step_us=1_250,
                ),
                Offer(
                    model=MODEL,
                    name="größer",
                    layers=LayerRange(0, 6),
                    head=False,
                    num_layers=24,
                    dtype=DType.FLOAT32,
                    max_positions=4_096,
                    free_kv_bytes=0,
                    sessions=0,
                    step_us=0,
                ),
            ),
            draining=False,
        ),
    ),
    ("introduce", Introduce(listens=7311)),
    ("introduce, never to be told of", Introduce()),
    (
        "peers",
        Peers(
            peers=(
                KnownPeer(peer=_peer("a"), address=Address("192.0.2.7", 7311)),
                KnownPeer(peer=_peer("b"), address=Address("2001:db8::7", 65_535)),
            ),
            listens=443,
        ),
    ),
    ("peers, none known", Peers(peers=())),
    (
        "open, delivery next",
        Open(
            session=_session("a"),
            model=MODEL,
            layers=LayerRange(6, 12),
            dtype=DType.BFLOAT16,
            upstream=_peer("client"),
            delivery=Delivery.NEXT,
            next_peer=_peer("b"),
            next_address=Address("2001:db8::7", 7311),
            next_session=_session("b"),
            positions=2_048,
        ),
    ),
    (
        "open, next hop behind a relay",
        Open(
            session=_session("a"),
            model=MODEL,
            layers=LayerRange(6, 12),
            dtype=DType.BFLOAT16,
            upstream=_peer("client"),
            delivery=Delivery.NEXT,
            next_peer=_peer("b"),
            next_address=Address("203.0.113.7", 7311),
            next_relay=_peer("a"),
            next_session=_session("b"),
            positions=2_048,
        ),
    ),
    (
        "open, delivery tokens",
        Open(
            session=_session("b"),
            model=MODEL,
            layers=LayerRange(12, 24),
            dtype=DType.BFLOAT16,
            upstream=_peer("a"),
            delivery=Delivery.TOKENS,
            sampling=Sampling(temperature=0.7, top_k=40, top_p=0.95, min_p=0.0, seed=(1 << 64) - 1),
            logprobs=2,
            positions=2_048,
        ),
    ),
    (
        "open, delivery hidden",
        Open(
            session=_session("c"),
            model=MODEL,
            layers=LayerRange(12, 24),
            dtype=DType.FLOAT16,
            upstream=_peer("client"),
            delivery=Delivery.HIDDEN,
            positions=1,
        ),
    ),
    ("ready", Ready(session=_session("a"))),
    (
        "refused",
        Refused(session=_session("a"), code=Code.NO_MEMORY, detail="no memory", retry_after_ms=5_000),
    ),
    ("refused, for good", Refused(session=_session("a"), code=Code.NOT_ALLOWED, detail="")),
    ("truncate", Truncate(session=_session("a"), epoch=1, position=40, next_step=9)),
    ("truncated", Truncated(session=_session("a"), epoch=1, position=40)),
    ("close", Close(session=_session("a"))),
    ("abort", Abort(session=_session("a"), code=Code.HOP_LOST, detail="the next hop ended the session")),
    (
        "forward",
        Forward(
            session=_session("a"),
            epoch=0,
            step=3,
            position=384,
            phase=Phase.PREFILL,
            sample=True,
            count=2,
            dtype=DType.BFLOAT16,
            shape=(1, 2, 3),
            trace=TRACE,
            body=bytes.fromhex("803f0040404080408000ff7f"),
        ),
    ),
    (
        "forward, with token ids",
        Forward(
            session=_session("a"),
            epoch=0,
            step=4,
            position=386,
            phase=Phase.DECODE,
            sample=True,
            count=1,
            dtype=DType.BFLOAT16,
            shape=(1, 1, 3),
            tokens=(151_643,),
            trace=(),
            body=bytes.fromhex("803f00404040"),
        ),
    ),
    (
        "output",
        Output(
            session=_session("c"),
            epoch=2,
            step=4,
            position=386,
            dtype=DType.FLOAT32,
            shape=(1, 1, 2),
            trace=TRACE[:1],
            body=bytes.fromhex("0000803f000000c0"),
        ),
    ),
    (
        "tokens",
        Tokens(
            session=_session("b"),
            epoch=0,
            step=3,
            position=386,
            ids=(151_643,),
            logprobs=(Alternative(token=151_643, logprob=-0.5), Alternative(token=11, logprob=-1.25)),
            trace=TRACE,
        ),
    ),
    (
        "tokens, nothing drawn",
        Tokens(session=_session("b"), epoch=0, step=2, position=384, ids=(), trace=()),
    ),
    ("credit", Credit(session=_session("b"), epoch=0, step=3)),
    *REACH_MESSAGES,
)


def messages() -> object:
    """Return every message with its header and body, then headers that must be refused."""
    return {
        "comment": 'Byte strings are hexadecimal; among fields they are written {"hex": ...}.',
        "messages": [_message(name, message) for name, message in MESSAGES],
        "refused": [_refused(why, header, body) for why, header, body in _refusals()],
    }


FILES: Mapping[str, Callable[[], object]] = {"messages.json": messages}


def _message(name: str, message: Message) -> object:
    header, body = codec.encode(message)
    declaration = message.declaration
    fields = {key: field.encode(getattr(message, key)) for key, field in declaration.fields.items()}
    return {
        "name": name,
        "id": declaration.id,
        "fields": {key: _plain(value) for key, value in fields.items() if value is not None},
        "header": header.hex(),
        "body": bytes(body).hex(),
    }


def _refusals() -> list[tuple[str, bytes, bytes]]:
    ping = {"t": 2, "nonce": 1}
    forward = next(codec.encode(one)[0] for _, one in MESSAGES if isinstance(one, Forward))
    return [
        ("an id nobody knows", dumps({"t": 65_535}), b""),
        ("no id", dumps({"nonce": 1}), b""),
        ("not a map", dumps([2, 1]), b""),
        ("a field missing", dumps({"t": 2}), b""),
        ("a field that is null", dumps({"t": 2, "nonce": None}), b""),
        ("a field of another type", dumps({"t": 2, "nonce": "1"}), b""),
        ("a float where an integer stands", dumps({"t": 2, "nonce": 1.0}), b""),
        ("a field out of bounds", dumps({"t": 2, "nonce": 1 << 63}), b""),
        ("a body where none belongs", dumps(ping), b"\0"),
        ("bytes after the header", dumps(ping) + b"\0", b""),
        ("a key twice", bytes.fromhex("a361740261740265") + b"nonce\x01", b""),
        ("an indefinite length", b"\xbf" + dumps(ping)[1:] + b"\xff", b""),
        ("a tag", b"\xd9\xd9\xf7" + dumps(ping), b""),
        ("a header cut short", forward[:-1], b"\0" * 12),
        ("text with a line break", dumps({"t": 5, "code": 1, "detail": "a\nb"}), b""),
        (
            "layers that end before they start",
            dumps({**_raw(Open), "layers": [12, 6]}),
            b"",
        ),
        ("an address with a scope", dumps({**_raw(Open), "next_address": "[fe80::1%eth0]:7311"}), b""),
    ]


def _raw(cls: type[Message]) -> dict[str, object]:
    message = next(one for _, one in MESSAGES if isinstance(one, cls))
    fields = {key: field.encode(getattr(message, key)) for key, field in cls.declaration.fields.items()}
    return {"t": cls.declaration.id, **{key: value for key, value in fields.items() if value is not None}}


def _refused(why: str, header: bytes, body: bytes) -> object:
    try:
        codec.decode(header, body)
    except BadMessage as error:
        return {"why": why, "header": header.hex(), "body": body.hex(), "code": error.code.text}
    raise ValueError(f"{why}: this header is accepted")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value
