"""`lamella-node service` from words to sentences, and what it makes of a host's configuration."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from node import paths, service_steps
from node.cli import parse
from node.config import NodeConfig
from node.service.errors import FolderTooWide, NotInstalled, StartFailed
from node.service.installing import Service
from node.service.programs import Programs
from node.service.unit import DEFAULT_NICE
from node.service_cli import parse_service
from node.status import StatusLine
from tests.fakes.systemd_programs import FakeSystemd

WORDS = ("--model", "pocket", "--layers", "6:12")


class Desk:
    """What a person has before them."""

    def __init__(self, folder: Path) -> None:
        self.units = folder / ".config" / "systemd" / "user"
        self.systemd = FakeSystemd(folder / "systemd", self.units)
        self.service = Service(Programs(self.systemd.environ(), booted=folder), config=folder / ".config")
        self.out, self.err = io.StringIO(), io.StringIO()

    async def run(self, *words: str) -> bool:
        config = parse_service(words)
        status = StatusLine(as_json=config.json, out=self.out, err=self.err)
        return await service_steps.run(config, status, self.service)

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def desk(home: Path) -> Desk:
    return Desk(home)


async def test_the_whole_life_in_sentences(desk: Desk) -> None:
    desk.systemd.set(text="serves pocket 6:12", lines="ready")
    assert await desk.run("install", "--", *WORDS)
    assert "the service runs: serves pocket 6:12" in desk.err.getvalue()
    assert "it starts when the machine does" in desk.err.getvalue()
    assert await desk.run("status")
    shown = desk.out.getvalue()
    assert shown.startswith("lamella-node runs: serves pocket 6:12\n")
    for said in (
        "since",
        "process   4711",
        "restarts  0",
        "it starts when the machine does",
        "lamella-node.service",
    ):
        assert said in shown
    assert await desk.run("logs")
    assert await desk.run("uninstall")
    assert f"identity and weights stay, in {paths.data_dir()}" in desk.err.getvalue()
    assert await desk.run("uninstall")
    assert "no service was installed" in desk.err.getvalue()


async def test_a_script_gets_events(desk: Desk) -> None:
    await desk.run("install", "--json", "--", *WORDS)
    await desk.run("status", "--json")
    await desk.run("uninstall", "--json")
    found = {str(one["event"]): one for one in desk.events()}
    assert {"installed", "status", "linger", "uninstalled"} <= found.keys()
    assert found["status"]["active_state"] == "active"
    assert found["status"]["pid"] == 4711
    assert found["installed"]["sandbox"] is True
    assert len(found["uninstalled"]["removed"]) == 2  # type: ignore[arg-type] # a list, of what JSON cannot tell


async def test_the_last_lines_of_a_host_that_failed_are_shown(desk: Desk) -> None:
    desk.systemd.set(start="fails", lines="the port is taken")
    with pytest.raises(StartFailed):
        await desk.run("install", "--", *WORDS)
    assert "  the port is taken\n" in desk.err.getvalue()


async def test_a_machine_without_a_sandbox_is_told_so(desk: Desk) -> None:
    desk.systemd.refuse("systemd-run", "Job failed")
    await desk.run("install", "--", *WORDS)
    assert "no sandbox" in desk.err.getvalue()


async def test_the_status_of_nothing_is_an_error_and_of_a_failed_host_no_success(desk: Desk) -> None:
    with pytest.raises(NotInstalled):
        await desk.run("status")
    await desk.run("install", "--", *WORDS)
    desk.systemd.set(active="failed")
    desk.systemd.refuse("show-user", "no")
    assert not await desk.run("status")
    assert "next      its last lines say why: lamella-node service logs" in desk.out.getvalue()
    assert "is not known" in desk.out.getvalue()


async def test_an_identity_elsewhere_is_made_before_the_service_is_confined(desk: Desk, home: Path) -> None:
    await desk.run("install", "--", *WORDS, "--identity", str(home / "keys" / "identity"))
    assert (home / "keys" / "identity").exists()
    text = (desk.units / "lamella-node.service").read_text()
    assert f"ReadWritePaths={home}/keys" not in text


def test_a_host_writes_to_its_own_folders_and_is_shown_no_keys(home: Path) -> None:
    found = service_steps.wanted(parse(WORDS), WORDS, {})
    assert found.command == (sys.executable, "-P", "-m", "node", *WORDS)
    assert found.folder == Path.cwd()
    assert found.writable == (home / ".local/share/lamella", home / ".cache/lamella")
    assert (found.cache, found.runtime) == ("lamella", "lamella")
    assert home / ".ssh" in found.hidden
    assert not found.devices


def test_what_the_host_uses_is_not_hidden_from_it(home: Path) -> None:
    words = ("--model", str(home / ".aws" / "model"), "--identity", str(home / ".ssh" / "lamella"))
    found = service_steps.wanted(parse(words), words, {})
    assert home / ".ssh" not in found.hidden
    assert home / ".aws" not in found.hidden
    assert home / ".gnupg" in found.hidden


@pytest.mark.parametrize(
    ("model", "private"), [("/tmp/model", False), ("/var/tmp/model", False), ("/srv/model", True)]
)
def test_a_model_in_the_shared_temporary_folder_keeps_it_in_sight(
    model: str, private: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/somebody"))
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    # Wherever these tests are: what is installed here is not below the shared folder.
    monkeypatch.setattr(sys, "prefix", "/opt/lamella")
    words = ("--model", model)
    assert service_steps.wanted(parse(words), words, {}).private_tmp is private


@pytest.mark.parametrize("words", [("--config", "/tmp/node.toml"), ("--bootstrap=/tmp/list",)])
def test_a_file_in_the_shared_temporary_folder_keeps_it_in_sight(
    words: tuple[str, ...], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr(Path, "cwd", lambda: Path("/home/somebody"))
    monkeypatch.setattr(sys, "prefix", "/opt/lamella")
    config = NodeConfig(slices=())
    assert service_steps.wanted(config, (), {}).private_tmp
    assert not service_steps.wanted(config, words, {}).private_tmp


def test_a_control_socket_elsewhere_can_be_made_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1")

    def writable(path: Path | str) -> tuple[Path, ...]:
        return service_steps.wanted(NodeConfig(slices=(), control=Path(path)), (), {}).writable

    usual = writable("/run/user/1/lamella/other.sock")
    assert usual == service_steps.wanted(NodeConfig(slices=()), (), {}).writable
    assert writable(home / "sockets" / "one") == (*usual, home / "sockets")
    for wide in (home / "control.sock", "/control.sock"):
        with pytest.raises(FolderTooWide, match="a folder of its own"):
            writable(wide)


def test_a_niceness_that_was_chosen_is_that_of_the_service(home: Path) -> None:
    assert service_steps.wanted(NodeConfig(slices=()), (), {}).nice == DEFAULT_NICE
    # Nobody can come forward again from where systemd has put them.
    assert service_steps.wanted(NodeConfig(slices=(), nice=3), (), {}).nice == 3


def test_another_cache_is_not_made_by_systemd(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "elsewhere"))
    found = service_steps.wanted(parse(WORDS), WORDS, {})
    assert found.cache is None
    assert home / "elsewhere" / "lamella" in found.writable


def test_settings_come_along_and_secrets_do_not(home: Path) -> None:
    environ = {
        "PATH": "/bin",
        "HF_TOKEN": "hf_secret",
        "LAMELLA_API_TOKEN": "secret",
        "LAMELLA_DISK": "20G",
        "LAMELLA_NODE_BOOTSTRAP_KEY": "00ff",
        "XDG_DATA_HOME": "/srv/data",
        "https_proxy": "http://me:secret@proxy:1",
        "http_proxy": "http://proxy:1",
    }
    found = service_steps.wanted(parse(WORDS), WORDS, environ)
    assert dict(found.environment) == {
        "LAMELLA_DISK": "20G", "LAMELLA_NODE_BOOTSTRAP_KEY": "00ff", "XDG_DATA_HOME": "/srv/data", "http_proxy": "http://proxy:1"
    }  # fmt: skip
