"""Contacts that answered outlive the process, and a damaged file costs only them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.discovery.book_file import MAX_KEPT, BookFile
from node.discovery.entries import KEPT_S, Known, Road
from tests.wire.test_contacts import CONTACTS
from wire.contacts import Contact

NOW = 1_800_000_000.0


def known(contact: Contact, answered_s: float | None) -> Known:
    return Known(contact=contact, roads=(Road.DHT,), answered_s=answered_s, failure=None, failures=0)


@pytest.fixture
def file(tmp_path: Path) -> BookFile:
    return BookFile(tmp_path / "new", "main")


def test_who_answered_is_met_again_latest_first(file: BookFile) -> None:
    early, late, never = (Contact.parse(f"8.8.8.{number}:1") for number in (1, 2, 3))
    assert file.save([known(early, 500.0), known(late, 5.0), known(never, None)], NOW)
    assert [(one.contact, one.age_s) for one in file.load(NOW + 10)] == [(late, 15.0), (early, 510.0)]
    assert [one.name for one in file.path.parent.iterdir()] == [file.path.name]


def test_networks_do_not_meet_on_disk(file: BookFile, tmp_path: Path) -> None:
    file.save([known(Contact.parse("8.8.8.8:1"), 1.0)], NOW)
    other = BookFile(tmp_path / "new", "other")
    assert other.path != file.path
    assert other.load(NOW) == []
    file.path.rename(other.path)
    assert other.load(NOW) == []
    assert "main" not in other.path.read_text()


@given(st.lists(st.tuples(CONTACTS, st.floats(0.0, KEPT_S - 1)), max_size=8, unique_by=lambda one: one[0]))
def test_every_contact_survives(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Contact, float]]
) -> None:
    file = BookFile(tmp_path_factory.mktemp("book"), "main")
    file.save([known(*row) for row in rows], NOW)
    assert {one.contact for one in file.load(NOW)} == {contact for contact, _ in rows}


def test_addresses_of_one_link_and_entries_past_the_bound_are_not_kept(file: BookFile) -> None:
    many = [known(Contact.parse(f"8.8.{n // 250}.{n % 250 + 1}:1"), float(n)) for n in range(MAX_KEPT + 50)]
    file.save([known(Contact.parse("[fe80::1%eth0]:1"), 0.0), *many], NOW)
    met = file.load(NOW)
    assert len(met) == MAX_KEPT
    assert met[0].contact == many[0].contact


def test_wrong_clocks_make_entries_young_or_old_and_nothing_worse(file: BookFile) -> None:
    file.save([known(Contact.parse("8.8.8.8:1"), 1.0)], NOW)
    assert [one.age_s for one in file.load(NOW - 86_400)] == [0.0]
    assert file.load(NOW + KEPT_S) == []


def spoiled(row: str) -> bytes:
    tag = BookFile(Path("x"), "main")._tag
    return f'{{"version": 1, "network": "{tag}", "contacts": [{row}]}}'.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b" " * 2_000_000,
        b'{"version": 2}',
        b'{"version": 1, "network": "main", "contacts": []}',
        spoiled("").replace(b"[]", b"{}"),
        spoiled("7"),
        spoiled('{"contact": "8.8.8.8:1"}'),
        spoiled('{"contact": 7, "answered": 1800000000}'),
        spoiled('{"contact": "example.org:1", "answered": 1800000000}'),
        spoiled('{"contact": "0.0.0.0:1", "answered": 1800000000}'),
        spoiled('{"contact": "8.8.8.8:1", "answered": "soon"}'),
        spoiled('{"contact": "8.8.8.8:1", "answered": NaN}'),
        spoiled('{"contact": "8.8.8.8:1", "answered": Infinity}'),
        spoiled('{"contact": "8.8.8.8:1", "answered": -1}'),
        spoiled('{"contact": "8.8.8.8:1", "answered": ' + "9" * 400 + "}"),
        spoiled(",".join(['{"contact": "8.8.8.8:1", "answered": 1800000000}'] * (MAX_KEPT + 1))),
    ],
    ids=lambda data: repr(data[:60]),
)
def test_a_damaged_file_is_as_good_as_none(file: BookFile, data: bytes) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(data)
    assert file.load(NOW) == []
    assert file.save([known(Contact.parse("8.8.8.8:1"), 1.0)], NOW)
    assert len(file.load(NOW)) == 1


def test_one_bad_row_does_not_cost_the_others(file: BookFile) -> None:
    file.save([known(Contact.parse("8.8.8.8:1"), 1.0)], NOW)
    raw = json.loads(file.path.read_text())
    raw["contacts"].append({"contact": "junk", "answered": NOW})
    file.path.write_text(json.dumps(raw))
    assert len(file.load(NOW)) == 1


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    file = BookFile(tmp_path / "file", "main")
    assert not file.save([], NOW)
    assert file.load(NOW) == []
