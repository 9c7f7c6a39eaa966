"""Asking systemd: real processes, every way they can fail, and nothing of them left."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from node.service.errors import (
    NoSystemd,
    NotAllowed,
    NoUserManager,
    ServiceError,
    SystemdFailed,
    SystemdSilent,
)
from node.service.programs import Programs
from tests.fakes.deadline import until
from tests.fakes.systemd_programs import FakeSystemd


@pytest.fixture
def systemd(tmp_path: Path) -> FakeSystemd:
    return FakeSystemd(tmp_path / "systemd", tmp_path)


def programs(systemd: FakeSystemd, *, timeout_s: float = 30.0) -> Programs:
    return Programs(systemd.environ(), timeout_s=timeout_s, booted=systemd.folder)


async def test_words_reach_the_program_as_they_are(systemd: FakeSystemd) -> None:
    assert await programs(systemd).systemctl("show", "--property=Version", "--value") == "252 (252.38-1)\n"
    await programs(systemd).systemctl("enable", "$(reboot); a b")
    assert systemd.asked()[1] == [
        "systemctl", "--user", "--no-pager", "--no-ask-password", "enable", "$(reboot); a b"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Failed to connect to bus: No medium found", NoUserManager),
        ("Failed to connect to bus: Permission denied", NoUserManager),
        ("Failed to connect to user scope bus via local transport: $DBUS_SESSION_BUS_ADDRESS", NoUserManager),
        ("Failed to enable unit: Access denied", NotAllowed),
        ("Could not enable linger: Interactive authentication required.", NotAllowed),
        ("Failed to start x.service: Unit x.service not found.", SystemdFailed),
        ("", SystemdFailed),
    ],
)
async def test_each_refusal_has_its_error(systemd: FakeSystemd, said: str, error: type[ServiceError]) -> None:
    systemd.refuse("start", said)
    with pytest.raises(error) as caught:
        await programs(systemd).systemctl("start", "x.service")
    assert type(caught.value) is error
    assert (said or "it ended with 1") in caught.value.cause
    assert caught.value.next_step


async def test_where_systemd_does_not_run_the_machine_that_is_said(systemd: FakeSystemd) -> None:
    systemd.refuse("show", "Failed to connect to bus: No medium found")
    with pytest.raises(NoSystemd, match="does not run this machine"):
        await Programs(systemd.environ(), booted=systemd.folder / "none").systemctl("show")


async def test_a_machine_without_the_program_has_no_systemd(tmp_path: Path) -> None:
    with pytest.raises(NoSystemd, match="`systemctl` is not installed"):
        await Programs({"PATH": str(tmp_path)}).systemctl("show")


async def test_how_to_reach_the_users_systemd_is_told(systemd: FakeSystemd) -> None:
    systemd.refuse("show", "Failed to connect to bus: No medium found")
    with pytest.raises(NoUserManager) as caught:
        await programs(systemd).systemctl("show")
    assert f"loginctl enable-linger {os.getuid()}" in caught.value.next_step
    assert f"XDG_RUNTIME_DIR=/run/user/{os.getuid()}" in caught.value.next_step


async def test_a_program_that_never_answers_is_ended(systemd: FakeSystemd) -> None:
    systemd.hang("show")
    before = children()
    with pytest.raises(SystemdSilent, match="did not answer within"):
        await programs(systemd, timeout_s=0.3).systemctl("show")
    assert children() <= before


@pytest.mark.parametrize("program", ["systemctl", "journalctl"])
async def test_a_cancelled_question_leaves_no_process(systemd: FakeSystemd, program: str) -> None:
    systemd.hang("show", "journalctl")
    before = children()
    one = programs(systemd)
    asking = asyncio.ensure_future(
        one.systemctl("show") if program == "systemctl" else one.show_to_person("journalctl")
    )
    await until(systemd.asked)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert children() <= before


async def test_a_flood_of_output_is_cut_off_and_read_to_its_end(systemd: FakeSystemd) -> None:
    systemd.set(lines="\n".join(["x" * 1000] * 3000))
    answer = await programs(systemd).run("journalctl", "--user")
    assert (answer.exit_status, len(answer.out)) == (0, 1 << 20)


async def test_one_language_and_no_pager_whatever_the_person_has(systemd: FakeSystemd) -> None:
    program = systemd.path / "env"
    program.write_text("#!/bin/sh\n/usr/bin/env\n")
    program.chmod(0o755)
    environ = systemd.environ(LANG="de_DE.UTF-8", LANGUAGE="de", SYSTEMD_PAGER="less")
    answer = await Programs(environ).run("env")
    lines = answer.out.splitlines()
    assert {"LC_ALL=C", "SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"} <= set(lines)
    assert not any(line.startswith("LANGUAGE=") for line in lines)


def test_the_folder_of_the_session_is_known_when_it_is_one(systemd: FakeSystemd) -> None:
    assert programs(systemd).runtime == systemd.folder / "run"
    assert Programs({"XDG_RUNTIME_DIR": "relative"}).runtime is None


def children() -> set[str]:
    """The processes that this one has started and that are still there, other tests' servers included."""
    return {
        one for task in Path("/proc/self/task").iterdir() for one in (task / "children").read_text().split()
    }
