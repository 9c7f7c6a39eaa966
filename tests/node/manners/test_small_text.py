from __future__ import annotations

import os
from pathlib import Path

import pytest

from node.manners.small_text import read_number, read_small


def test_a_files_beginning_is_read_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "long"
    file.write_bytes(b" " + b"x" * 1_000_000)
    assert read_small(file, 100) == "x" * 99


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert read_small(tmp_path / "missing") == ""
    assert read_small(tmp_path / "folder") == ""
    assert read_small(Path("a\0b")) == ""


def test_a_pipe_without_another_end_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_small(tmp_path / "pipe") == ""


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "odd"
    file.write_bytes(b"\xff\x00\xfe5")
    assert read_number(file) is None
    assert len(read_small(file)) == 4


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1\n", 1),
        (" 42 ", 42),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("9" * 200, int("9" * 64)),
        ("1 2", None),
        ("x", None),
    ],
)
def test_only_a_whole_number_is_one(tmp_path: Path, text: str, number: int | None) -> None:
    file = tmp_path / "number"
    file.write_text(text)
    assert read_number(file) == number
