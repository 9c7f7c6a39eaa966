"""The messages of a link: numbers of peers that count for ever, codes and features of newer ones."""

from __future__ import annotations

import pytest

from tests.fakes.message_values import header
from wire import codec, limits
from wire.cbor import dumps
from wire.codes import Code
from wire.errors import BadMessage
from wire.messages.base import Message
from wire.messages.link import Ack, Goodbye, Hello, Ping, Pong, Unsupported


@pytest.mark.parametrize("message", [Ping(nonce=(1 << 63) - 1), Pong(nonce=0), Ack(count=(1 << 63) - 1)])
def test_counts_go_on_past_any_session(message: Message) -> None:
    assert codec.decode(*codec.encode(message)) == message


def test_a_code_travels_as_its_number_and_an_unknown_one_is_kept() -> None:
    raw, body = codec.encode(Goodbye(code=Code.IDLE, detail=""))
    assert raw == dumps({"t": 5, "code": 13, "detail": ""})
    newer = codec.decode(dumps({"t": 5, "code": 60_000, "detail": "from the future"}), body)
    assert newer == Goodbye(code=60_000, detail="from the future")


def test_a_newer_peer_may_name_features_we_do_not_know() -> None:
    many = tuple(range(limits.MAX_FEATURES))
    hello = Hello(version=9, identity=bytes(32), signature=bytes(64), agent="x", features=many)
    assert codec.decode(*codec.encode(hello)) == hello
    with pytest.raises(BadMessage, match=r"hello\.features"):
        codec.decode(dumps(header(Hello.declaration, features=[*many, 1])), b"")


def test_any_id_can_be_called_unsupported() -> None:
    assert codec.decode(*codec.encode(Unsupported(id=65_535))) == Unsupported(id=65_535)
