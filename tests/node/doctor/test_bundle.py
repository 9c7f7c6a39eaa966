"""A bundle is one file for this user alone, that replaces none, and is not written while a secret is in it."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from node.doctor import bundle
from node.doctor.bundle import Absent, Part
from node.doctor.errors import OutTaken, OutUnwritable, SecretLeft
from node.doctor.redacting import Known, Redactor

REDACTOR = Redactor(Known(secrets=("hunter22",), users=("jane",)))
PARTS = [
    Part(name="a.json", about="some facts", value={"who": "jane", "n": 1}),
    Part(name="b.log", about="a log", value="jane said hunter22\nnothing else"),
]


def test_members_are_redacted_and_listed() -> None:
    texts = bundle.members(PARTS, [Absent(name="c.json", why="jane has none")], REDACTOR)
    assert list(texts) == [bundle.CONTENTS, "a.json", "b.log"]
    assert texts["b.log"] == "user said <removed>\nnothing else\n"
    assert '"who": "user"' in texts["a.json"]
    contents = texts[bundle.CONTENTS]
    assert "a.json: some facts" in contents
    assert "c.json: user has none" in contents
    assert all(one in contents for one in bundle.LEFT_OUT)


def test_the_file_holds_the_texts_and_nothing_of_who_packed_it(tmp_path: Path) -> None:
    texts = bundle.members(PARTS, [], REDACTOR)
    path = tmp_path / "out.tar.gz"
    assert bundle.write(path, texts, REDACTOR) == path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        found = archive.getmembers()
        assert [one.name for one in found] == [f"{bundle.FOLDER}/{name}" for name in texts]
        assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in found} == {(0, 0, "", "", 0)}
        read = [io.TextIOWrapper(file).read() for one in found if (file := archive.extractfile(one))]
    assert read == list(texts.values())


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.tar.gz"
    path.write_text("mine")
    with pytest.raises(OutTaken, match="--out"):
        bundle.write(path, {}, REDACTOR)
    assert path.read_text() == "mine"
    link = tmp_path / "link.tar.gz"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutTaken):
        bundle.write(link, {}, REDACTOR)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutUnwritable, match="another folder"):
        bundle.write(tmp_path / "none" / "out.tar.gz", {}, REDACTOR)


def test_nothing_is_written_while_a_secret_is_left(tmp_path: Path) -> None:
    with pytest.raises(SecretLeft, match=r"b\.log") as caught:
        bundle.write(tmp_path / "out.tar.gz", {"b.log": "it is hunter22"}, REDACTOR)
    assert "hunter22" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_long_log_loses_its_beginning() -> None:
    line = "x y" * 500
    texts = bundle.members([Part(name="b.log", about="", value="\n".join([line] * 750))], [], REDACTOR)
    assert len(texts["b.log"]) == bundle.MOST_MEMBER_BYTES
