"""What a host says to systemd, heard at real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.service.notify import Notifier


class Ear:
    """The socket that systemd would have."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)

    def heard(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.socket.recv(8192).decode().splitlines())


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return (
        str(tmp_path / "notify")
        if request.param == "path"
        else f"@lamella-{os.getpid()}-{time.monotonic_ns()}"
    )


@pytest.fixture
def ear(address: str) -> Iterator[Ear]:
    one = Ear(address)
    yield one
    one.socket.close()


@pytest.fixture
def notifier(address: str, ear: Ear) -> Iterator[Notifier]:
    one = Notifier(address, watchdog_s=0.1)
    yield one
    one.close()


def test_each_thing_is_said_in_the_words_of_systemd(notifier: Notifier, ear: Ear) -> None:
    notifier.status("loading")
    assert ear.heard() == {"STATUS": "loading"}
    notifier.ready("serves")
    assert ear.heard() == {"READY": "1", "STATUS": "serves"}
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloading()
    said = ear.heard()
    assert said.keys() == {"RELOADING", "MONOTONIC_USEC"}
    assert before <= int(said["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    notifier.reloaded()
    assert ear.heard() == {"READY": "1"}
    notifier.watchdog()
    assert ear.heard() == {"WATCHDOG": "1"}
    notifier.stopping("2 answers under way")
    assert ear.heard() == {"STOPPING": "1", "STATUS": "2 answers under way"}


def test_a_reload_makes_no_host_ready_that_starts_or_stops(notifier: Notifier, ear: Ear) -> None:
    notifier.reloading()
    notifier.reloaded("serves")
    notifier.ready()
    assert ear.heard() == {"READY": "1"}
    notifier.stopping()
    assert ear.heard() == {"STOPPING": "1"}
    notifier.reloading()
    notifier.reloaded("serves")
    notifier.status("end")
    assert ear.heard() == {"STATUS": "end"}


def test_a_stop_gets_the_grace_that_holds_now(notifier: Notifier, ear: Ear) -> None:
    notifier.stopping(within_s=600.0)
    assert ear.heard() == {"STOPPING": "1", "EXTEND_TIMEOUT_USEC": "615000000"}


def test_a_start_gets_more_time_with_each_sign_of_life(notifier: Notifier, ear: Ear) -> None:
    notifier.watchdog()
    assert ear.heard() == {"WATCHDOG": "1", "EXTEND_TIMEOUT_USEC": "60000000"}


def test_a_status_is_one_short_line_and_said_once(notifier: Notifier, ear: Ear) -> None:
    notifier.status("a\nREADY=1\x00b")
    assert ear.heard() == {"STATUS": "a READY=1 b"}
    notifier.status("a\nREADY=1\x00b")
    notifier.status("é" * 5000)
    assert ear.heard() == {"STATUS": "é" * 256}


async def test_signs_of_life_come_at_half_the_time_and_stop_when_the_host_is_ill(
    notifier: Notifier, ear: Ear
) -> None:
    notifier.ready()
    ear.heard()
    well = True
    alive = asyncio.ensure_future(notifier.keep_alive(lambda: well))
    began = time.monotonic()
    for _ in range(4):
        assert await asyncio.to_thread(ear.heard) == {"WATCHDOG": "1"}
    assert time.monotonic() - began >= 0.14
    well = False
    ear.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        for _ in range(3):
            await asyncio.to_thread(ear.heard)
    alive.cancel()


def test_what_has_no_room_is_said_with_the_next_message(notifier: Notifier, ear: Ear) -> None:
    notifier.ready()
    for number in range(5000):
        notifier.status(f"step {number}")
    notifier.stopping()
    assert ear.heard() == {"READY": "1"}
    count = 0
    last: dict[str, str] = {}
    ear.socket.settimeout(0.05)
    while True:
        try:
            last = ear.heard()
        except TimeoutError:
            break
        count += 1
    assert count < 5000
    notifier.watchdog()
    assert ear.heard() == {"WATCHDOG": "1", "STOPPING": "1", "STATUS": "step 4999"}
    assert last["STATUS"] != "step 4999"


def test_nobody_listening_is_no_trouble(tmp_path: Path) -> None:
    gone = Notifier(str(tmp_path / "gone"), watchdog_s=1.0)
    gone.ready("serves")
    ear = Ear(str(tmp_path / "gone"))
    gone.watchdog()
    assert ear.heard() == {"READY": "1", "STATUS": "serves", "WATCHDOG": "1"}
    gone.close()
    ear.socket.close()
    gone.ready("again")


@pytest.mark.parametrize("address", [None, "", "@", "relative", "vsock:1:2", "/" + "x" * 200])
async def test_without_systemd_nothing_is_done(address: str | None) -> None:
    notifier = Notifier(address)
    assert not notifier.active
    notifier.ready("serves")
    notifier.watchdog()
    alive = asyncio.ensure_future(notifier.keep_alive())
    await asyncio.sleep(0)
    assert not alive.done()
    alive.cancel()


def test_the_environment_is_read_and_cleared() -> None:
    environ = {
        "NOTIFY_SOCKET": "@x",
        "WATCHDOG_USEC": "2000000",
        "WATCHDOG_PID": str(os.getpid()),
        "PATH": "/bin",
    }
    notifier = Notifier.from_environment(environ)
    assert (notifier.active, notifier.watchdog_s) == (True, 2.0)
    assert environ == {"PATH": "/bin"}
    notifier.close()


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("2000000", "", 2.0),
        ("2000000", "1", None),
        ("0", "", None),
        ("-5", "", None),
        ("1e6", "", None),
        ("²", "", None),
        ("9" * 40, "", None),
        ("99999999999999", "", None),
    ],
)
def test_only_a_watchdog_that_is_ours_and_makes_sense_is_fed(
    usec: str, pid: str, seconds: float | None
) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid})
    assert notifier.watchdog_s == seconds
    notifier.close()
