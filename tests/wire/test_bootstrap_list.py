"""Bootstrap lists: only the pinned key's, only as they were signed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import BadSignature
from crypto.identity import Identity
from scripts.make_discovery_vectors import ISSUED, OTHER, SIGNER
from wire import limits
from wire.bootstrap_list import DAY_S, BootstrapList
from wire.cbor import canonical
from wire.contacts import Contact
from wire.errors import BadMessage, InvalidValue, NewerVersion
from wire.types import Address

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "specs" / "vectors" / "discovery.json").read_text(encoding="utf-8")
)["bootstrap"]
KEY = bytes.fromhex(VECTORS["public_key"])
REFUSALS = (BadMessage, BadSignature, InvalidValue)


def of(count: int) -> BootstrapList:
    peer = OTHER.peer_id
    contacts = (Contact(peer=peer, address=Address(f"2001:db8:{one:x}::7", 65_535)) for one in range(count))
    return BootstrapList(
        network="x" * 64,
        issued=ISSUED,
        expires=ISSUED + limits.MAX_BOOTSTRAP_DAYS * DAY_S,
        contacts=tuple(contacts),
    )


@pytest.mark.parametrize("vector", VECTORS["lists"], ids=lambda one: one["expires"])
def test_lists_equal_the_vectors(vector: dict[str, Any]) -> None:
    made = BootstrapList(
        network=vector["network"],
        issued=vector["issued"],
        expires=vector["expires"],
        contacts=tuple(Contact.parse(one) for one in vector["contacts"]),
    )
    data = bytes.fromhex(vector["list"])
    assert made.sign(Identity.from_seed(bytes.fromhex(VECTORS["seed"]))) == data
    assert BootstrapList.read(data, KEY) == made


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda one: one["why"])
def test_refused_vectors_are_refused(vector: dict[str, str]) -> None:
    with pytest.raises(REFUSALS):
        BootstrapList.read(bytes.fromhex(vector["list"]), KEY)


def test_another_key_is_named_and_a_later_version_too() -> None:
    with pytest.raises(BadSignature, match=OTHER.public_key.hex()[:16]):
        BootstrapList.read(of(1).sign(OTHER), KEY)
    with pytest.raises(NewerVersion, match="version 2"):
        BootstrapList.read(canonical([2, "anything"]), KEY)


def test_the_longest_list_is_within_its_bound() -> None:
    data = of(limits.MAX_BOOTSTRAP_CONTACTS).sign(SIGNER)
    assert len(data) <= limits.MAX_BOOTSTRAP_BYTES
    assert len(BootstrapList.read(data, KEY).contacts) == limits.MAX_BOOTSTRAP_CONTACTS
    with pytest.raises(InvalidValue, match="at most 64"):
        of(limits.MAX_BOOTSTRAP_CONTACTS + 1)


@given(st.integers(0, 400), st.integers(1, 255))
def test_no_byte_of_a_list_can_be_changed(at: int, change: int) -> None:
    data = bytearray(of(3).sign(SIGNER))
    data[at % len(data)] ^= change
    with pytest.raises(REFUSALS):
        BootstrapList.read(bytes(data), KEY)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(REFUSALS):
        BootstrapList.read(data, KEY)


@given(st.binary(max_size=100))
def test_what_the_key_signed_is_still_checked(body: bytes) -> None:
    data = canonical([1, body, SIGNER.public_key, SIGNER.sign("lamella-bootstrap/1", body)])
    with pytest.raises(REFUSALS):
        BootstrapList.read(data, KEY)
