"""The service under a real systemd of an unprivileged user: its whole life, and what its sandbox really holds."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from node.service.installing import TRY
from node.service.unit import SANDBOX
from tests.lab.user_systemd import HOME, ROOT, RUNTIME, UserSystemd, needs_user_systemd, user_systemd

pytestmark = needs_user_systemd()

UNIT = "lamella-node.service"
PYTHON = str(ROOT / ".venv/bin/python")
SEEN = HOME / ".local/share/lamella/seen.json"
QUICK = {"watchdog_s": 1.0, "restart_s": 0.1, "restart_max_s": 0.1}
SLOWLY = {"restart_s": 2.0, "restart_max_s": 2.0}
"""So that a failure is seen before the next start, as with the real times."""
NASTY = [
    "a b",
    "50%",
    "%h",
    "$HOME",
    "${HOME}",
    "$$",
    "\\",
    "\\n",
    "'",
    '"',
    ";",
    "",
    "é\n\t\x01\x7f\x85\u200b",
    "-x",
    "#",
]


@pytest.fixture(scope="module")
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UserSystemd]:
    with user_systemd(tmp_path_factory.mktemp("systemd") / "log") as running:
        yield running


@pytest.fixture
def session(systemd: UserSystemd) -> Iterator[UserSystemd]:
    """The same for all tests, with nothing installed before and after each."""
    yield systemd
    if systemd.show(UNIT, "LoadState") != "not-found":
        assert driven(systemd, "uninstall").keys() == {"removed"}


def driven(systemd: UserSystemd, *words: str) -> dict[str, Any]:
    """Have the service installed, looked at or removed by that user."""
    answer = json.loads(systemd.said(PYTHON, "-m", "tests.lab.service_driver", *words))
    assert isinstance(answer, dict)
    return answer


def installed(systemd: UserSystemd, *words: str, **settings: object) -> dict[str, Any]:
    return driven(systemd, "install", json.dumps({"words": words, **QUICK, **settings}))


def wait_for(what: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_installed_host_is_active_and_ready_and_will_start_by_itself(session: UserSystemd) -> None:
    found = installed(session, "hello")
    assert (found["active_state"], found["ready"], found["enabled"]) == ("active", True, True)
    assert found["status_text"] == "serves pocket 6:12"
    assert found["unit_path"] == str(HOME / ".config/systemd/user" / UNIT)
    assert session.show(UNIT, "NRestarts") == "0"
    assert session.show(UNIT, "WatchdogUSec") == "1s"
    assert session.said("systemctl", "--user", "is-enabled", UNIT).strip() == "enabled"


def test_uninstalling_leaves_nothing_but_what_the_host_itself_keeps(session: UserSystemd) -> None:
    before = session.files()
    installed(session, "hello")
    session.said("systemctl", "--user", "set-property", UNIT, "CPUWeight=10")
    drop_in = HOME / ".config/systemd/user" / f"{UNIT}.d"
    session.said("sh", "-c", f"mkdir {drop_in} && printf '[Service]\nNice=5\n' > {drop_in}/own.conf")
    pid = session.show(UNIT, "MainPID")
    removed = driven(session, "uninstall")["removed"]
    assert str(drop_in) in removed
    kept = (str(HOME / ".local"), str(HOME / ".cache"), str(HOME / ".config"), str(RUNTIME / "lamella"))
    left = {one for one in session.files() - before if "/systemd/transient" not in one}
    assert all(one.startswith(kept) for one in left), left
    assert not [one for one in left if "systemd" in one]
    assert not Path(f"/proc/{pid}").exists()
    assert session.show(UNIT, "LoadState") == "not-found"
    assert UNIT not in session.said("systemctl", "--user", "list-units", "--all", "--plain")
    assert driven(session, "uninstall")["removed"] == []


def test_every_word_reaches_the_host_as_it_was_given(session: UserSystemd) -> None:
    installed(session, *NASTY)
    assert session.read_json(SEEN)["words"] == NASTY


def test_the_host_can_write_to_its_own_folders_only_and_sees_no_keys(session: UserSystemd) -> None:
    assert installed(session, "hello")["sandbox"] is True
    seen = session.read_json(SEEN)
    assert seen["writes"] == {
        "home": "OSError",
        "data": "yes",
        "cache": "yes",
        "runtime": "yes",
        "tmp": "yes",
    }
    # A checkout below the shared folder has to stay in sight.
    assert (seen["tmp"] == 0) != Path(__file__).is_relative_to("/tmp")
    assert seen["private"] == "hidden"
    assert (seen["no_new_privileges"], seen["seccomp"], int(seen["capabilities"], 16)) == ("1", "2", 0)
    assert seen["nice"] == 10


def test_a_sandbox_that_silently_does_not_hold_is_noticed(systemd: UserSystemd) -> None:
    def tried(*lines: str) -> int:
        told = ["--user", "--quiet", "--collect", "--property=Type=oneshot", "--property=NoNewPrivileges=yes"]
        words = [
            *told,
            *(f"--property={line}" for line in lines),
            "--",
            PYTHON,
            "-I",
            "-S",
            "-c",
            TRY,
            str(HOME),
        ]
        return systemd.command("systemd-run", *words).returncode

    assert tried(*SANDBOX) == 0
    assert tried() != 0
    for line in ("ProtectProc=invisible", "ProtectControlGroups=yes", "ProtectKernelTunables=yes"):
        assert tried(*SANDBOX, line) != 0
    assert tried(*(line for line in SANDBOX if not line.startswith("PrivateUsers"))) != 0


def test_a_host_whose_loop_hangs_is_restarted_by_the_watchdog(session: UserSystemd) -> None:
    installed(session, "hello")
    pid = int(session.show(UNIT, "MainPID"))
    time.sleep(1.6)  # longer than the watchdog's patience: a host that lives is left alone
    assert int(session.show(UNIT, "MainPID")) == pid
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: session.show(UNIT, "NRestarts") == "1", 25)
    wait_for(lambda: session.show(UNIT, "ActiveState") == "active")
    assert int(session.show(UNIT, "MainPID")) != pid


def test_a_host_that_dies_is_started_again_and_one_told_to_stop_is_not(session: UserSystemd) -> None:
    installed(session, "hello")
    os.kill(int(session.show(UNIT, "MainPID")), signal.SIGKILL)
    wait_for(lambda: session.show(UNIT, "NRestarts") == "1" and session.show(UNIT, "ActiveState") == "active")
    os.kill(int(session.show(UNIT, "MainPID")), signal.SIGTERM)
    wait_for(lambda: session.show(UNIT, "ActiveState") == "inactive")
    assert session.show(UNIT, "Result") == "success"


def test_a_reload_reaches_the_host_and_it_stays_up(session: UserSystemd) -> None:
    pid = installed(session, "hello")["pid"]
    session.said("systemctl", "--user", "reload", UNIT)
    wait_for(lambda: session.show(UNIT, "StatusText") == "serves pocket 6:12, reloaded")
    assert int(session.show(UNIT, "MainPID")) == pid
    assert session.show(UNIT, "ActiveState") == "active"


def test_a_host_that_cannot_start_is_not_left_behind(session: UserSystemd) -> None:
    found = installed(session, "fail", **SLOWLY)
    assert found["error"] == "StartFailed"
    assert "could not start" in found["cause"]
    assert session.show(UNIT, "LoadState") == "not-found"
    assert not [one for one in session.files() if UNIT in one]


def test_installing_again_replaces_and_a_failure_puts_the_old_one_back(session: UserSystemd) -> None:
    first = installed(session, "first")
    second = installed(session, "second")
    assert second["pid"] != first["pid"]
    assert session.read_json(SEEN)["words"] == ["second"]
    assert installed(session, "fail", **SLOWLY)["error"] == "StartFailed"
    wait_for(lambda: session.show(UNIT, "ActiveState") == "active")
    assert session.read_json(SEEN)["words"] == ["second"]


def test_a_host_that_takes_long_is_left_at_it(session: UserSystemd) -> None:
    found = installed(session, "never-ready", wait_s=1.0)
    assert found["error"] == "NotReadyYet"
    assert "fetching 12 %" in found["cause"]
    assert session.show(UNIT, "ActiveState") == "activating"


def test_a_unit_that_lamella_did_not_write_is_left_alone(session: UserSystemd) -> None:
    path = HOME / ".config/systemd/user" / UNIT
    session.said("sh", "-c", f"mkdir -p {path.parent} && printf '[Service]\nExecStart=/bin/true\n' > {path}")
    assert installed(session, "hello")["error"] == "ForeignUnit"
    assert driven(session, "uninstall")["error"] == "ForeignUnit"
    assert session.read(path) == "[Service]\nExecStart=/bin/true\n"
    session.said("rm", str(path))
    session.said("systemctl", "--user", "daemon-reload")
