"""Why there is nobody: one sentence with the next step."""

from __future__ import annotations

import pytest

from crypto.identity import PeerId
from node.discovery.entries import Entry, Failure, Road
from node.discovery.trouble import of_all, of_one
from wire.contacts import Contact
from wire.types import Address

CONTACT = Contact(peer=PeerId(bytes(32)), address=Address("8.8.8.8", 7311))


def failing(*whys: Failure | None) -> list[Entry]:
    return [
        Entry(contact=CONTACT, heard=0.0, due=0.0, roads={Road.CONFIGURED}, failure=why, failures=1)
        for why in whys
    ]


@pytest.mark.parametrize("why", list(Failure))
def test_each_failure_of_one_contact_is_a_sentence(why: Failure) -> None:
    text = str(of_one(CONTACT, why))
    assert text.count("; ") >= 1 and "\n" not in text and not text.endswith(".")
    assert why is Failure.NO_NETWORK or "8.8.8.8:7311" in text
    assert str(of_all(failing(why))) == text


def test_nobody_known_names_all_ways_in() -> None:
    trouble = of_all([])
    assert trouble is not None
    assert "--peer" in trouble.next_step and "--join" in trouble.next_step


def test_while_one_answers_or_is_untried_there_is_no_trouble() -> None:
    assert of_all(failing(Failure.SILENT, None)) is None


def test_many_failures_are_counted_and_the_commonest_decides_the_next_step() -> None:
    trouble = of_all(failing(Failure.SILENT, Failure.REFUSED, Failure.SILENT, Failure.NO_NETWORK))
    assert trouble is not None
    assert trouble.cause == "none of 4 known contacts can be reached (2 silent, 1 refusing)"
    assert "firewall" in trouble.next_step


def test_no_network_is_said_once() -> None:
    assert str(of_all(failing(Failure.NO_NETWORK, Failure.NO_NETWORK))).startswith(
        "this machine has no network;"
    )
