"""What DHT nodes say to each other, a datagram each. Spec: `specs/dht.md` §Datagrams.

A datagram is a head of fixed length (a mark, the kind, the network, the transaction), then one CBOR array; an answer
ends with its writer's public key and signature of all before. The head is enough to tell what is not ours, so that
refusing it costs nearly nothing. Requests are padded: an answer never has more than thrice the bytes of its request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from crypto.errors import BadSignature
from crypto.identity import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from wire import limits
from wire.cbor import dumps, loads
from wire.dht_messages import (
    ANSWER_BIT,
    Answer,
    Find,
    Found,
    Help,
    Kind,
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
from wire.endpoints import NodeId, pack_address, pack_contact, unpack_address, unpack_contact
from wire.errors import BadMessage, InvalidValue
from wire.fields import Bool, UInt
from wire.flat import read_flat
from wire.records import Forged

ANSWER_CONTEXT: Final = "lamella-dht-answer/1"
MARK: Final = 0x4C
HEAD_BYTES: Final = 2 + limits.NETWORK_TAG_BYTES + limits.TRANSACTION_BYTES
SEAL_BYTES: Final = PUBLIC_KEY_BYTES + SIGNATURE_BYTES
_CURSORS: Final = 1 << 64
_MAX_TIME: Final = 1 << 48
_BOOL: Final = Bool()
_MAX_TOTAL: Final = limits.MAX_STORED_RECORDS


@dataclass(frozen=True, slots=True)
class Head:
    """What a datagram's first bytes say."""

    kind: Kind
    transaction: bytes

    @property
    def is_answer(self) -> bool:
        return bool(self.kind & ANSWER_BIT)


def read_head(data: bytes, tag: bytes) -> Head:
    """Read the head of a datagram of the network that `tag` names. Raises `BadMessage` for anything else."""
    if not HEAD_BYTES < len(data) <= limits.MAX_DATAGRAM_BYTES:
        raise BadMessage("not the length of a datagram")
    if data[0] != MARK or data[2 : 2 + limits.NETWORK_TAG_BYTES] != tag:
        raise BadMessage("a datagram of another protocol or network")
    kind = _KINDS.get(data[1])
    if kind is None:
        raise BadMessage("a datagram of an unknown kind")
    return Head(kind, data[2 + limits.NETWORK_TAG_BYTES : HEAD_BYTES])


def write_request(request: Request, *, tag: bytes, transaction: bytes) -> bytes:
    """Return a request's datagram, padded so that its answer has room."""
    kind, arguments = _request_parts(request)
    head = _head(kind, tag, transaction)
    values = [request.sender.raw, request.serves, *arguments]
    least = limits.FIND_REQUEST_BYTES if kind is Kind.FIND else limits.REQUEST_BYTES
    data = head + dumps([*values, b""])
    if len(data) < least:
        # A byte string of 24 bytes and more has a longer head of its own.
        data = head + dumps([*values, bytes(least - len(data))])
    if len(data) > limits.MAX_DATAGRAM_BYTES:
        raise InvalidValue(f"a datagram has at most {limits.MAX_DATAGRAM_BYTES} bytes")
    return data


def write_knock(*, tag: bytes, nonce: bytes) -> bytes:
    """Return the datagram of a knock."""
    return _head(Kind.KNOCK, tag, nonce) + dumps([])


def write_answer(answer: Answer, identity: Identity, *, tag: bytes, transaction: bytes) -> bytes:
    """Return an answer's datagram with its seal."""
    kind, values = _answer_parts(answer)
    body = _head(kind, tag, transaction) + dumps(values) + identity.public_key
    return body + identity.sign(ANSWER_CONTEXT, body)


def answer_room(request_bytes: int) -> int:
    """How long the answer to a request of this length may be."""
    return min(limits.MAX_DATAGRAM_BYTES, limits.AMPLIFICATION * request_bytes)


def read_request(data: bytes, head: Head) -> Request:
    """Read a request whose head has been read. Raises `BadMessage`."""
    raw = read_flat(data, HEAD_BYTES, most=_MOST_ARGUMENTS)
    read = _REQUESTS.get(head.kind)
    if read is None or len(raw) < 3 or type(raw[-1]) is not bytes:
        raise BadMessage("not a request")
    request, length = read(_node(raw[0]), _BOOL.decode(raw[1]), raw)
    if len(raw) != length:
        raise BadMessage("a request with too few or too many arguments")
    return request


def read_answer(data: bytes, head: Head) -> tuple[bytes, Answer]:
    """Read an answer whose head has been read; return its writer's public key with it.

    Raises:
        Forged: the signature is not of this key and datagram.
        BadMessage: anything else is wrong.
    """
    if len(data) <= HEAD_BYTES + SEAL_BYTES:
        raise BadMessage("an answer too short to be signed")
    key = data[-SEAL_BYTES:-SIGNATURE_BYTES]
    raw = loads(data[HEAD_BYTES:-SEAL_BYTES], max_bytes=limits.MAX_DATAGRAM_BYTES)
    read = _ANSWERS.get(head.kind)
    if read is None or type(raw) is not list or len(raw) != read[0]:
        raise BadMessage("not an answer")
    answer = read[1](raw)
    try:
        verify(key, ANSWER_CONTEXT, data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:])
    except BadSignature as error:
        raise Forged("an answer that is not signed by the key it names") from error
    return key, answer


def _head(kind: Kind, tag: bytes, transaction: bytes) -> bytes:
    if len(transaction) != limits.TRANSACTION_BYTES:
        raise InvalidValue(f"a transaction is {limits.TRANSACTION_BYTES} bytes")
    return bytes((MARK, kind)) + tag + transaction


def _request_parts(request: Request) -> tuple[Kind, list[object]]:
    match request:
        case Ping():
            return Kind.PING, []
        case Find():
            wanted = request.contacts | request.v4 << 1 | request.v6 << 2 | request.records << 3
            return Kind.FIND, [request.key.raw, request.cursor, wanted]
        case Store():
            return Kind.STORE, [request.token, request.record]
        case Reach():
            return Kind.REACH, [request.token, request.nonce]
        case Probe():
            return Kind.PROBE, [request.token, pack_address(request.target), request.nonce]


def _answer_parts(answer: Answer) -> tuple[Kind, list[object]]:
    observed = pack_address(answer.observed)
    match answer:
        case Pong():
            return Kind.PONG, [observed, answer.token]
        case Found():
            contacts = [pack_contact(one) for one in answer.contacts]
            values = [answer.total, answer.next, contacts, list(answer.records)]
            return Kind.FOUND, [observed, answer.token, *values]
        case Stored():
            return Kind.STORED, [observed, int(answer.outcome), answer.time]
        case Reaching():
            return Kind.REACHING, [observed, int(answer.help)]
        case Probed():
            return Kind.PROBED, [observed, answer.done]


def _ping(sender: NodeId, serves: bool, _: list[Any]) -> tuple[Request, int]:
    return Ping(sender=sender, serves=serves), 3


def _find(sender: NodeId, serves: bool, raw: list[Any]) -> tuple[Request, int]:
    _at_least(raw, 6)
    wanted = UInt(15).decode(raw[4])
    return Find(
        sender=sender,
        serves=serves,
        key=_node(raw[2]),
        cursor=UInt(_CURSORS - 1).decode(raw[3]),
        contacts=bool(wanted & 1),
        v4=bool(wanted & 2),
        v6=bool(wanted & 4),
        records=bool(wanted & 8),
    ), 6


def _store(sender: NodeId, serves: bool, raw: list[Any]) -> tuple[Request, int]:
    _at_least(raw, 5)
    return Store(sender=sender, serves=serves, token=_token(raw[2]), record=_record(raw[3])), 5


def _reach(sender: NodeId, serves: bool, raw: list[Any]) -> tuple[Request, int]:
    _at_least(raw, 5)
    nonce = _bytes(raw[3], limits.TRANSACTION_BYTES)
    return Reach(sender=sender, serves=serves, token=_token(raw[2]), nonce=nonce), 5


def _probe(sender: NodeId, serves: bool, raw: list[Any]) -> tuple[Request, int]:
    _at_least(raw, 6)
    nonce = _bytes(raw[4], limits.TRANSACTION_BYTES)
    target = unpack_address(raw[3])
    return Probe(sender=sender, serves=serves, token=_token(raw[2]), target=target, nonce=nonce), 6


def _pong(raw: list[Any]) -> Answer:
    return Pong(observed=unpack_address(raw[0]), token=_token(raw[1]))


def _found(raw: list[Any]) -> Answer:
    contacts, records = raw[4], raw[5]
    if type(contacts) is not list or len(contacts) > limits.MAX_ANSWER_CONTACTS:
        raise BadMessage(f"expected at most {limits.MAX_ANSWER_CONTACTS} contacts")
    if type(records) is not list or len(records) > limits.MAX_ANSWER_RECORDS:
        raise BadMessage(f"expected at most {limits.MAX_ANSWER_RECORDS} records")
    return Found(
        observed=unpack_address(raw[0]),
        token=_token(raw[1]),
        total=UInt(_MAX_TOTAL).decode(raw[2]),
        next=None if raw[3] is None else UInt(_CURSORS - 1).decode(raw[3]),
        contacts=tuple(unpack_contact(one) for one in contacts),
        records=tuple(_record(one) for one in records),
    )


def _stored(raw: list[Any]) -> Answer:
    outcome = Outcome(UInt(len(Outcome) - 1).decode(raw[1]))
    return Stored(observed=unpack_address(raw[0]), outcome=outcome, time=UInt(_MAX_TIME).decode(raw[2]))


def _reaching(raw: list[Any]) -> Answer:
    return Reaching(observed=unpack_address(raw[0]), help=Help(UInt(len(Help) - 1).decode(raw[1])))


def _probed(raw: list[Any]) -> Answer:
    return Probed(observed=unpack_address(raw[0]), done=Bool().decode(raw[1]))


_KINDS: Final = {int(one): one for one in Kind}
_REQUESTS: Final[dict[Kind, Callable[[NodeId, bool, list[Any]], tuple[Request, int]]]] = {
    Kind.PING: _ping,
    Kind.FIND: _find,
    Kind.STORE: _store,
    Kind.REACH: _reach,
    Kind.PROBE: _probe,
}
_ANSWERS: Final[dict[Kind, tuple[int, Callable[[list[Any]], Answer]]]] = {
    Kind.PONG: (2, _pong),
    Kind.FOUND: (6, _found),
    Kind.STORED: (3, _stored),
    Kind.REACHING: (2, _reaching),
    Kind.PROBED: (2, _probed),
}
_MOST_ARGUMENTS: Final = 6


def _at_least(raw: list[Any], length: int) -> None:
    if len(raw) < length:
        raise BadMessage("a request with too few arguments")


def _node(raw: object) -> NodeId:
    return NodeId(_bytes(raw, limits.NODE_ID_BYTES))


def _token(raw: object) -> bytes:
    return _bytes(raw, limits.TOKEN_BYTES)


def _record(raw: object) -> bytes:
    if type(raw) is not bytes or not 0 < len(raw) <= limits.MAX_RECORD_BYTES:
        raise BadMessage(f"expected a record of at most {limits.MAX_RECORD_BYTES} bytes")
    return raw


def _bytes(raw: object, size: int) -> bytes:
    if type(raw) is not bytes or len(raw) != size:
        raise BadMessage(f"expected {size} bytes")
    return raw
