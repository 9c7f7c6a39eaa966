from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import BadSignature, InvalidKey, InvalidLabel
from crypto.identity import Identity
from crypto.noise.binding import STATIC_KEY_CONTEXT, prologue, sign_static, verify_static
from tests.fakes.handshakes import key_pair

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "specs" / "vectors" / "noise_xx.json").read_text(encoding="utf-8")
)
ALICE = Identity.from_seed(b"a" * 32)
STATIC = key_pair("static").public
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
parts = st.tuples(names, st.integers(0, 2**32 - 1), names)


@pytest.mark.parametrize("vector", VECTORS["prologues"], ids=lambda vector: vector["network"])
def test_prologues_equal_the_vectors(vector: dict[str, Any]) -> None:
    assert prologue(vector["protocol"], vector["version"], vector["network"]).hex() == vector["prologue"]


@given(parts, parts)
def test_different_protocols_versions_or_networks_have_different_prologues(
    one: tuple[str, int, str], other: tuple[str, int, str]
) -> None:
    assert (prologue(*one) == prologue(*other)) == (one == other)


@pytest.mark.parametrize(
    ("protocol", "version", "network"),
    [
        ("", 1, "main"),
        ("lamella", 1, ""),
        ("lamella", -1, "main"),
        ("lamella", 2**32, "main"),
        ("x" * 256, 1, "y"),
    ],
)
def test_a_prologue_of_unusable_parts_is_refused(protocol: str, version: int, network: str) -> None:
    with pytest.raises(InvalidLabel):
        prologue(protocol, version, network)


def test_a_vouched_static_key_gives_the_peer_id_of_who_vouches() -> None:
    assert verify_static(ALICE.public_key, STATIC, sign_static(ALICE, STATIC)) == ALICE.peer_id


def test_a_signature_for_another_static_key_is_refused() -> None:
    with pytest.raises(BadSignature):
        verify_static(ALICE.public_key, key_pair("other").public, sign_static(ALICE, STATIC))


def test_a_signature_by_another_identity_is_refused() -> None:
    with pytest.raises(BadSignature):
        verify_static(Identity.from_seed(b"b" * 32).public_key, STATIC, sign_static(ALICE, STATIC))


def test_a_signature_for_another_purpose_is_refused() -> None:
    with pytest.raises(BadSignature):
        verify_static(ALICE.public_key, STATIC, ALICE.sign(STATIC_KEY_CONTEXT + "0", STATIC))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_only_a_static_key_is_signed(size: int) -> None:
    with pytest.raises(InvalidKey):
        sign_static(ALICE, bytes(size))


@given(st.binary(max_size=70), st.binary(max_size=130))
def test_any_key_and_signature_give_a_typed_refusal(public_key: bytes, signature: bytes) -> None:
    with pytest.raises(BadSignature):
        verify_static(public_key, STATIC, signature)
