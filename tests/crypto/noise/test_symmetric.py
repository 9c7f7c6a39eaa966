from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import DecryptionFailed
from crypto.noise.symmetric import SymmetricState, hkdf


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64))
def test_the_two_output_hkdf_is_that_of_the_rfc(chaining_key: bytes, material: bytes) -> None:
    expected = HKDF(hashes.SHA256(), length=64, salt=chaining_key, info=b"").derive(material)
    assert b"".join(hkdf(chaining_key, material)) == expected


def test_a_short_protocol_name_is_padded_and_a_long_one_hashed() -> None:
    assert SymmetricState(b"short").hash == b"short" + bytes(27)
    assert SymmetricState(b"n" * 32).hash == b"n" * 32
    assert SymmetricState(b"n" * 33).hash == hashlib.sha256(b"n" * 33).digest()


def test_the_hash_covers_everything_mixed_in() -> None:
    state = SymmetricState(b"name")
    state.mix_hash(b"data")
    assert state.hash == hashlib.sha256(b"name".ljust(32, b"\0") + b"data").digest()


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_two_states_that_see_the_same_stay_equal_and_decrypt_each_other(payloads: list[bytes]) -> None:
    writer, reader = SymmetricState(b"name"), SymmetricState(b"name")
    for number, payload in enumerate(payloads):
        assert reader.decrypt_and_hash(writer.encrypt_and_hash(payload)) == payload
        if number % 2:
            writer.mix_key(payload)
            reader.mix_key(payload)
        assert writer.hash == reader.hash
    sent = [cipher.encrypt(b"", b"text") for cipher in writer.split()]
    assert sent == [cipher.encrypt(b"", b"text") for cipher in reader.split()]
    assert sent[0] != sent[1]


def test_before_the_first_key_payloads_are_clear_but_hashed() -> None:
    state = SymmetricState(b"name")
    before = state.hash
    assert state.encrypt_and_hash(b"clear") == b"clear"
    assert state.hash != before


def test_states_with_different_histories_do_not_decrypt_each_other() -> None:
    writer, reader = SymmetricState(b"name"), SymmetricState(b"name")
    for state in (writer, reader):
        state.mix_key(b"secret")
    writer.mix_hash(b"only here")
    with pytest.raises(DecryptionFailed):
        reader.decrypt_and_hash(writer.encrypt_and_hash(b"text"))


def test_a_printed_state_shows_no_chaining_key() -> None:
    state = SymmetricState(b"name")
    state.mix_key(b"secret")
    assert state._chaining_key.hex() not in repr(state)
    assert repr(state._chaining_key) not in repr(state)
