"""Shards are safetensors, the same each time, and a folder appears whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from safetensors.numpy import load_file

from node.store import shards
from node.store.safetensors_header import read_header
from node.store.shards import CannotWrite, NewFolder


class Tensor(NamedTuple):
    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int


CODES = Tensor("a.10.codes", "I8", (3, 5), 15)
SCALE = Tensor("a.10.scale", "BF16", (3,), 6)
NORM = Tensor("a.2", "F32", (2,), 8)


def write(out: Path, groups: list[list[Tensor]], shard_bytes: int = 1 << 20) -> None:
    planned = shards.plan(groups, shard_bytes)
    with NewFolder(out) as new:
        for shard in planned:
            with new.open_shard(shard) as writer:
                for tensor in (one for group in groups for one in group):
                    if tensor.name in shard.offsets:
                        half = tensor.nbytes // 2
                        data = memoryview(bytes(range(tensor.nbytes)))
                        writer.write(tensor.name, 0, data[:half])
                        writer.write(tensor.name, half, data[half:])
        new.write_index(planned)
        new.write("small.json", b"{}")
        new.finish()


def test_what_is_written_is_read_by_every_reader(tmp_path: Path) -> None:
    write(tmp_path / "out", [[CODES], [NORM]])
    path = tmp_path / "out" / "model-00001-of-00001.safetensors"
    assert [one.name for one in read_header(path)] == ["a.2", "a.10.codes"]
    assert load_file(path)["a.10.codes"].tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]


def test_a_table_of_integers_is_copied_and_comes_before_what_is_narrower(tmp_path: Path) -> None:
    table, short = Tensor("a.3.table", "I64", (1, 2), 16), Tensor("a.1.table", "I32", (1, 3), 12)
    write(tmp_path / "out", [[CODES, short, table]])
    path = tmp_path / "out" / "model-00001-of-00001.safetensors"
    assert [one.name for one in read_header(path)] == ["a.3.table", "a.1.table", "a.10.codes"]
    assert load_file(path)["a.3.table"].tolist() == [[0x0706050403020100, 0x0F0E0D0C0B0A0908]]


def test_shards_are_bounded_and_keep_what_belongs_together(tmp_path: Path) -> None:
    write(tmp_path / "out", [[NORM], [CODES, SCALE], [NORM._replace(name="b")]], shard_bytes=10)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 8 + 21 + 8}
    assert list(index["weight_map"]) == ["a.2", "a.10.codes", "a.10.scale", "b"]
    assert index["weight_map"]["a.10.codes"] == index["weight_map"]["a.10.scale"]
    assert len(set(index["weight_map"].values())) == 3


def test_every_tensor_is_aligned() -> None:
    (shard,) = shards.plan([[CODES, SCALE], [NORM]])
    assert shard.offsets["a.2"] % 8 == 0
    assert shard.offsets["a.10.scale"] % 2 == 0


def test_the_same_tensors_make_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(tmp_path / name, [[CODES, SCALE], [NORM]], shard_bytes=16)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_an_end_in_the_middle_leaves_nothing_behind(tmp_path: Path, kind: type[BaseException]) -> None:
    (shard,) = shards.plan([[CODES]])
    with pytest.raises(kind), NewFolder(tmp_path / "out") as new, new.open_shard(shard) as writer:
        writer.write("a.10.codes", 0, memoryview(b"12"))
        raise kind
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_has_the_rights_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    write(tmp_path / "out", [[NORM]])
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "out")]
    assert modes[0] == modes[1]


def test_an_empty_folder_is_taken_and_anything_else_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", [[NORM]])
    with pytest.raises(CannotWrite, match="not an empty folder"):
        NewFolder(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="not an empty folder"):
        NewFolder(tmp_path / "file")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CannotWrite, match="not an empty folder"):
        NewFolder(tmp_path / "dangling")
    with pytest.raises(CannotWrite, match="there is no folder"):
        NewFolder(tmp_path / "none" / "out")


def test_what_comes_in_between_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite), NewFolder(tmp_path / "out") as new:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "theirs").write_text("")
        new.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "theirs").exists()


def test_a_disk_without_room_is_told_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=10**9))
    with NewFolder(tmp_path / "out") as new:
        new.check_room(10**9)
        with pytest.raises(CannotWrite, match=r"1\.0 GB free where 1\.5 GB are to be written; make room"):
            new.check_room(15 * 10**8)


def test_a_disk_that_fills_up_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    (shard,) = shards.plan([[CODES]])
    with NewFolder(tmp_path / "out") as new:
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(CannotWrite, match="No space left"), new.open_shard(shard):
            raise AssertionError("it was opened")
    assert list(tmp_path.iterdir()) == []


def test_a_small_file_can_be_written_anew(tmp_path: Path) -> None:
    with NewFolder(tmp_path / "out") as new:
        new.write("note", b"one")
        new.replace("note", b"two")
        new.finish()
    assert (tmp_path / "out" / "note").read_bytes() == b"two"


def test_names_are_sorted_as_a_person_would() -> None:
    assert sorted(["l.10.a", "l.9.b", "l.9.a", "k"], key=shards.natural) == ["k", "l.9.a", "l.9.b", "l.10.a"]
