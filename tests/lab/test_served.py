"""The real host as a service, by the words a person types: it computes, heals, keeps what it was asked, and goes.

All tests share one service, as a person has one, in this order: one stops it, the next starts it, the last removes it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from chat.events import TextDelta
from crypto.identity import PeerId
from scripts.make_model import write_tiny
from tests.fakes import asking, chat_folder, whole
from tests.lab.user_systemd import HOME, ROOT, RUNTIME, UserSystemd, needs_user_systemd, user_systemd
from wire.contacts import Contact
from wire.tensors import WeightFormat
from wire.types import Address, Sampling

pytestmark = needs_user_systemd()

UNIT: Final = "lamella-node.service"
PROGRAM: Final = str(ROOT / ".venv/bin/lamella-node")
MODEL: Final = HOME / "models/tiny"
CONFIG: Final = HOME / ".config"
UNITS: Final = CONFIG / "systemd/user"
DATA: Final = HOME / ".local/share/lamella"
NUMERICS: Final = ("--dtype", "bfloat16", "--weights", "int8")
"""Both are computed by code that is made as it is first needed, which some ways to confine a program forbid."""
WORDS: Final = (
    *("--model", str(MODEL), "--layers", "0:3", "--listen", "127.0.0.1:0", "--threads", "2", "--grace", "12"),
    *("--no-lan", "--no-map", "--no-dht", *NUMERICS),
)
# This tree, wherever the environment was installed from; and what systemd waits for.
SETTINGS: Final = f"""[Service]
Environment=PYTHONPATH={ROOT} PYTHONDONTWRITEBYTECODE=1
WatchdogSec=6s
RestartSec=1s
"""
START_S: Final = 180.0
"""A start imports torch at a low priority, beside whatever else this machine does."""
SEEN_S: Final = 60.0
IDS: Final = list(b"hello")


def wait_for(what: Callable[[], bool], limit_s: float = SEEN_S) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Service:
    """What a person sees and does, and what a client of it gets."""

    systemd: UserSystemd
    model: Path
    client: Path
    installed: dict[str, Any]
    """What the first install said."""

    def run(self, *words: str, ends_well: bool = True) -> list[dict[str, Any]]:
        """The lines of JSON that `lamella-node` prints."""
        done = self.systemd.at_home(PROGRAM, *words[:2], "--json", *words[2:])
        assert (done.returncode == 0) == ends_well, done.stdout + done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ctl(self, *words: str) -> dict[str, Any]:
        """The last answer of the host to a command."""
        result: dict[str, Any] = self.run("ctl", *words)[-1]["ok"]
        return result

    def show(self, name: str) -> str:
        return self.systemd.show(UNIT, name)

    @property
    def pid(self) -> int:
        found = int(self.show("MainPID"))
        assert found > 1, "0 would be this test itself, for a signal"
        return found

    def until_again(self, restarts: int) -> None:
        """Wait until systemd has started it once more, and it serves."""
        wait_for(lambda: int(self.show("NRestarts")) > restarts)
        wait_for(lambda: self.show("ActiveState") == "active", START_S)

    def contact(self) -> Contact:
        status = self.ctl("status")
        return Contact(peer=PeerId.parse(status["peer_id"]), address=Address.parse(status["addresses"][0]))

    def tokens(self, count: int, told: Callable[[], None] | None = None) -> list[int]:
        """An answer, all of it computed there; `told` is called when it has begun."""
        return asyncio.run(self._tokens(count, told))

    async def _tokens(self, count: int, told: Callable[[], None] | None) -> list[int]:
        options = {"dtype": "bfloat16", "weights": WeightFormat.INT8, "front_layers": 0, "dht": False}
        drawn: list[int] = []
        async with asking.client(self.model, [self.contact()], self.client, **options) as client:
            async for event in client.session.answer(IDS, asking.NoText(), asking.answer_options(count)):
                if isinstance(event, TextDelta):
                    if not drawn and told is not None:
                        told()
                    drawn += event.token_ids
        return drawn

    def layers(self) -> dict[str, str]:
        return {one["layers"]: one["state"] for one in self.ctl("status")["slices"]}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch, user_systemd(folder / "log") as systemd:
        for name in ("DATA", "CACHE", "CONFIG"):
            patch.setenv(f"XDG_{name}_HOME", str(folder / name))
        made = write_tiny(folder / "tiny", "llama", vocab_size=512, dtype=torch.bfloat16)
        model = chat_folder.byte_level(made)
        systemd.bring(model, MODEL)
        systemd.write(UNITS / f"{UNIT}.d/test.conf", SETTINGS)
        host = Service(systemd, model, folder / "me", {})
        said = host.run("service", "install", "--", *WORDS)
        host.installed.update(next(one for one in said if one["event"] == "installed"))
        yield host


@pytest.fixture(scope="module")
def expected(service: Service) -> list[int]:
    """What the whole model answers, in this process."""
    held = whole.load(service.model, "bfloat16", WeightFormat.INT8)
    return whole.tokens(held, IDS, 300, Sampling())


def test_it_is_active_ready_and_says_what_it_serves(service: Service) -> None:
    assert (service.installed["active_state"], service.installed["ready"]) == ("active", True)
    assert (service.installed["sandbox"], service.installed["enabled"]) == (True, True)
    assert service.installed["status_text"].startswith("serves tiny 0:3 on 127.0.0.1:")
    (status,) = service.run("service", "status")
    assert (status["pid"], status["restarts"], status["stop_s"]) == (service.pid, 0, 27.0)
    shown = service.systemd.at_home(PROGRAM, "service", "status").stdout
    assert shown.startswith("lamella-node runs: serves tiny 0:3 on 127.0.0.1:")
    assert service.show("Type") == "notify"


def assert_confined(pid: int) -> None:
    """That a process is in a user namespace, without privileges, and stands back behind others."""
    status = Path(f"/proc/{pid}/status").read_text()
    facts = dict(one.split(":\t", 1) for one in status.splitlines())
    assert (facts["NoNewPrivs"], facts["Seccomp"], int(facts["CapBnd"], 16)) == ("1", "2", 0)
    assert int(facts["Threads"]) > 2
    (mapped,) = Path(f"/proc/{pid}/uid_map").read_text().splitlines()
    assert mapped.split()[2] == "1", "it knows one user"
    assert os.getpriority(os.PRIO_PROCESS, pid) == 10


def test_it_computes_exact_answers_though_it_is_confined(service: Service, expected: list[int]) -> None:
    joined = service.ctl("join", str(MODEL), "--layers", "3:5")
    assert joined["slice"]["state"] == "serving"
    assert service.tokens(24) == expected[:24]
    assert_confined(service.pid)
    wait_for(lambda: "serves tiny 0:3, tiny 3:5 on" in service.show("StatusText"))
    written = {
        one for one in service.systemd.files() if one.startswith((str(DATA), str(RUNTIME / "lamella")))
    }
    peer = service.ctl("status")["peer_id"]
    assert {f"{DATA}/identity", f"{DATA}/intents/{peer}.json", f"{RUNTIME}/lamella/control.sock"} <= written


def test_a_reload_says_what_took_effect_and_what_could_not_be_read(service: Service) -> None:
    pid, file = service.pid, CONFIG / "lamella/node.toml"

    def logged(text: str) -> bool:
        return any(text in str(one) for one in service.run("ctl", "logs"))

    service.systemd.write(file, "max-sessions = 7\ndisk = '20G'\n")
    service.systemd.said("systemctl", "--user", "reload", UNIT)
    wait_for(lambda: logged("max-sessions"))
    assert logged("disk")
    service.systemd.write(file, "max-session = 7\n")
    service.systemd.said("systemctl", "--user", "reload", UNIT)
    wait_for(lambda: logged("the configuration is as before"))
    service.systemd.said("rm", str(file))
    assert (service.pid, service.show("ActiveState")) == (pid, "active")


def test_a_host_that_is_killed_comes_back_with_its_slices(service: Service, expected: list[int]) -> None:
    restarts = int(service.show("NRestarts"))
    os.kill(service.pid, signal.SIGKILL)
    service.until_again(restarts)
    assert service.layers() == {"0:3": "serving", "3:5": "serving"}
    assert service.tokens(24) == expected[:24]


def test_a_host_that_hangs_is_restarted_by_the_watchdog(service: Service) -> None:
    pid, restarts = service.pid, int(service.show("NRestarts"))
    os.kill(pid, signal.SIGSTOP)
    service.until_again(restarts)
    assert service.pid != pid
    assert service.layers() == {"0:3": "serving", "3:5": "serving"}


def test_a_stop_lets_answers_finish_within_its_time(service: Service, expected: list[int]) -> None:
    def stop() -> None:
        service.systemd.said("systemctl", "--user", "stop", "--no-block", UNIT)

    assert service.tokens(300, told=stop) == expected
    wait_for(lambda: service.show("ActiveState") == "inactive")
    assert service.show("Result") == "success"
    shown = service.systemd.at_home(PROGRAM, "service", "status").stdout
    assert shown.startswith("lamella-node does not run\n")


def test_an_install_that_cannot_serve_says_why_and_the_former_one_serves_all_it_had(service: Service) -> None:
    before = service.systemd.read(UNITS / UNIT)
    words = ("--model", "/nowhere/model", *WORDS[2:])
    done = service.systemd.at_home(PROGRAM, "service", "install", "--", *words)
    assert done.returncode == 1
    assert "/nowhere/model" in done.stderr, "why, though no journal runs here"
    assert "did not start" in done.stderr
    assert service.systemd.read(UNITS / UNIT) == before
    wait_for(lambda: service.show("ActiveState") == "active", START_S)
    # It was stopped, and not told to leave any of them.
    assert service.layers() == {"0:3": "serving", "3:5": "serving"}


def test_a_journal_that_is_not_there_is_told_with_where_else_to_look(service: Service) -> None:
    done = service.systemd.at_home(PROGRAM, "service", "logs")
    assert done.returncode == 1
    assert "`lamella-node ctl logs`" in done.stderr


def test_uninstalling_leaves_what_is_the_persons_and_nothing_else(service: Service) -> None:
    done = service.systemd.at_home(PROGRAM, "service", "uninstall")
    assert done.returncode == 0, done.stderr
    assert f"identity and weights stay, in {DATA}" in done.stderr
    left = service.systemd.files()
    assert not [one for one in left if UNIT in one or one.startswith(f"{CONFIG}/systemd")]
    assert f"{DATA}/identity" in left
    assert f"{RUNTIME}/lamella/control.sock" not in left
    assert service.show("LoadState") == "not-found"
    assert service.systemd.at_home(PROGRAM, "service", "uninstall").stderr == "no service was installed\n"
    (told,) = service.run("service", "status", ends_well=False)
    assert told["event"] == "error"
    assert "`lamella-node service install` does that" in told["message"]
