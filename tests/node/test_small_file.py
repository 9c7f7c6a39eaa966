"""A small file is the old or the new one, whatever happens while it is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from node.small_file import read_object, remember, replace_file


def test_a_file_and_its_folders_are_made_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("step", ["fdopen", "replace"])
def test_what_was_there_stays_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if step == "fdopen" else Path, step, full)
    with pytest.raises(OSError, match="No space"):
        replace_file(path, b"new")
    assert not remember(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    assert remember(path, b"new")


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"mine")
    (tmp_path / "file").symlink_to(tmp_path / "other")
    replace_file(tmp_path / "file", b"new")
    assert (tmp_path / "other").read_bytes() == b"mine"
    assert not (tmp_path / "file").is_symlink()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{", b"7", b"\xff", b"[" * 100_000, b'{"a": "' + b"x" * 100 + b'"}']
)
def test_what_is_no_object_of_a_fitting_length_is_an_empty_one(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "file").write_bytes(data)
    assert read_object(tmp_path / "file", 100) == {}


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b'{"a": 1}')
    assert read_object(tmp_path / "file", 100) == {"a": 1}
    assert read_object(tmp_path / "nowhere", 100) == {}


def test_a_lasting_file_is_on_the_disk_before_its_name_and_its_name_before_this_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    flush, move = os.fsync, Path.replace

    def flushed(descriptor: int) -> None:
        flush(descriptor)
        done.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    def moved(source: Path, target: Path) -> Path:
        done.append("moved")
        return move(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(Path, "replace", moved)
    path = tmp_path / "a" / "b" / "file"
    replace_file(path, b"one", lasting=True)
    written, *names = done
    assert Path(written).parent == path.parent
    assert names == ["moved", str(tmp_path / "a" / "b"), str(tmp_path / "a"), str(tmp_path)]
    done.clear()
    replace_file(path, b"two", lasting=True)
    assert done[1:] == ["moved", str(path.parent)], "folders that were there are not waited for"
    done.clear()
    replace_file(path, b"three")
    assert done == ["moved"]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_a_file_that_cannot_be_made_to_last_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    path = tmp_path / "file"
    replace_file(path, b"old")
    calls: list[int] = []

    def broken(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == fails_at:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="Input/output"):
        replace_file(path, b"new", lasting=True)
    assert path.read_bytes() == (b"old" if fails_at == 1 else b"new")
    assert list(tmp_path.iterdir()) == [path]
