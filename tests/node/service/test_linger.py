"""Lingering: found out, turned on and off, and a refusal told as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.service import linger
from node.service.programs import Programs
from tests.fakes.systemd_programs import FakeSystemd


@pytest.fixture
def systemd(tmp_path: Path) -> FakeSystemd:
    return FakeSystemd(tmp_path / "systemd", tmp_path)


def programs(systemd: FakeSystemd) -> Programs:
    return Programs(systemd.environ(), booted=systemd.folder)


async def test_it_is_turned_on_once_and_off_again(systemd: FakeSystemd) -> None:
    done = await linger.turn_on(programs(systemd))
    assert (done.on, done.ours) == (True, True)
    assert done.text == "it starts when the machine does"
    again = await linger.turn_on(programs(systemd))
    assert (again.on, again.ours) == (True, False)
    assert [one[2] for one in systemd.asked() if "enable-linger" in one] == ["enable-linger"]
    assert (await linger.turn_off(programs(systemd))).on is False
    assert (await linger.look(programs(systemd))).on is False


async def test_a_refusal_is_told_with_what_an_administrator_can_do(systemd: FakeSystemd) -> None:
    systemd.refuse("enable-linger", "Could not enable linger: Access denied")
    done = await linger.turn_on(programs(systemd))
    assert (done.on, done.ours) == (False, False)
    assert "Access denied" in done.text
    assert "administrator run `loginctl enable-linger" in done.text


async def test_a_user_whom_nobody_knows_does_not_linger(systemd: FakeSystemd) -> None:
    systemd.refuse("show-user", "Failed to get user: User ID 0 is not logged in or lingering")
    assert (await linger.look(programs(systemd))).on is False


async def test_what_cannot_be_found_out_is_not_guessed(systemd: FakeSystemd, tmp_path: Path) -> None:
    systemd.refuse("show-user", "Failed to connect to bus")
    assert (await linger.look(programs(systemd))).on is None
    nothing = await linger.turn_on(Programs({"PATH": str(tmp_path)}))
    assert nothing.on is None
    assert "not installed" in nothing.refusal
