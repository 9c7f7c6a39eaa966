from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from node import paths
from node.errors import NoHomeDirectory

CASES = [
    (paths.data_dir, "XDG_DATA_HOME", ".local/share/lamella"),
    (paths.cache_dir, "XDG_CACHE_HOME", ".cache/lamella"),
    (paths.config_dir, "XDG_CONFIG_HOME", ".config/lamella"),
    (paths.runtime_dir, "XDG_RUNTIME_DIR", ".cache/lamella/run"),
]
Directory = Callable[[], Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for _, variable, _ in CASES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(("directory", "variable", "default"), CASES)
def test_a_directory_is_named_by_its_variable(
    directory: Directory, variable: str, default: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "/some/where")
    assert directory() == Path("/some/where/lamella")


@pytest.mark.parametrize("value", [None, "", "relative/path"])
@pytest.mark.parametrize(("directory", "variable", "default"), CASES)
def test_without_a_usable_variable_it_is_below_the_home(
    directory: Directory,
    variable: str,
    default: str,
    value: str | None,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if value is not None:
        monkeypatch.setenv(variable, value)
    assert directory() == home / default


def test_both_entry_points_share_one_identity_file(home: Path) -> None:
    assert paths.identity_file() == home / ".local/share/lamella/identity"


def test_a_relative_home_is_refused_with_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "relative")
    with pytest.raises(NoHomeDirectory, match="set HOME or XDG_DATA_HOME"):
        paths.data_dir()


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> pwd.struct_passwd:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(NoHomeDirectory, match="set HOME or XDG_CONFIG_HOME"):
        paths.config_dir()


def test_a_private_directory_and_its_missing_parents_are_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        paths.make_private(tmp_path / "a" / "b")
        paths.make_private(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    for made in (tmp_path / "a", tmp_path / "a" / "b"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_an_existing_directory_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    paths.make_private(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_the_way_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        paths.make_private(tmp_path / "file" / "below")


@pytest.mark.parametrize(
    ("known", "trusted"),
    [
        ("         0          0 4294967295\n", {0}),
        ("0 1000 1\n1 100000 65536\n", {0}),
        ("1000 1000 1\n", {0, 65_534}),
        ("", {0, 65_534}),
        ("damaged", {0}),
    ],
)
def test_where_root_is_not_known_folders_of_nobody_known_are_as_safe_as_its_own(
    known: str, trusted: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "map").write_text(known)
    (tmp_path / "unknown").write_text("65534\n")
    monkeypatch.setattr(paths, "_USERS_KNOWN", tmp_path / "map")
    monkeypatch.setattr(paths, "_UNKNOWN_USER", tmp_path / "unknown")
    assert paths.trusted_owners() == {*trusted, os.geteuid()}
    (tmp_path / "map").unlink()
    assert paths.trusted_owners() == {0, os.geteuid()}


def test_what_was_asked_of_a_host_is_kept_by_who_it_is(home: Path) -> None:
    assert paths.intents_file("abc") == home / ".local/share/lamella/intents/abc.json"
