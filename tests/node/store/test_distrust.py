from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.store.distrust import KEPT_S, MAX_ENTRIES, Distrust


class Clock:
    """Unix time that a test sets."""

    now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "distrust.json"


def test_who_lied_is_remembered_by_the_next_process(path: Path) -> None:
    Distrust(path).remember("peer a")
    again = Distrust(path)
    assert "peer a" in again
    assert "peer b" not in again
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_after_a_week_a_lie_is_forgotten(path: Path) -> None:
    clock = Clock()
    distrust = Distrust(path, clock)
    distrust.remember("peer a")
    clock.now += KEPT_S - 1
    assert "peer a" in distrust
    clock.now += 2
    assert "peer a" not in distrust
    assert "peer a" not in Distrust(path, clock)


def test_a_clock_that_was_far_ahead_does_not_make_a_lie_last(path: Path) -> None:
    clock = Clock()
    clock.now += 100 * KEPT_S
    Distrust(path, clock).remember("peer a")
    clock.now -= 100 * KEPT_S
    assert "peer a" not in Distrust(path, clock)


def test_of_too_many_the_oldest_go(path: Path) -> None:
    clock = Clock()
    distrust = Distrust(path, clock)
    entries = {f"peer {number}": clock.now + number / 1000 for number in range(MAX_ENTRIES)}
    path.parent.mkdir()
    path.write_text(json.dumps({"version": 1, "sources": entries}))
    clock.now += 10
    distrust.remember("last")
    again = Distrust(path, clock)
    assert "last" in again
    assert "peer 0" not in again
    assert "peer 1" in again


def test_what_another_process_wrote_meanwhile_is_kept(path: Path) -> None:
    first, second = Distrust(path), Distrust(path)
    first.remember("peer a")
    second.remember("peer b")
    again = Distrust(path)
    assert "peer a" in again
    assert "peer b" in again


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": 2, "sources": {"x": 1e9}}',
        b'{"version": 1, "sources": []}',
        b'{"version": 1, "sources": {"x": "soon", "y": null, "z": true}}',
        b'{"version": 1, "sources": {"x": NaN, "y": Infinity}}',
        b'{"version": 1, "sources": {"x": ' + b"9" * 5000 + b"}}",
        b" " * 2_000_000,
    ],
    ids=lambda data: repr(data[:40]),
)
def test_a_damaged_file_is_as_good_as_none(path: Path, data: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(data)
    distrust = Distrust(path, Clock())
    assert "x" not in distrust
    distrust.remember("peer a")
    assert "peer a" in Distrust(path, Clock())


def test_a_place_that_cannot_be_written_costs_only_the_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    distrust = Distrust(tmp_path / "file" / "distrust.json")
    distrust.remember("peer a")
    assert "peer a" in distrust


def test_only_a_name_can_be_distrusted(path: Path) -> None:
    assert 7 not in Distrust(path)
