"""A list counts while its process lives, and for nobody afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.store.errors import StoreUnusable
from node.store.lease import LeaseFile, listed

ONE, TWO = {b"1" * 32: 10}, {b"2" * 32: 20}


def test_lists_add_up_until_they_are_closed(tmp_path: Path) -> None:
    first, second = LeaseFile(tmp_path), LeaseFile(tmp_path)
    first.add(ONE)
    second.add(ONE)
    second.add(TWO)
    assert listed(tmp_path) == ONE | TWO
    second.close()
    assert listed(tmp_path) == ONE
    first.close()
    assert not listed(tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "left").write_bytes(b"3" * 40)
    assert not listed(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_record_cut_short_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = LeaseFile(tmp_path)
    lease.add(ONE)
    with next(tmp_path.iterdir()).open("ab") as file:
        file.write(b"4" * 39)
    assert listed(tmp_path) == ONE


def test_a_list_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = LeaseFile(tmp_path)
    lease.add(ONE)
    write = os.write

    def half(file: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(28, "No space left on device")
        return write(file, data[:20])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(StoreUnusable):
        lease.add(TWO)
    monkeypatch.undo()
    assert listed(tmp_path) == ONE


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="nowhere"):
        listed(tmp_path / "nowhere")
    with pytest.raises(StoreUnusable, match="nowhere"):
        LeaseFile(tmp_path / "nowhere")
