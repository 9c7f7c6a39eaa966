from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import InvalidKey
from crypto.keys import KeyPair

P = 2**255 - 19
LOW_ORDER_POINTS = [
    *(value.to_bytes(32, "little") for value in (0, 1, P - 1, P, P + 1)),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]
seeds = st.binary(min_size=32, max_size=32)


@given(seeds, seeds)
def test_keys_and_exchanges_equal_those_of_another_library(ours: bytes, theirs: bytes) -> None:
    other = X25519PrivateKey.from_private_bytes(theirs)
    pair = KeyPair.from_seed(ours)
    assert pair.public == X25519PrivateKey.from_private_bytes(ours).public_key().public_bytes_raw()
    expected = other.exchange(X25519PublicKey.from_public_bytes(pair.public))
    assert pair.exchange(other.public_key().public_bytes_raw()) == expected


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=lambda point: point.hex()[:8])
def test_a_low_order_point_is_refused_because_its_secret_is_known(point: bytes) -> None:
    with pytest.raises(InvalidKey, match="low-order"):
        KeyPair.from_seed(bytes(range(32))).exchange(point)


@given(st.binary(max_size=70).filter(lambda data: len(data) != 32))
def test_keys_of_any_other_length_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidKey):
        KeyPair.from_seed(data)
    with pytest.raises(InvalidKey):
        KeyPair.from_seed(bytes(32)).exchange(data)


@given(st.binary(min_size=32, max_size=32))
def test_any_32_bytes_exchange_or_are_refused_with_a_typed_error(point: bytes) -> None:
    try:
        secret = KeyPair.from_seed(bytes(range(32))).exchange(point)
    except InvalidKey:
        return
    assert len(secret) == 32
    assert secret != bytes(32)


def test_a_printed_pair_shows_its_public_key_only() -> None:
    seed = bytes(range(32))
    pair = KeyPair.from_seed(seed)
    for text in (repr(pair), str(pair), f"{pair}"):
        assert pair.public.hex() in text
        assert seed.hex() not in text
        assert repr(seed) not in text
