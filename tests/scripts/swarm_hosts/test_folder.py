from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.swarm_hosts.errors import AlreadyRunning, NotRunning, SwarmError
from scripts.swarm_hosts.folder import SwarmFolder
from scripts.swarm_hosts.plan import SwarmPlan
from scripts.swarm_hosts.processes import ProcessId
from wire.types import LayerRange

PLAN = SwarmPlan(model="pocket", layers=(LayerRange(1, 8), LayerRange(8, 24)))


@pytest.fixture
def folder(tmp_path: Path) -> SwarmFolder:
    return SwarmFolder(tmp_path / ".swarm")


def me() -> ProcessId:
    """This process."""
    found = ProcessId.of(os.getpid())
    assert found is not None
    return found


def test_one_command_at_a_time_holds_the_lock_and_is_named(folder: SwarmFolder) -> None:
    with folder.locked("demo"), pytest.raises(AlreadyRunning) as caught, folder.locked("start"):
        pytest.fail("entered")
    assert "`demo` is at work on this swarm since 20" in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)
    assert folder.holder() is None
    with folder.locked("stop"):
        holder = folder.holder()
        assert holder is not None
        assert (holder.command, holder.process) == ("stop", me())
    assert folder.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{", '{"process": 3}'])
def test_a_lock_whose_holder_has_not_written_its_name_is_still_a_lock(folder: SwarmFolder, text: str) -> None:
    with folder.locked("demo"):
        (folder.path / "lock").write_text(text)
        assert folder.holder() is None
        with pytest.raises(AlreadyRunning, match="another command is at work"), folder.locked("start"):
            pytest.fail("entered")


def test_what_was_written_is_read_and_forgotten(folder: SwarmFolder) -> None:
    with pytest.raises(NotRunning, match="begin with: scripts/"):
        folder.read()
    with folder.locked("start"):
        hosts = folder.write(PLAN)
    model, since, again = folder.read()
    assert (model, again) == ("pocket", hosts)
    assert since.startswith("20")
    assert [(host.number, host.layers) for host in hosts] == [(1, LayerRange(1, 8)), (2, LayerRange(8, 24))]
    assert not folder.left()
    (hosts[0].folder / "identity").touch()
    (hosts[0].folder / "process").write_text(me().record())
    folder.forget()
    assert (hosts[0].folder / "identity").exists()
    with pytest.raises(NotRunning):
        folder.read()


def test_a_host_that_runs_keeps_a_second_swarm_away_even_without_the_list_of_hosts(
    folder: SwarmFolder,
) -> None:
    with folder.locked("start"):
        _, second = folder.write(PLAN)
    folder.refuse_a_second()
    (second.folder / "process").write_text(me().record())
    with pytest.raises(AlreadyRunning, match=rf"since 20.* \(pid {os.getpid()}\); stop it first"):
        folder.refuse_a_second()
    (folder.path / "swarm.json").unlink()
    with pytest.raises(AlreadyRunning, match=rf"runs here \(pid {os.getpid()}\)"):
        folder.refuse_a_second()
    assert [host.number for host in folder.running()] == [2]


def test_records_of_hosts_that_are_gone_are_in_nobodys_way(folder: SwarmFolder) -> None:
    with folder.locked("start"):
        first, second = folder.write(PLAN)
    gone = me()
    (first.folder / "process").write_text(ProcessId(gone.pid, gone.started_ticks + 1, gone.boot).record())
    (second.folder / "process").write_text("damaged")
    folder.refuse_a_second()
    assert (len(folder.left()), len(folder.running())) == (2, 0)
    with folder.locked("start"):
        folder.write(PLAN)
    assert not folder.left()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"layers": [1]}', '{"layers": ["8:1"]}', '{"layers": 3}'])
def test_a_damaged_list_of_hosts_is_told_with_the_way_out(folder: SwarmFolder, text: str) -> None:
    with folder.locked("start"):
        folder.write(PLAN)
    (folder.path / "swarm.json").write_text(text)
    with pytest.raises(SwarmError, match=r"cannot be read; run: scripts/local-swarm.sh stop"):
        folder.read()


def test_a_host_is_known_by_its_latest_words(folder: SwarmFolder) -> None:
    with folder.locked("start"):
        host, _ = folder.write(PLAN)
    assert (host.address, host.peer_id, host.process, host.log_tail()) == (None, None, None, ())
    words = (
        "a library speaks\n[1]\n3\n"
        '{"event": "loading"}\n{"event": "ready", "address": "127.0.0.1:1", "peer_id": "p"}\n{"event": "rea'
    )
    (host.folder / "status.jsonl").write_text(words)
    (host.folder / "log").write_bytes(b"x" * 50_000 + b"\none\n\x1b[31mtwo\xff\n")
    assert (host.address, host.peer_id) == ("127.0.0.1:1", "p")
    assert host.said("error") is None
    assert host.log_tail(2) == ("one", "[31mtwo\ufffd")
    assert host.log_tail(1) == ("[31mtwo\ufffd",)
