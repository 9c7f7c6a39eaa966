"""The socket is in nobody else's reach, a dead one is replaced, and a live one never."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from node.control import place
from node.control.errors import HostIsRunning, PlaceUnsafe, PlaceUnusable
from tests.fakes.control import short_folder

ROUNDS = 20
CLAIM_AND_DIE = "import os, sys; from pathlib import Path; from node.control import place; place.claim(Path(sys.argv[1])); os._exit(9)"  # fmt: skip  # noqa: E501 - one program of one line


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(path)) == 0


def test_a_socket_is_for_its_user_alone_and_gone_afterwards(folder: Path) -> None:
    before = os.umask(0)
    try:
        claim = place.claim(folder / "new" / "control.sock")
    finally:
        os.umask(before)
    assert stat.S_IMODE(claim.path.lstat().st_mode) == 0o600
    assert stat.S_IMODE(claim.path.parent.stat().st_mode) == 0o700
    assert _answers(claim.path)
    claim.release()
    assert not claim.path.exists()


def test_a_live_socket_is_not_replaced(folder: Path) -> None:
    claim = place.claim(folder / "s")
    with pytest.raises(HostIsRunning, match="another host of this user runs"):
        place.claim(folder / "s")
    assert _answers(folder / "s")
    claim.release()


def test_a_live_socket_is_not_replaced_even_when_its_lock_was_tidied_away(folder: Path) -> None:
    claim = place.claim(folder / "s")
    (folder / "s.lock").unlink()
    with pytest.raises(HostIsRunning):
        place.claim(folder / "s")
    assert _answers(folder / "s")
    claim.release()


def test_a_live_socket_with_a_full_queue_of_callers_is_not_replaced(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as caller:
        other.bind(str(folder / "s"))
        other.listen(0)
        caller.connect(str(folder / "s"))
        with pytest.raises(HostIsRunning):
            place.claim(folder / "s")


def test_what_a_killed_host_left_is_replaced(folder: Path) -> None:
    path = folder / "s"
    dead = subprocess.run([sys.executable, "-c", CLAIM_AND_DIE, str(path)], cwd=Path.cwd(), check=False)
    assert dead.returncode == 9
    assert stat.S_ISSOCK(path.lstat().st_mode) and not _answers(path)
    claim = place.claim(path)
    assert _answers(path)
    claim.release()


def test_a_host_that_was_killed_while_it_made_its_socket_leaves_nothing_in_the_way(folder: Path) -> None:
    (folder / "s.new").touch()
    claim = place.claim(folder / "s")
    assert sorted(one.name for one in folder.iterdir()) == ["s", "s.lock"]
    claim.release()


def test_of_many_hosts_that_start_at_once_exactly_one_wins(folder: Path) -> None:
    path, hosts = folder / "s", 6
    with ThreadPoolExecutor(hosts) as threads:
        for _ in range(ROUNDS):
            barrier = Barrier(hosts)

            def start(gate: Barrier = barrier) -> place.Claim | None:
                gate.wait()
                try:
                    return place.claim(path)
                except HostIsRunning:
                    return None

            claims = [one for one in threads.map(lambda _: start(), range(hosts)) if one is not None]
            assert len(claims) == 1
            assert _answers(path)
            if _ % 2:
                claims[0].release()
            else:
                # As a killed one: the kernel takes the lock back, the file stays.
                claims[0].listener.close()
                os.close(claims[0].lock)


def test_a_host_takes_only_its_own_socket_away(folder: Path) -> None:
    claim = place.claim(folder / "s")
    (folder / "s").unlink()
    (folder / "s").write_text("another's")
    claim.release()
    assert (folder / "s").read_text() == "another's"


@pytest.mark.parametrize("name", ["file", "folder", "link"])
def test_what_is_no_socket_is_not_replaced(folder: Path, name: str) -> None:
    path = folder / name
    if name == "file":
        path.write_text("mine")
    elif name == "folder":
        path.mkdir()
    else:
        path.symlink_to(folder / "elsewhere")
    with pytest.raises(PlaceUnsafe, match="is not a socket"):
        place.claim(path)
    assert path.lstat()


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_where_others_can_write_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(PlaceUnsafe, match="chmod 700"):
        place.claim(folder / "s")


def test_a_folder_that_others_can_replace_is_refused(folder: Path) -> None:
    (folder / "inner").mkdir(mode=0o700)
    folder.chmod(0o777)
    with pytest.raises(PlaceUnsafe, match="above the control socket"):
        place.claim(folder / "inner" / "s")


def test_a_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PlaceUnsafe):
        place.claim(folder / "s")


def test_a_folder_that_is_a_link_is_refused(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "link").symlink_to(folder / "real")
    with pytest.raises(PlaceUnsafe, match="symbolic link"):
        place.claim(folder / "link" / "s")


def test_a_lock_that_is_a_link_is_not_followed(folder: Path) -> None:
    (folder / "s.lock").symlink_to(folder / "elsewhere")
    with pytest.raises(PlaceUnusable):
        place.claim(folder / "s")
    assert not (folder / "elsewhere").exists()


def test_a_path_that_no_socket_can_have_is_told_as_such(folder: Path) -> None:
    with pytest.raises(PlaceUnusable, match="too long for a socket"):
        place.claim(folder / ("x" * 100))


def test_a_disk_that_takes_nothing_is_told_as_such(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(PlaceUnusable, match="cannot be made"):
        place.claim(folder / "file" / "s")


def test_a_refused_place_leaves_no_lock_behind(folder: Path) -> None:
    (folder / "s").touch()
    with pytest.raises(PlaceUnsafe):
        place.claim(folder / "s")
    (folder / "s").unlink()
    place.claim(folder / "s").release()


def test_the_socket_is_in_the_runtime_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    assert place.default_path() == Path("/run/user/7/lamella/control.sock")
