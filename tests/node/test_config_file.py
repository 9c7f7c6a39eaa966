from __future__ import annotations

import os
from pathlib import Path

import pytest

from node import config_file
from node.config_file import read_table, usual_file
from node.errors import ConfigError, ConfigUnreadable


def write(folder: Path, data: str | bytes) -> Path:
    path = folder / "node.toml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_keys_are_known_in_both_spellings(tmp_path: Path) -> None:
    path = write(tmp_path, "kv-memory = '1G'\nmax_sessions = 3\n[[slice]]\nmodel = 'a'")
    assert read_table(path, required=True) == {
        "kv_memory": "1G",
        "max_sessions": 3,
        "slice": [{"model": "a"}],
    }


def test_a_key_in_both_spellings_at_once_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="says 'kv_memory' twice; leave out one"):
        read_table(write(tmp_path, "kv-memory = '1G'\nkv_memory = '2G'"), required=True)


@pytest.mark.parametrize(
    "data",
    ["a = ", b"\xff\xfe", "a = " + "[" * 50_000, "a = " + "9" * 50_000, "a = 1\na = 2", "\0"],
    ids=["cut", "not text", "deep", "long number", "twice", "nul"],
)
def test_what_is_not_toml_is_refused_in_one_line(tmp_path: Path, data: str | bytes) -> None:
    with pytest.raises(ConfigUnreadable, match="is not TOML") as caught:
        read_table(write(tmp_path, data), required=True)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_missing_file_says_nothing_unless_it_was_asked_for(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", write(tmp_path, "") / "none.toml"):
        assert read_table(path, required=False) == {}
        with pytest.raises(ConfigUnreadable, match="there is no configuration file"):
            read_table(path, required=True)


def test_a_folder_a_pipe_and_a_device_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ConfigUnreadable):
            read_table(path, required=False)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_file, "MOST_BYTES", 10)
    assert read_table(write(tmp_path, "# 23456789"), required=True) == {}
    with pytest.raises(ConfigUnreadable, match="is longer than"):
        read_table(write(tmp_path, "# 234567890"), required=True)


def test_the_usual_file_is_in_the_folder_of_what_people_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert usual_file() == tmp_path / "lamella/node.toml"


def test_a_user_without_a_home_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "relative")
    assert usual_file() is None
