"""Secrets are planted wherever a report looks, and none of them is in it."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from node import diagnosing, keyfile
from node.control.arguments import NoArguments
from node.control.results import (
    Hosting,
    LogRecord,
    Metrics,
    PeerLine,
    Peers,
    SliceFacts,
    SliceState,
    Status,
)
from node.doctor.errors import OutTaken
from node.doctor.finding import Check, Finding, ok
from node.doctor_cli import parse_diagnostics
from node.status import StatusLine
from node.store.chunks import ChunkStore
from tests.fakes.control import STATUS, IdleHost, serving
from tests.fakes.systemd_programs import FakeSystemd
from wire.types import LayerRange, ModelId

PROMPT = "Why does my left knee hurt when it rains?"
FILE_TOKEN = "hf_FileTokenAbcdefghijklmnop"
ENV_TOKEN = "no-form-at-all-9"
PASSWORD = "correct-horse"
PEER_IP = "203.0.113.77"
PEER_IP_6 = "2001:db8:77:88::99"
PEER = "m" * 52


@dataclass(frozen=True)
class Machine:
    """A home full of secrets."""

    home: Path
    environ: dict[str, str]
    seed: str

    @property
    def planted(self) -> tuple[str, ...]:
        """All that must be nowhere."""
        whole = (FILE_TOKEN, ENV_TOKEN, PASSWORD, PROMPT, "left knee", PEER_IP, PEER_IP_6, PEER, "otheruser")
        return (*whole, self.seed, str(self.home), "jane", "proxyPassword")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    home = tmp_path / "home" / "jane"
    home.mkdir(parents=True)
    systemd = FakeSystemd(home / "systemd", home / "units")
    environ = systemd.environ(
        HOME=str(home),
        USER="jane",
        HF_TOKEN=ENV_TOKEN,
        LAMELLA_HUB_TOKEN=ENV_TOKEN,
        LAMELLA_PEER=f"{PEER}@{PEER_IP}:7311",
        LAMELLA_SYSTEM=f'prompt="{PROMPT}"',
        https_proxy="http://jane:proxyPassword@proxy.example:8080",
    )
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    identity = home / ".local/share/lamella/identity"
    keyfile.load_or_create(identity)
    seed = identity.read_text().split()[-1]
    config = home / ".config" / "lamella"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(
        f'system = "{PROMPT}"\npassword = "{PASSWORD}"\npeer = ["{PEER}@{PEER_IP}:7311"]\n'
        f'[hub]\ntoken = "{FILE_TOKEN}"\nurl = "https://jane:{PASSWORD}@hub.example/x?sig={PASSWORD}"\n'
        f'[{PASSWORD}-named]\nfolder = "{home}/models"\n'
    )
    (config / "broken.toml").write_text(f"password = {PASSWORD}")
    hub = home / ".cache" / "huggingface"
    hub.mkdir(parents=True)
    (hub / "token").write_text(FILE_TOKEN)
    store = ChunkStore(home / ".local/share/lamella/weights")
    store.catalogue.used(ModelId(bytes(32)), f"{home}/models/secret-of-jane", f"hf:jane/{FILE_TOKEN}@1")
    systemd.set(lines="\n".join(log_lines(home, seed)))
    return Machine(home=home, environ=environ, seed=seed)


def log_lines(home: Path, seed: str) -> list[str]:
    return [
        f"opened {home}/models and /home/otheruser/models as jane",
        f"link to {PEER} at {PEER_IP}:7311 and [{PEER_IP_6}]:7311 lost",
        f"Authorization: Bearer {FILE_TOKEN}",
        f"token {ENV_TOKEN} password={PASSWORD}",
        f"prompt: {PROMPT}",
        f"was asked {PROMPT!r} and {json.dumps(PROMPT)}",
        f"lamella-identity-1 {seed}",
        f"seed={seed}",
        json.dumps({"level": "info", "message": f"asked '{PROMPT}'", "prompt": PROMPT, "token": ENV_TOKEN}),
        "x" * 1990 + seed,
        f"connected with {PASSWORD} at last",
    ]


class LeakyHost(IdleHost):
    """A host that says what none should."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self._machine = machine
        self.log = [
            LogRecord(time=0, level="info", logger="x", message=line)
            for line in log_lines(machine.home, machine.seed)
        ]

    def handlers(self) -> Any:
        return {**super().handlers(), "peers": self.peers}

    async def status(self, arguments: NoArguments, tell: Any) -> Status:
        said = f"{PEER_IP} was told by {PEER}; {self._machine.seed}"
        return replace(STATUS, addresses=(f"{PEER_IP}:7311", f"[{PEER_IP_6}]:7311"), reachability=said)

    async def hosting(self, arguments: NoArguments, tell: Any) -> Hosting:
        name = f"{self._machine.home}/qwen"
        one = SliceFacts(
            name=name, model=name, model_id=None, layers=LayerRange(0, 2), state=SliceState.FAILED, detail=FILE_TOKEN
        )  # fmt: skip
        return Hosting(slices=(one,))

    async def metrics(self, arguments: NoArguments, tell: Any) -> Metrics:
        return Metrics(
            values={f'lamella_link_bytes{{peer="{PEER}",ip="{PEER_IP}"}}': 1.0, "tokens_total": 5.0}
        )

    async def peers(self, arguments: NoArguments, tell: Any) -> Peers:
        return Peers(peers=(PeerLine(peer=PEER, address=f"{PEER_IP}:7311"),))


def made(machine: Machine) -> list[Check]:
    async def look() -> Finding:
        return ok(
            f"{machine.home}/x at {PEER_IP}, {machine.seed}",
            password=PASSWORD,
            of=[FILE_TOKEN, f"'{PROMPT}'"],
        )

    return [Check(name="disk", look=look)]


async def written(machine: Machine, *words: str) -> tuple[dict[str, str], str, str]:
    """The texts of a report by name, and what was said on the way."""
    out = machine.home / "report.tar.gz"
    config = parse_diagnostics([*words, "--out", str(out)])
    to, err = io.StringIO(), io.StringIO()
    status = StatusLine(as_json=config.json, out=to, err=err)
    assert await diagnosing.run(config, status, made(machine), machine.environ)
    return read(out), to.getvalue(), err.getvalue()


def read(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        return {
            one.name.rpartition("/")[2]: file.read().decode()
            for one in archive
            if (file := archive.extractfile(one)) is not None
        }


async def test_secrets_planted_everywhere_are_nowhere_in_the_report(machine: Machine) -> None:
    async with serving(LeakyHost(machine)) as server:
        texts, said, _ = await written(machine, "--socket", str(server.path))
    assert set(texts) == {
        "CONTENTS.txt", "doctor.json", "build.json", "configuration.json", "service.log", "store.json",
        "status.json", "hosting.json", "metrics.json", "peers.json", "host.log",
    }  # fmt: skip
    for name, text in texts.items():
        assert [one for one in machine.planted if one in name + text] == [], name
    assert [one for one in machine.planted if one in said] == []


async def test_what_helps_is_still_there(machine: Machine) -> None:
    async with serving(LeakyHost(machine)) as server:
        texts, said, err = await written(machine, "--socket", str(server.path))
    assert json.loads(texts["status.json"])["links"] == STATUS.links
    assert json.loads(texts["metrics.json"])["values"]["tokens_total"] == 5.0
    assert "203.0.x.x:7311" in texts["peers.json"]
    assert "~/models" in texts["configuration.json"]
    assert json.loads(texts["doctor.json"])[0]["check"] == "disk"
    assert "opened ~/models and /home/user/models as user" in texts["service.log"]
    assert said.rstrip() == texts["CONTENTS.txt"].rstrip()
    assert "sent nowhere" in err


async def test_a_script_is_told_what_is_in_it(machine: Machine) -> None:
    texts, said, _ = await written(machine, "--json", "--socket", str(machine.home / "none.sock"))
    event = json.loads(said)
    assert event["event"] == "written"
    assert event["contents"] == list(texts)
    assert "the identity's private key" in event["left_out"]
    assert event["missing"]


async def test_a_file_that_is_there_is_kept_and_no_check_is_made(machine: Machine) -> None:
    out = machine.home / "report.tar.gz"
    await written(machine, "--socket", str(machine.home / "none.sock"))
    before = read(out)
    config = parse_diagnostics(["--out", str(out)])

    async def never() -> Finding:
        raise AssertionError

    with pytest.raises(OutTaken, match="--out"):
        await diagnosing.run(
            config,
            StatusLine(as_json=True, out=io.StringIO()),
            [Check(name="disk", look=never)],
            machine.environ,
        )
    assert read(out) == before
