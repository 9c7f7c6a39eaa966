"""Values that exist are in bounds, and their text forms give them back."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import PeerId
from wire import limits
from wire.errors import InvalidValue, LocalError
from wire.types import Address, LayerRange, ModelId, Relayed, Sampling, SessionId

EMPTY_FILE = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
"""The CIDv1 of no bytes at all, as every IPFS tool prints it."""
EMPTY_DIGEST = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def test_a_model_id_is_a_cid_that_other_tools_print_alike() -> None:
    assert str(ModelId(EMPTY_DIGEST)) == EMPTY_FILE
    assert ModelId.parse(EMPTY_FILE) == ModelId(EMPTY_DIGEST)
    assert ModelId(EMPTY_DIGEST).short == EMPTY_FILE[-8:]


@given(st.binary(min_size=32, max_size=32))
def test_a_model_id_survives_its_text_form(digest: bytes) -> None:
    assert ModelId.parse(str(ModelId(digest))) == ModelId(digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        EMPTY_FILE.upper(),
        EMPTY_FILE[1:],
        "z" + EMPTY_FILE[1:],
        EMPTY_FILE[:-1],
        EMPTY_FILE + "a",
        EMPTY_FILE + "=",
        " " + EMPTY_FILE,
        EMPTY_FILE[:-1] + "v",
        EMPTY_FILE[:-1] + "é",
        EMPTY_FILE[:-1] + "1",
        "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR",
    ],
)
def test_other_forms_of_a_cid_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        ModelId.parse(text)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_ids_have_one_size(size: int) -> None:
    with pytest.raises(InvalidValue):
        ModelId(bytes(size))
    with pytest.raises(InvalidValue):
        SessionId(bytes(size))


def test_a_session_id_prints_its_beginning() -> None:
    assert str(SessionId(bytes(range(16)))) == "000102030405"


@given(
    st.integers(0, limits.MAX_LAYERS), st.integers(0, limits.MAX_LAYERS), st.integers(0, limits.MAX_LAYERS)
)
def test_a_layer_range_is_the_set_of_its_layers(one: int, other: int, layer: int) -> None:
    start, end = sorted((one, other))
    layers = LayerRange(start, end)
    assert LayerRange.parse(str(layers)) == layers
    assert len(layers) == end - start
    assert (layer in layers) == (layer in range(start, end))
    assert bool(layers)


@given(*[st.integers(0, 12)] * 4)
def test_covering_is_being_a_superset(a: int, b: int, c: int, d: int) -> None:
    outer, inner = LayerRange(*sorted((a, b))), LayerRange(*sorted((c, d)))
    if outer.covers(inner):
        assert set(range(inner.start, inner.end)) <= set(range(outer.start, outer.end))
    elif len(inner):
        assert not set(range(inner.start, inner.end)) <= set(range(outer.start, outer.end))


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 2), (0, limits.MAX_LAYERS + 1)])
def test_layers_out_of_bounds_are_refused(start: int, end: int) -> None:
    with pytest.raises(InvalidValue):
        LayerRange(start, end)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "1",
        "1:",
        ":2",
        "1-2",
        "2:1",
        "-1:2",
        "1:2:3",
        "1.0:2",
        " 1:2",
        "1:٢",
        "0:2000",
        "9" * 5_000 + ":1",
    ],
)
def test_texts_that_are_not_a_layer_range_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        LayerRange.parse(text)


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_an_address_survives_its_text_form(ip: object, port: int) -> None:
    address = Address(str(ip), port)
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("[0:0::1]:07", "[::1]:7"),
        ("[2001:DB8::7]:7311", "[2001:db8::7]:7311"),
        ("127.0.0.1:0", "127.0.0.1:0"),
    ],
)
def test_an_address_has_one_value_however_it_is_spelt(text: str, same: str) -> None:
    assert str(Address.parse(text)) == same


def test_a_scope_belongs_to_an_address_of_this_machine() -> None:
    assert str(Address.parse("[fe80::1%eth0.5]:9")) == "[fe80::1%eth0.5]:9"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "1.2.3.4",
        "1.2.3.4:",
        ":80",
        "localhost:80",
        "1.2.3:80",
        "01.2.3.4:80",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3.4:8_0",
        "1.2.3.4: 80",
        "1.2.3.4:٨",
        "::1:80",
        "[::1]",
        "[::1",
        "[]:80",
        "[fe80::1%a b]:80",
        "[fe80::1%a\n]:80",
        "1.2.3.4:" + "9" * 5_000,
    ],
)
def test_texts_that_are_not_an_address_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Address.parse(text)


@pytest.mark.parametrize(
    ("ip", "port"), [("example.org", 1), ("", 1), ("::1%\x1b", 1), ("::1", -1), ("::1", 65_536)]
)
def test_an_address_is_checked_however_it_is_made(ip: str, port: int) -> None:
    with pytest.raises(InvalidValue):
        Address(ip, port)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": 100.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_p": 1.1},
        {"top_p": -0.1},
        {"min_p": math.nan},
        {"min_p": 1.5},
        {"top_k": -1},
        {"top_k": limits.MAX_VOCABULARY + 1},
        {"seed": -1},
        {"seed": 1 << 64},
    ],
)
def test_sampling_out_of_bounds_is_refused_by_name(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(InvalidValue, match=name):
        Sampling(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_sampling_takes_the_highest_logit_unless_told_otherwise() -> None:
    assert Sampling() == Sampling(temperature=0.0, top_k=0, top_p=1.0, min_p=0.0, seed=0)
    widest = Sampling(temperature=100, top_k=limits.MAX_VOCABULARY, top_p=0.0, min_p=1.0, seed=(1 << 64) - 1)
    assert widest.seed == (1 << 64) - 1


def test_an_invalid_value_is_our_own_error_and_a_value_error() -> None:
    assert issubclass(InvalidValue, LocalError)
    assert issubclass(InvalidValue, ValueError)


def test_a_range_is_parted_between_its_layers_and_nowhere_else() -> None:
    assert [boundary for boundary in range(8) if LayerRange(2, 5).parted_at(boundary)] == [3, 4]


@given(st.binary(min_size=32, max_size=32), st.ip_addresses(), st.integers(0, 65_535))
def test_a_relayed_address_survives_its_text_form(relay: bytes, ip: object, port: int) -> None:
    where = Relayed(PeerId(relay), Address(str(ip), port))
    assert Relayed.parse(str(where)) == where
    assert len(str(where)) <= limits.MAX_NAME_CHARS


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3.4:5", "1.2.3.4:5/via/", "1.2.3.4:5/via/abc", "/via/" + "a" * 52, "x:1/via/" + "a" * 52],
)
def test_what_is_not_a_relayed_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        Relayed.parse(text)
