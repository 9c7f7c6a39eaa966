from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from crypto.digest import framed
from crypto.errors import BadSignature, InvalidKey, InvalidLabel, InvalidPeerId
from crypto.identity import Identity, PeerId, peer_id_of, verify
from crypto.keys import KeyPair
from crypto.noise.binding import sign_static, verify_static

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "specs" / "vectors" / "identity.json").read_text(encoding="utf-8")
)
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
ALICE = Identity.from_seed(b"a" * 32)
BOB = Identity.from_seed(b"b" * 32)

digests = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("vector", VECTORS["identities"], ids=lambda vector: vector["peer_id"][:8])
def test_keys_and_peer_ids_equal_the_vectors(vector: dict[str, str]) -> None:
    identity = Identity.from_seed(bytes.fromhex(vector["seed"]))
    assert identity.public_key.hex() == vector["public_key"]
    assert identity.peer_id == peer_id_of(identity.public_key) == PeerId.parse(vector["peer_id"])
    assert identity.peer_id.raw.hex() == vector["peer_id_bytes"]
    assert str(identity.peer_id) == vector["peer_id"]


@pytest.mark.parametrize("vector", VECTORS["signatures"], ids=lambda vector: vector["signature"][:8])
def test_signatures_equal_the_vectors(vector: dict[str, str]) -> None:
    identity = Identity.from_seed(bytes.fromhex(vector["seed"]))
    message, signature = bytes.fromhex(vector["message"]), bytes.fromhex(vector["signature"])
    assert identity.sign(vector["context"], message) == signature
    verify(identity.public_key, vector["context"], message, signature)


def test_the_static_key_binding_equals_its_vector() -> None:
    vector = VECTORS["static_binding"]
    identity = Identity.from_seed(bytes.fromhex(vector["seed"]))
    static = KeyPair.from_seed(bytes.fromhex(vector["static_seed"])).public
    assert static.hex() == vector["static_public"]
    assert sign_static(identity, static).hex() == vector["signature"]
    assert verify_static(identity.public_key, static, bytes.fromhex(vector["signature"])) == identity.peer_id


@pytest.mark.parametrize("text", VECTORS["refused_peer_ids"])
def test_texts_that_only_resemble_a_peer_id_are_refused(text: str) -> None:
    with pytest.raises(InvalidPeerId):
        PeerId.parse(text)


def test_a_seed_gives_the_public_key_of_the_rfc() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert Identity.from_seed(seed).public_key.hex() == public


@given(digests)
def test_a_printed_peer_id_parses_back(raw: bytes) -> None:
    peer_id = PeerId(raw)
    assert PeerId.parse(str(peer_id)) == peer_id
    assert str(peer_id).startswith(peer_id.short)
    assert len(peer_id.short) == 8
    assert repr(peer_id) == f"PeerId({peer_id})"


@given(digests, st.integers(1, 15))
def test_spare_bits_of_the_last_character_must_be_zero(raw: bytes, spare: int) -> None:
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    text = str(PeerId(raw))
    altered = text[:-1] + alphabet[alphabet.index(text[-1]) | spare]
    with pytest.raises(InvalidPeerId):
        PeerId.parse(altered)


@given(
    st.text()
    | st.text(min_size=52, max_size=52)
    | st.text("abcdefgABCDEFG234567=189 \u0131\u017f", min_size=52, max_size=52)
)
def test_any_text_is_a_canonical_peer_id_or_refused(text: str) -> None:
    try:
        peer_id = PeerId.parse(text)
    except InvalidPeerId:
        return
    assert str(peer_id) == text


@given(st.binary(max_size=70).filter(lambda data: len(data) != 32))
def test_ids_keys_and_seeds_of_other_lengths_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidPeerId):
        PeerId(data)
    with pytest.raises(InvalidKey):
        peer_id_of(data)
    with pytest.raises(InvalidKey):
        Identity.from_seed(data)


def test_peer_ids_are_ordered_and_usable_as_keys() -> None:
    low, high = PeerId(bytes(32)), PeerId(b"\xff" * 32)
    assert low < high
    assert {low: 1}[PeerId(bytes(32))] == 1


def test_a_peer_id_is_the_digest_of_the_public_key() -> None:
    assert ALICE.peer_id.raw == hashlib.sha256(ALICE.public_key).digest()


@given(st.binary())
def test_what_is_signed_is_the_framed_context_and_message(message: bytes) -> None:
    signature = ALICE.sign("lamella-test/1", message)
    Ed25519PublicKey.from_public_bytes(ALICE.public_key).verify(signature, framed(b"lamella-test/1", message))


@given(st.binary(), st.binary())
def test_a_signature_holds_for_its_message_only(message: bytes, other: bytes) -> None:
    signature = ALICE.sign("lamella-test/1", message)
    verify(ALICE.public_key, "lamella-test/1", message, signature)
    if other != message:
        with pytest.raises(BadSignature):
            verify(ALICE.public_key, "lamella-test/1", other, signature)


def test_a_signature_for_one_context_is_worthless_in_another() -> None:
    signature = ALICE.sign("lamella-test/1", b"message")
    for context, message in (
        ("lamella-test/2", b"message"),
        ("lamella-test/1m", b"essage"),
        ("lamella-test/", b"1message"),
    ):
        with pytest.raises(BadSignature):
            verify(ALICE.public_key, context, message, signature)


def test_a_signature_holds_for_its_key_only() -> None:
    with pytest.raises(BadSignature):
        verify(BOB.public_key, "lamella-test/1", b"message", ALICE.sign("lamella-test/1", b"message"))


def test_a_signature_altered_in_any_bit_is_refused() -> None:
    signature = ALICE.sign("lamella-test/1", b"message")
    for bit in range(len(signature) * 8):
        altered = bytearray(signature)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignature):
            verify(ALICE.public_key, "lamella-test/1", b"message", altered)


def test_a_signature_has_one_form_only() -> None:
    signature = ALICE.sign("lamella-test/1", b"message")
    second = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    with pytest.raises(BadSignature):
        verify(ALICE.public_key, "lamella-test/1", b"message", signature[:32] + second.to_bytes(32, "little"))


def test_a_low_order_key_verifies_nothing() -> None:
    """With the neutral element as key, R = 0 and S = 0 would fit every message under lax rules."""
    neutral = (1).to_bytes(32, "little")
    with pytest.raises(BadSignature):
        verify(neutral, "lamella-test/1", b"any message", neutral + bytes(32))


@given(st.binary(max_size=70), st.binary(max_size=130))
def test_junk_keys_and_signatures_of_any_length_are_refused(key: bytes, signature: bytes) -> None:
    for public_key, tried in ((key, signature), (ALICE.public_key, signature), (key, ALICE.sign("x", b""))):
        with pytest.raises(BadSignature):
            verify(public_key, "x", b"", tried)


@pytest.mark.parametrize("context", ["", "x" * 256])
def test_a_context_must_be_a_short_name(context: str) -> None:
    with pytest.raises(InvalidLabel):
        ALICE.sign(context, b"")
    with pytest.raises(InvalidLabel):
        verify(ALICE.public_key, context, b"", bytes(64))


def test_views_are_signed_and_verified_like_bytes() -> None:
    signature = ALICE.sign("lamella-test/1", memoryview(b"message"))
    assert signature == ALICE.sign("lamella-test/1", b"message")
    verify(
        memoryview(ALICE.public_key),
        "lamella-test/1",
        memoryview(b"message"),
        memoryview(bytearray(signature)),
    )


def test_a_printed_identity_shows_its_peer_id_only() -> None:
    seed = bytes(range(32))
    identity = Identity.from_seed(seed)
    for text in (repr(identity), str(identity), f"{identity}"):
        assert str(identity.peer_id) in text
        assert seed.hex() not in text
        assert repr(seed) not in text
