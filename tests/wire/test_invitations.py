"""Join strings: one text for each invitation, and a slip of copying is told from everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scripts.make_discovery_vectors import sealed
from tests.wire.test_contacts import CONTACTS
from wire import limits
from wire.cbor import canonical
from wire.contacts import Contact
from wire.errors import InvalidValue, NewerVersion
from wire.invitations import Invitation

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "specs" / "vectors" / "discovery.json").read_text(encoding="utf-8")
)
INVITATIONS = st.builds(
    lambda network, contacts: Invitation(network=network, contacts=tuple(contacts)),
    st.text("abc é·", min_size=1, max_size=20),
    st.lists(CONTACTS, min_size=1, max_size=limits.MAX_INVITED_CONTACTS, unique=True),
)
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@pytest.mark.parametrize("vector", VECTORS["join_strings"], ids=lambda one: one["network"])
def test_join_strings_equal_the_vectors(vector: dict[str, Any]) -> None:
    contacts = tuple(Contact.parse(one) for one in vector["contacts"])
    invitation = Invitation(network=vector["network"], contacts=contacts)
    assert str(invitation) == vector["text"]
    assert Invitation.parse(vector["text"]) == invitation


@pytest.mark.parametrize("vector", VECTORS["refused_join_strings"], ids=lambda one: one["why"])
def test_refused_vectors_are_refused(vector: dict[str, str]) -> None:
    with pytest.raises(InvalidValue):
        Invitation.parse(vector["text"])


@given(INVITATIONS)
def test_an_invitation_survives_a_round_trip(invitation: Invitation) -> None:
    assert Invitation.parse(str(invitation)) == invitation


@given(INVITATIONS, st.data())
def test_one_wrong_letter_is_called_a_slip(invitation: Invitation, data: st.DataObject) -> None:
    text = str(invitation)
    at = data.draw(st.integers(len("lamella:"), len(text) - 1))
    letter = data.draw(st.sampled_from(LETTERS))
    assume(letter != text[at])
    with pytest.raises(InvalidValue, match=r"wrong character|not written as"):
        Invitation.parse(text[:at] + letter + text[at + 1 :])


@given(st.text(max_size=40))
def test_any_text_is_no_join_string(text: str) -> None:
    for one in (text, "lamella:" + text):
        with pytest.raises(InvalidValue):
            Invitation.parse(one)


@given(st.binary(max_size=80))
def test_a_right_checksum_over_any_bytes_is_not_believed(payload: bytes) -> None:
    with pytest.raises(InvalidValue):
        Invitation.parse(sealed(payload))


def test_a_later_version_is_called_one() -> None:
    with pytest.raises(NewerVersion, match="version 7"):
        Invitation.parse(sealed(canonical([7, {"anything": 1}])))


def test_a_text_past_any_join_string_is_not_decoded() -> None:
    with pytest.raises(InvalidValue, match="at most"):
        Invitation.parse("lamella:" + "a" * 1_000_000)


def test_a_contact_of_this_machine_only_is_not_handed_on() -> None:
    invitation = Invitation(network="main", contacts=(Contact.parse("[fe80::1%eth0]:7311"),))
    with pytest.raises(InvalidValue, match="another machine"):
        str(invitation)
