from __future__ import annotations

import base64
import errno
import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.identity import Identity
from node import keyfile
from node.errors import (
    KeyFileDamaged,
    KeyFileError,
    KeyFileUnreadable,
    KeyFileUnsafe,
    KeyFileUnwritable,
)
from node.keyfile import load_or_create

SEED = bytes(range(32))
LINE = b"lamella-identity-1 " + base64.b32encode(SEED).rstrip(b"=").lower() + b"\n"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path / "identity"


def store(path: Path, data: bytes = LINE, mode: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(mode)


def refused(path: Path, kind: type[KeyFileError], words: str) -> None:
    """The file is refused in one sentence that has these words, and no secret is in it."""
    with pytest.raises(kind, match=words) as caught:
        load_or_create(path)
    text = str(caught.value)
    assert caught.value.path == path
    assert "\n" not in text
    assert caught.value.cause
    assert caught.value.next_step
    assert "aaaqea" not in text.lower()  # how the base32 of SEED begins


def test_a_new_identity_is_stored_for_this_user_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        nested = path.parent / "new" / "lamella" / "identity"
        identity = load_or_create(nested)
    finally:
        os.umask(before)
    assert stat.S_IMODE(nested.stat().st_mode) == 0o600
    assert stat.S_IMODE(nested.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(nested.parent.parent.stat().st_mode) == 0o700
    assert nested.stat().st_nlink == 1
    assert list(nested.parent.iterdir()) == [nested]
    assert load_or_create(nested).peer_id == identity.peer_id


def test_two_new_identities_differ(path: Path) -> None:
    assert load_or_create(path).peer_id != load_or_create(path.with_name("other")).peer_id


def test_the_format_is_one_line(path: Path) -> None:
    store(path)
    assert load_or_create(path).public_key == Identity.from_seed(SEED).public_key
    assert path.read_bytes() == LINE


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read_whatever_its_owner_may_do(path: Path, mode: int) -> None:
    store(path, mode=mode)
    assert load_or_create(path).public_key == Identity.from_seed(SEED).public_key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777])
def test_a_file_open_to_others_is_refused_and_left_as_it_is(path: Path, mode: int) -> None:
    store(path, mode=mode)
    refused(path, KeyFileUnsafe, f"mode {mode:04o}.*chmod 600")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == LINE


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o770, 0o777])
def test_a_directory_where_others_can_write_is_refused(path: Path, mode: int) -> None:
    path.parent.chmod(mode)
    refused(path, KeyFileUnsafe, "can replace files.*chmod 700")
    assert not path.exists()
    store(path)
    refused(path, KeyFileUnsafe, "can replace files.*chmod 700")


def test_a_file_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(path)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    refused(path, KeyFileUnsafe, f"belongs to user .*, not to user {other}.*run as its owner")


def test_a_directory_of_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = list(path.parent.stat())
    status[stat.ST_UID] = os.geteuid() + 1
    monkeypatch.setattr(Path, "stat", lambda self, **_: os.stat_result(status))
    refused(path, KeyFileUnsafe, "the directory .* belongs to user")


@pytest.mark.parametrize("dangling", [True, False])
def test_a_symbolic_link_is_refused(path: Path, dangling: bool) -> None:
    target = path.with_name("target")
    if not dangling:
        store(target)
    path.symlink_to(target)
    refused(path, KeyFileUnsafe, "symbolic link")
    assert target.exists() != dangling


def test_a_directory_in_its_place_is_refused(path: Path) -> None:
    path.mkdir(mode=0o700)
    refused(path, KeyFileUnsafe, "not a plain file")


def test_a_named_pipe_in_its_place_is_refused_without_waiting(path: Path) -> None:
    os.mkfifo(path, 0o600)
    refused(path, KeyFileUnsafe, "not a plain file")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        LINE[:-1],
        LINE + b"\n",
        LINE[:-2] + b"\n",
        LINE.replace(b"\n", b"\r\n"),
        LINE[:19] + LINE[19:].upper(),
        LINE[:-1] + b"====\n",
        LINE.replace(b" ", b"  "),
        b" " + LINE,
        LINE[19:],
        SEED,
        bytes(72),
        b"\xff" * 72,
        LINE * 1000,
    ],
    ids=repr,
)
def test_a_damaged_file_is_refused_and_left_as_it_is(path: Path, data: bytes) -> None:
    store(path, data)
    refused(path, KeyFileDamaged, "damaged; restore it from a backup")
    assert path.read_bytes() == data


def test_a_file_of_another_version_is_not_called_damaged(path: Path) -> None:
    store(path, LINE.replace(b"-1 ", b"-2 "))
    refused(path, KeyFileDamaged, "another format version; use the version of Lamella that made it")


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda data: b"lamella-identity-1 " + data))
def test_any_content_is_an_identity_or_a_typed_refusal(data: bytes) -> None:
    try:
        seed = keyfile._decode(Path("/x"), data)
    except KeyFileDamaged:
        return
    assert keyfile._encode(seed) == data


def test_a_file_where_a_directory_should_be_is_told(path: Path) -> None:
    store(path)
    refused(path / "identity", KeyFileUnreadable, "Not a directory")


def test_a_file_the_system_does_not_let_us_open_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    store(path)
    monkeypatch.setattr(os, "open", denied)
    refused(path, KeyFileUnreadable, "Permission denied.*check the permissions")


def test_a_failing_disk_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    store(path)
    monkeypatch.setattr(os, "read", failing)
    refused(path, KeyFileUnreadable, "Input/output error")


@pytest.mark.parametrize("written", [None, 10], ids=["nothing fits", "a part fits"])
def test_a_full_disk_is_told_and_leaves_nothing(
    path: Path, written: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int, data: bytes) -> int:
        if written is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    monkeypatch.setattr(os, "write", full)
    refused(path, KeyFileUnwritable, "No space left on device.*make room")
    assert list(path.parent.iterdir()) == []


def test_a_real_refusal_to_write_is_told_and_leaves_nothing(path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    program = (
        "import resource, sys; from pathlib import Path; from node.keyfile import load_or_create;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); load_or_create(Path(sys.argv[1]))"
    )
    result = subprocess.run(
        [sys.executable, "-B", "-c", program, str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    assert "KeyFileUnwritable" in result.stderr
    assert "File too large" in result.stderr
    assert list(path.parent.iterdir()) == []


def test_a_file_system_without_hard_links_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", unsupported)
    refused(path, KeyFileUnwritable, "Operation not permitted")
    assert list(path.parent.iterdir()) == []


def test_a_file_that_vanishes_at_once_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "_create", lambda path: None)
    refused(path, KeyFileUnwritable, "vanished")


def test_threads_that_start_at_once_end_with_one_identity(path: Path) -> None:
    workers = 8
    for turn in range(20):
        place = path.parent / f"turn {turn}" / "identity"
        barrier = threading.Barrier(workers, timeout=30)

        def start(place: Path = place, barrier: threading.Barrier = barrier) -> Identity:
            barrier.wait()
            return load_or_create(place)

        with ThreadPoolExecutor(workers) as pool:
            identities = [future.result() for future in [pool.submit(start) for _ in range(workers)]]
        assert len({identity.peer_id for identity in identities}) == 1
        assert list(place.parent.iterdir()) == [place]


def test_processes_that_start_at_once_end_with_one_identity(path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from node.keyfile import load_or_create; print('ready', flush=True);"
        "sys.stdin.readline(); print(load_or_create(Path(sys.argv[1])).peer_id)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-B", "-c", program, str(path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    printed = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert printed == {str(load_or_create(path).peer_id)}


def test_the_loser_of_the_race_takes_the_winners_identity(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process stores its file after we found none and before we link ours."""
    write = keyfile._write_private

    def overtaken(temporary: Path, data: bytes) -> None:
        write(temporary, data)
        store(path)

    monkeypatch.setattr(keyfile, "_write_private", overtaken)
    assert load_or_create(path).public_key == Identity.from_seed(SEED).public_key
    assert list(path.parent.iterdir()) == [path]
