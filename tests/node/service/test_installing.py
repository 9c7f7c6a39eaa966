"""Install, look, uninstall, over real programs and no real systemd: what goes wrong, and what is left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from node.service.errors import (
    FileNotWritten,
    ForeignUnit,
    NotAllowed,
    NothingLogged,
    NotInstalled,
    NotReadyYet,
    NotStopped,
    StartFailed,
    SystemdFailed,
    SystemdTooOld,
    UnitNotLoaded,
)
from node.service.installing import Installed, Service
from node.service.programs import Programs
from node.service.unit import LINGER_MARKER, Wanted
from tests.fakes.systemd_programs import FakeSystemd

NAME = "lamella-node.service"


class Bench:
    """A service, the systemd under it, and what was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unit = folder / "config" / "systemd" / "user" / NAME
        self.systemd = FakeSystemd(folder / "systemd", self.unit.parent)
        self.service = Service(Programs(self.systemd.environ(), booted=folder), config=folder / "config")
        self.told: list[str] = []

    def wanted(self, *words: str) -> Wanted:
        return Wanted(
            command=(sys.executable, *words),
            folder=self.folder,
            writable=(self.folder / "data",),
            grace_s=5.0,
        )

    async def install(self, *words: str, lingers: bool = True, wait_s: float = 20.0) -> Installed:
        return await self.service.install(
            self.wanted(*words), lingers=lingers, wait_s=wait_s, tell=self.told.append
        )

    def verbs(self) -> list[str]:
        """What was asked of systemctl, but for questions."""
        calls = [[word for word in one[1:] if not word.startswith("-")] for one in self.systemd.asked()]
        return [call[0] for call in calls if call and call[0] not in {"show", "show-user"}]

    def left(self) -> list[Path]:
        return [one for one in (self.folder / "config").rglob("*") if not one.is_dir()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_an_install_writes_enables_starts_and_sees_it_serve(bench: Bench) -> None:
    bench.systemd.set(text="serves pocket 6:12")
    done = await bench.install("--model", "pocket")
    assert done.standing.ready
    assert done.sandbox
    assert (done.linger.on, done.linger.ours) == (True, True)
    text = bench.unit.read_text()
    assert f"ExecStart=:{sys.executable} --model pocket\n" in text
    assert LINGER_MARKER in text
    assert "PrivateUsers=yes" in text
    assert (bench.folder / "data").is_dir()
    assert bench.systemd.get("active") == "active"


async def test_an_uninstall_leaves_nothing_and_doing_it_twice_is_no_error(bench: Bench) -> None:
    await bench.install()
    removed = await bench.service.uninstall(bench.told.append)
    assert bench.unit in removed.paths
    assert removed.linger is not None
    assert removed.linger.on is False
    assert bench.left() == []
    assert (await bench.service.look()).load_state == "not-found"
    again = await bench.service.uninstall(bench.told.append)
    assert (again.paths, again.linger) == ((), None)


async def test_lingering_that_was_on_before_stays_on(bench: Bench) -> None:
    bench.systemd.set(linger="yes")
    await bench.install()
    assert LINGER_MARKER not in bench.unit.read_text()
    assert (await bench.service.uninstall(bench.told.append)).linger is None
    assert bench.systemd.get("linger") == "yes"


async def test_who_turned_lingering_on_is_remembered_over_a_second_install(bench: Bench) -> None:
    await bench.install()
    await bench.install("again")
    await bench.service.uninstall(bench.told.append)
    assert bench.systemd.get("linger") == "no"


async def test_without_lingering_it_is_left_as_it_is(bench: Bench) -> None:
    done = await bench.install(lingers=False)
    assert done.linger.on is False
    assert "enable-linger" not in bench.verbs()


async def test_lingering_that_is_refused_is_told_and_nothing_else_fails(bench: Bench) -> None:
    bench.systemd.refuse("enable-linger", "Could not enable linger: Access denied")
    done = await bench.install()
    assert done.standing.ready
    assert "Access denied" in done.linger.text


async def test_where_a_sandbox_does_not_work_the_service_comes_without(bench: Bench) -> None:
    bench.systemd.refuse("systemd-run", "Job failed")
    done = await bench.install()
    assert not done.sandbox
    assert "PrivateUsers" not in bench.unit.read_text()
    assert "NoNewPrivileges=yes" in bench.unit.read_text()


async def test_a_host_that_fails_is_shown_with_its_last_lines_and_removed(bench: Bench) -> None:
    bench.systemd.set(start="fails", lines="loading\nthe port is taken")
    with pytest.raises(StartFailed) as caught:
        await bench.install()
    assert caught.value.lines == ("loading", "the port is taken")
    assert "status 1" in caught.value.cause
    assert bench.left() == []
    assert bench.systemd.get("linger") == "no"
    (journal,) = [one for one in bench.systemd.asked() if one[0] == "journalctl"]
    assert "_SYSTEMD_INVOCATION_ID=run1" in journal


async def test_a_host_that_fails_again_and_again_is_not_waited_for(bench: Bench) -> None:
    bench.systemd.set(start="loops", status="203")
    with pytest.raises(StartFailed, match="program is gone"):
        await bench.install()
    assert bench.systemd.get("active") == "inactive"


async def test_without_a_journal_the_next_step_says_how_to_look(bench: Bench) -> None:
    bench.systemd.set(start="fails")
    bench.systemd.refuse("journalctl", "No journal files were opened")
    with pytest.raises(StartFailed) as caught:
        await bench.install()
    assert caught.value.lines == ()
    assert "journalctl --user --unit lamella-node.service" in caught.value.next_step


async def test_without_a_journal_what_the_host_said_last_is_shown(bench: Bench) -> None:
    bench.systemd.set(start="fails", text="there is no model x; look for it")
    with pytest.raises(StartFailed, match="known without a journal") as caught:
        await bench.install()
    assert caught.value.lines == ("there is no model x; look for it",)


async def test_a_failed_install_leaves_settings_that_somebody_made_before(bench: Bench) -> None:
    settings = bench.unit.parent / f"{NAME}.d" / "own.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("[Service]\nNice=5\n")
    bench.systemd.set(start="fails")
    with pytest.raises(StartFailed):
        await bench.install()
    assert bench.left() == [settings]
    await bench.service.uninstall(bench.told.append)
    assert bench.left() == []


async def test_an_empty_journal_is_told_with_where_else_to_look(bench: Bench) -> None:
    await bench.install()
    with pytest.raises(NothingLogged, match="lamella-node ctl logs"):
        await bench.service.logs(5, follow=False, as_json=False)


async def test_a_failed_install_puts_the_former_service_back(bench: Bench) -> None:
    await bench.install("former")
    before = bench.unit.read_text()
    bench.systemd.set(start="fails")
    with pytest.raises(StartFailed):
        await bench.install("worse")
    assert bench.unit.read_text() == before
    assert bench.verbs()[-1] == "restart"
    assert bench.systemd.get("linger") == "yes"


async def test_a_slow_start_is_told_and_goes_on(bench: Bench) -> None:
    bench.systemd.set(start="slow", text="fetching 12 %")
    with pytest.raises(NotReadyYet, match="fetching 12 %"):
        await bench.install(wait_s=0.1)
    assert bench.told == ["the service starts: fetching 12 %"]
    assert bench.unit.exists()
    assert bench.systemd.get("active") == "activating"


@pytest.mark.parametrize("verb", ["daemon-reload", "enable", "start"])
async def test_a_refusal_half_way_leaves_nothing(bench: Bench, verb: str) -> None:
    bench.systemd.refuse(verb, "Access denied")
    with pytest.raises(NotAllowed, match=verb):
        await bench.install()
    assert bench.left() == []


async def test_a_unit_that_systemd_does_not_take_is_told(bench: Bench) -> None:
    bench.systemd.set(deaf="yes")
    with pytest.raises(UnitNotLoaded, match="not-found"):
        await bench.install()
    assert bench.left() == []


async def test_somebody_elses_unit_is_never_touched(bench: Bench) -> None:
    bench.unit.parent.mkdir(parents=True)
    bench.unit.write_text("[Service]\nExecStart=/bin/true\n")
    for doing in (bench.install(), bench.service.uninstall(bench.told.append)):
        with pytest.raises(ForeignUnit):
            await doing
    assert bench.unit.read_text() == "[Service]\nExecStart=/bin/true\n"
    assert bench.verbs() == []


async def test_a_unit_of_that_name_elsewhere_is_not_hidden(bench: Bench) -> None:
    bench.systemd.set(loaded="/usr/lib/systemd/user/lamella-node.service")
    with pytest.raises(ForeignUnit, match="/usr/lib/systemd/user"):
        await bench.install()
    assert bench.left() == []


@pytest.mark.parametrize("version", ["239 (239-82.el8)", "", "nonsense"])
async def test_a_systemd_that_is_too_old_is_refused(bench: Bench, version: str) -> None:
    bench.systemd.set(version=version)
    with pytest.raises(SystemdTooOld, match="245 is needed"):
        await bench.install()
    assert bench.left() == []


async def test_a_host_that_does_not_stop_is_not_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.install()
    bench.systemd.set(stuck="yes", stop_usec="100ms", text="3 answers under way")
    monkeypatch.setattr("node.service.installing._STOP_MARGIN_S", 0.1)
    with pytest.raises(NotStopped, match="did not end"):
        await bench.service.uninstall(bench.told.append)
    assert bench.unit.exists()
    assert bench.told[-1] == "the service stops: 3 answers under way"


async def test_a_folder_that_cannot_be_made_stops_the_install(bench: Bench) -> None:
    (bench.folder / "data").write_text("no folder")
    with pytest.raises(FileNotWritten):
        await bench.install()
    assert bench.left() == []


async def test_logs_are_those_of_the_unit(bench: Bench) -> None:
    with pytest.raises(NotInstalled):
        await bench.service.logs(5, follow=False, as_json=False)
    await bench.install()
    assert await bench.service.logs(5, follow=True, as_json=True)
    assert bench.systemd.asked()[-1] == [
        "journalctl", "--user", "--unit", NAME, "--lines", "5", "--no-pager", "--output", "json", "--follow"
    ]  # fmt: skip


async def test_what_stops_the_tidying_up_does_not_hide_why(bench: Bench) -> None:
    bench.systemd.set(start="loops")
    bench.systemd.refuse("stop", "Something broke")
    with pytest.raises(StartFailed) as caught:
        await bench.install()
    assert isinstance(caught.value.__cause__, SystemdFailed)
