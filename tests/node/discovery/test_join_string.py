"""Join strings in a person's hands."""

from __future__ import annotations

import pytest

from node.discovery.errors import BadJoinString, OtherNetwork
from node.discovery.join_string import make_join_string, read_join_string
from scripts.make_discovery_vectors import sealed
from wire import limits
from wire.cbor import canonical
from wire.contacts import Contact

PUBLIC = Contact.parse("8.8.8.8:7311")
HOME = Contact.parse("192.168.1.5:7311")


def test_a_join_string_survives_a_mail_that_breaks_its_lines() -> None:
    text = make_join_string("main", [PUBLIC, HOME])
    broken = "\n  ".join((text[:20], text[20:50], text[50:])) + "\n"
    assert read_join_string(broken).contacts == (PUBLIC, HOME)
    assert read_join_string(text, "main").network == "main"


def test_another_network_is_named() -> None:
    text = make_join_string("theirs", [PUBLIC])
    with pytest.raises(OtherNetwork, match="is for network 'theirs', you are in 'ours'"):
        read_join_string(text, "ours")


@pytest.mark.parametrize(
    "text", ["", "lamella:", "http://example.org", "lamella:aaaaaaaaaaaaaaaa", "x" * 9999]
)
def test_what_is_no_join_string_is_named_with_the_next_step(text: str) -> None:
    with pytest.raises(BadJoinString, match="copy it whole"):
        read_join_string(text)


def test_a_later_version_asks_for_an_update() -> None:
    with pytest.raises(BadJoinString, match="update Lamella"):
        read_join_string(sealed(canonical([2, "main", []])))


def test_the_farthest_reaching_contacts_are_chosen() -> None:
    link = Contact.parse("[fe80::1%eth0]:7311")
    homes = [Contact.parse(f"192.168.1.{number}:7311") for number in range(1, 20)]
    made = read_join_string(make_join_string("main", [link, *homes, PUBLIC, PUBLIC]))
    assert made.contacts[0] == PUBLIC
    assert len(made.contacts) == limits.MAX_INVITED_CONTACTS
    assert link not in made.contacts


def test_without_a_contact_for_others_there_is_no_join_string() -> None:
    with pytest.raises(BadJoinString, match="--listen"):
        make_join_string("main", [Contact.parse("[fe80::1%eth0]:7311")])
    with pytest.raises(BadJoinString, match="another name"):
        make_join_string("a\nb", [PUBLIC])
