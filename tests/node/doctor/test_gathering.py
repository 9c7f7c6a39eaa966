"""Each part is collected by itself; what cannot be had is listed with the reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.doctor import gathering
from node.doctor.gathering import Nothing, Places
from node.service.errors import NoSystemd
from node.service.programs import Programs
from node.store.chunks import ChunkStore
from tests.fakes.control import STATUS, IdleHost, serving
from tests.fakes.systemd_programs import FakeSystemd


def places(folder: Path, socket: Path | None = None) -> Places:
    return Places(
        config=folder / "config",
        weights=folder / "weights",
        socket=socket or folder / "none.sock",
        environ={},
    )


async def test_on_an_empty_machine_there_are_versions_and_reasons(tmp_path: Path) -> None:
    found = await gathering.gather(places(tmp_path), Programs({"PATH": str(tmp_path)}), [])
    assert [one.name for one in found.parts] == ["doctor.json", "build.json", "configuration.json"]
    missing = {one.name: one.why for one in found.absent}
    assert "journalctl" in missing["service.log"]
    assert "no weights" in missing["store.json"]
    assert any("no host runs" in why for why in missing.values())
    assert not (tmp_path / "weights").exists()


async def test_a_running_host_is_asked_and_what_it_refuses_is_listed(tmp_path: Path) -> None:
    ChunkStore(tmp_path / "weights")
    systemd = FakeSystemd(tmp_path / "systemd", tmp_path / "units")
    systemd.set(lines="Nov 21 lamella-node[7]: ready")
    async with serving(IdleHost()) as server:
        found = await gathering.gather(places(tmp_path, server.path), Programs(systemd.environ()), [])
    parts = {one.name: one.value for one in found.parts}
    assert parts["status.json"]["peer_id"] == STATUS.peer_id
    assert parts["service.log"] == "Nov 21 lamella-node[7]: ready\n"
    assert json.loads(parts["host.log"])["message"] == "ready"
    assert parts["store.json"]["models"] == ()
    assert {one.name for one in found.absent} == {"hosting.json", "metrics.json", "peers.json"}


def test_configuration_is_read_and_what_is_no_toml_is_not_told(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text('[limits]\nmemory = "6G"\n')
    (tmp_path / "broken.toml").write_text("token = s3cret-value-that-is-not-quoted")
    (tmp_path / "other.txt").write_text("not ours")
    found = gathering.configuration(tmp_path, {"LAMELLA_LAN": "no", "HOME": "/x", "OMP_NUM_THREADS": "2"})
    assert found == {
        "files": {"broken.toml": "not TOML: TOMLDecodeError", "node.toml": {"limits": {"memory": "6G"}}},
        "variables": {"LAMELLA_LAN": "no", "OMP_NUM_THREADS": "2"},
    }
    assert gathering.configuration(tmp_path / "none", {}) == {"files": {}, "variables": {}}


async def test_a_journal_without_lines_is_nothing(tmp_path: Path) -> None:
    systemd = FakeSystemd(tmp_path / "systemd", tmp_path / "units")
    with pytest.raises(Nothing):
        await gathering.journal(Programs(systemd.environ()))
    with pytest.raises(NoSystemd):
        await gathering.journal(Programs({"PATH": str(tmp_path)}))
    words = systemd.asked()[0]
    assert "--no-hostname" in words
    assert "lamella-node.service" in words


def test_versions_are_told_without_importing_anything() -> None:
    facts = gathering.build_facts()
    assert facts["versions"]["torch"]
    assert facts["versions"]["lamella"]


def test_a_store_is_described_and_never_made(tmp_path: Path) -> None:
    with pytest.raises(Nothing):
        gathering.stored(tmp_path / "weights")
    ChunkStore(tmp_path / "weights")
    assert gathering.stored(tmp_path / "weights")["bytes_on_disk"] == 0
