"""A host is asked where its settings say that it can be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from node import own_socket
from node.errors import ConfigError


def test_the_environment_wins_over_the_file_and_without_either_it_is_the_usual_place(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    assert own_socket.named({}, file) is None
    file.write_text('threads = 2\ncontrol = "/run/a"\n')
    assert own_socket.named({}, file) == Path("/run/a")
    assert own_socket.named({"LAMELLA_NODE_CONTROL": "~/b"}, file) == Path.home() / "b"


@pytest.mark.parametrize("text", ["control = ", 'control = "a"\ncontrol = "b"\n', "\udcff"])
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "node.toml"
    file.write_bytes(text.encode(errors="surrogateescape"))
    assert own_socket.named({}, file) is None


@pytest.mark.parametrize("value", ['"off"', "false"])
def test_a_host_without_a_socket_is_said_with_the_next_step(tmp_path: Path, value: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(f"control = {value}\n")
    with pytest.raises(ConfigError, match=r"node\.toml says that this user's host has no control socket"):
        own_socket.named({}, file)


def test_what_is_no_path_is_said_with_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("control = 5\n")
    assert own_socket.named({"LAMELLA_NODE_CONTROL": "/a"}, file) == Path("/a")
    with pytest.raises(ConfigError, match=r"node\.toml says control = 5, which is not"):
        # An empty variable says nothing.
        own_socket.named({"LAMELLA_NODE_CONTROL": ""}, file)


def test_without_words_it_is_this_process_and_this_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("LAMELLA_NODE_CONTROL", raising=False)
    (tmp_path / "lamella").mkdir()
    (tmp_path / "lamella" / "node.toml").write_text('control = "/run/c"\n')
    assert own_socket.named() == Path("/run/c")
    monkeypatch.setenv("LAMELLA_NODE_CONTROL", "/run/d")
    assert own_socket.named() == Path("/run/d")
