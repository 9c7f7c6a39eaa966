"""Messages to bytes and back: every registered class, every bound, any bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.message_values import DECLARATIONS, any_message, header, largest, refused
from wire import codec, limits
from wire.cbor import dumps, loads
from wire.codes import Code
from wire.errors import BadMessage
from wire.messages.base import REGISTRY, Declaration, Message
from wire.messages.link import Ping

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "specs" / "vectors" / "messages.json").read_text(encoding="utf-8")
)
PLAIN = (
    st.none()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=33)
)
JUNK = (
    PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(st.sampled_from(["token", "x"]), PLAIN, max_size=2)
)
every_message = pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda one: one.name)
every_field = pytest.mark.parametrize(
    ("declaration", "field"),
    [(one, field) for one in DECLARATIONS for field in one.fields],
    ids=lambda one: one if isinstance(one, str) else one.name,
)


def with_body(declaration: Declaration) -> bytes:
    return b"body" if declaration.has_body else b""


@every_message
def test_a_message_survives_a_round_trip(declaration: Declaration) -> None:
    @settings(max_examples=30)
    @given(any_message(declaration))
    def round_trip(message: Message) -> None:
        encoded, body = codec.encode(message)
        assert codec.decode(encoded, memoryview(body)) == message
        assert codec.decode(memoryview(encoded), body) == message

    round_trip()


@given(st.binary(max_size=300), st.binary(max_size=8))
def test_any_bytes_give_a_message_or_bad_message(data: bytes, body: bytes) -> None:
    try:
        assert isinstance(codec.decode(data, body), Message)
    except BadMessage as error:
        assert len(error.detail) <= limits.MAX_DETAIL_CHARS


@settings(max_examples=60)
@given(st.sampled_from(DECLARATIONS), st.data())
def test_a_header_with_any_values_gives_a_message_or_bad_message(
    declaration: Declaration, data: st.DataObject
) -> None:
    junk = st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(1 << 63), (1 << 64) - 1)
        | st.floats()
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )
    names = sorted(declaration.fields)
    changed = data.draw(st.dictionaries(st.sampled_from(names), junk, max_size=2) if names else st.just({}))
    try:
        decoded = codec.decode(dumps(header(declaration, **changed)), with_body(declaration))
    except BadMessage as error:
        assert error.code is Code.BAD_MESSAGE
    else:
        encoded, body = codec.encode(decoded)
        assert codec.decode(encoded, body) == decoded


@every_field
def test_a_field_out_of_bounds_is_refused_by_name(declaration: Declaration, field: str) -> None:
    codec.decode(dumps(header(declaration)), with_body(declaration))
    for bad in refused(declaration.fields[field]):
        with pytest.raises(BadMessage, match=rf"^{declaration.name}\.{field}: "):
            codec.decode(dumps(header(declaration, **{field: bad})), with_body(declaration))


@every_field
def test_a_field_may_be_missing_only_when_it_is_optional(declaration: Declaration, field: str) -> None:
    for raw in (header(declaration), header(declaration, **{field: None})):
        raw.pop(field, None)
        if field in declaration.optional:
            assert getattr(codec.decode(dumps(raw), with_body(declaration)), field) is None
        else:
            with pytest.raises(BadMessage, match=f"lacks its field {field}"):
                codec.decode(dumps(raw), with_body(declaration))


@every_field
def test_null_is_a_missing_field(declaration: Declaration, field: str) -> None:
    raw = dumps({**header(declaration), field: None})
    if field in declaration.optional:
        assert getattr(codec.decode(raw, with_body(declaration)), field) is None
    else:
        with pytest.raises(BadMessage, match=f"lacks its field {field}"):
            codec.decode(raw, with_body(declaration))


@every_message
def test_unknown_fields_are_ignored(declaration: Declaration) -> None:
    plain = codec.decode(dumps(header(declaration)), with_body(declaration))
    more: dict[Any, Any] = {**header(declaration), "later": [1, {"x": b"y"}], b"t": 9}
    assert codec.decode(dumps(more), with_body(declaration)) == plain


@every_message
def test_the_order_of_fields_is_free(declaration: Declaration) -> None:
    raw = header(declaration)
    backwards = dict(reversed(raw.items()))
    body = with_body(declaration)
    assert codec.decode(dumps(backwards), body) == codec.decode(dumps(raw), body)


@every_message
def test_a_body_comes_only_with_messages_that_have_one(declaration: Declaration) -> None:
    raw = dumps(header(declaration))
    if declaration.has_body:
        body = memoryview(b"not copied")
        # The one message of the test that has a body.
        assert codec.decode(raw, body).body is body  # type: ignore[attr-defined]
    else:
        with pytest.raises(BadMessage, match="carries no body"):
            codec.decode(raw, b"x")


@every_message
def test_the_largest_header_fits(declaration: Declaration) -> None:
    fields = {name: largest(field) for name, field in declaration.fields.items()}
    encoded = dumps({"t": declaration.id, **fields})
    assert len(encoded) <= limits.MAX_HEADER_BYTES
    decoded = codec.decode(encoded, with_body(declaration))
    assert codec.encode(decoded)[0] == encoded


@pytest.mark.parametrize("unknown", [0, 7, 200, 65_535])
def test_an_unknown_id_is_told_apart(unknown: int) -> None:
    assert unknown not in REGISTRY
    with pytest.raises(codec.UnknownMessage) as caught:
        codec.decode(dumps({"t": unknown, "x": 1}), b"whatever follows")
    assert caught.value.message_id == unknown
    assert caught.value.code is Code.UNKNOWN_MESSAGE


@pytest.mark.parametrize(
    "raw", [{}, {"t": -1}, {"t": 65_536}, {"t": "2"}, {"t": True}, {"t": 2.0}, {"t": None}, [2], 2, "t", None]
)
def test_a_header_without_an_id_is_a_bad_message(raw: object) -> None:
    with pytest.raises(BadMessage) as caught:
        codec.decode(dumps(raw), b"")
    assert not isinstance(caught.value, codec.UnknownMessage)


def test_a_header_past_the_bound_is_not_decoded() -> None:
    with pytest.raises(BadMessage, match="at most"):
        codec.decode(dumps({"t": 2, "nonce": 1, "later": bytes(limits.MAX_HEADER_BYTES)}), b"")


def test_the_id_is_the_first_thing_in_a_header() -> None:
    assert loads(codec.encode(Ping(nonce=5))[0]) == {"t": 2, "nonce": 5}
    assert codec.encode(Ping(nonce=5))[0] == bytes.fromhex("a26174026 56e6f6e636505".replace(" ", ""))


def plain(value: Any) -> Any:
    """CBOR values as the vectors write them: byte strings as `{"hex": ...}`."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return value


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda one: one["name"])
def test_vectors_decode_to_their_fields_and_encode_to_their_bytes(vector: dict[str, Any]) -> None:
    raw, body = bytes.fromhex(vector["header"]), bytes.fromhex(vector["body"])
    message = codec.decode(raw, body)
    declaration = message.declaration
    assert (declaration.id, declaration.name) == (vector["id"], vector["name"].split(",")[0])
    fields = {name: field.encode(getattr(message, name)) for name, field in declaration.fields.items()}
    assert plain({name: one for name, one in fields.items() if one is not None}) == vector["fields"]
    assert codec.encode(message) == (raw, body)


@every_message
def test_every_message_has_a_vector(declaration: Declaration) -> None:
    assert declaration.id in {one["id"] for one in VECTORS["messages"]}


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda one: one["why"])
def test_refused_vectors_are_refused_with_their_code(vector: dict[str, Any]) -> None:
    with pytest.raises(BadMessage) as caught:
        codec.decode(bytes.fromhex(vector["header"]), bytes.fromhex(vector["body"]))
    assert caught.value.code.text == vector["code"]
