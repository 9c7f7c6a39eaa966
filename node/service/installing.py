"""The service's life: installed, started and seen to serve; looked at; removed without a trace.

An install that fails puts back what was there before: nothing, or the service as it was, running again. What cannot
be told from outside is not guessed: whether the sandbox works is tried, on this systemd, with the very folders.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.service import folders, linger, standing, unit
from node.service.errors import (
    ForeignUnit,
    NothingLogged,
    NotInstalled,
    NotReadyYet,
    NotStopped,
    ServiceError,
    StartFailed,
    SystemdTooOld,
    UnitNotLoaded,
)
from node.service.folders import UnitFile
from node.service.linger import Linger
from node.service.programs import Programs
from node.service.standing import Standing
from node.service.unit import LINGER_MARKER, Systemd, Wanted

NAME: Final = "lamella-node.service"
JOURNAL_LINES: Final = 15
_POLL_S: Final = 0.2
_STOP_MARGIN_S: Final = 30.0
"""Beyond the time after which systemd kills the host."""
_ENDLESS_S: Final = 24 * 3600.0
"""For a unit without a bound on its stop, which only a hand-made drop-in gives."""
TRY: Final = """
import os, sys
home, *own = [os.access(one, os.W_OK) for one in sys.argv[1:]]
sys.exit(home or not all(own))
"""
"""Ends well when the first folder cannot be written to, and all others can."""

Tell = Callable[[str], None]
"""Takes one line about what is going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """An install that went well."""

    standing: Standing
    linger: Linger
    sandbox: bool
    """Whether the host is confined to its own folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """An uninstall that went well."""

    paths: tuple[Path, ...]
    """What was removed from the disk; empty when nothing was installed."""
    linger: Linger | None
    """How lingering is now, if it was turned off."""


class Service:
    """A unit of this user's own systemd."""

    def __init__(self, programs: Programs, *, config: Path, name: str = NAME) -> None:
        """Take charge of a unit.

        Args:
            programs: to ask systemd with.
            config: the user's folder of configuration, `~/.config` as a rule.
            name: of the unit.
        """
        self._programs = programs
        self._file = UnitFile(config / "systemd" / "user", name)
        self._name = name

    async def look(self) -> Standing:
        """Return how the service stands. Raises `ServiceError` when systemd cannot be asked."""
        words = ("show", self._name, f"--property={','.join(standing.PROPERTIES)}")
        return standing.read(await self._programs.systemctl(*words))

    async def lingers(self) -> Linger:
        """Return whether it runs without a login. Raises `SystemdSilent`."""
        return await linger.look(self._programs)

    async def install(self, wanted: Wanted, *, lingers: bool, wait_s: float, tell: Tell) -> Installed:
        """Write the unit, start it, and see it serve; replaces what was installed before.

        Args:
            wanted: what is to run.
            lingers: whether it is to run without a login.
            wait_s: how long a start may take until this gives up waiting for it. The start goes on.
            tell: is told what goes on.

        Raises:
            ForeignUnit: the name is taken.
            StartFailed: the host ended. What was there before is put back.
            NotReadyYet: it still starts.
            ServiceError: systemd cannot do it, or the disk does not take it.
        """
        version = await self._version()
        before = await self._owned()
        await asyncio.to_thread(folders.make, wanted.writable)
        around = Systemd(version=version, sandbox=await self._sandbox_works(wanted))
        lingering = await (linger.turn_on if lingers else linger.look)(self._programs)
        ours = lingering.ours or (bool(lingering.on) and before is not None and LINGER_MARKER in before)
        text = unit.text(wanted, around, linger_is_ours=ours)
        try:
            await self._put(text)
            await self._stop(tell)
            reached = await self._start(wait_s, tell)
        except NotReadyYet:
            raise
        except ServiceError as error:
            try:
                await self._put_back(before, lingering)
            except ServiceError as second:
                raise error from second
            raise
        return Installed(standing=reached, linger=lingering, sandbox=around.sandbox)

    async def uninstall(self, tell: Tell) -> Removed:
        """Stop the service and remove all of it.

        Raises:
            ForeignUnit: the unit of this name is not ours.
            NotStopped: it does not end.
            ServiceError: systemd cannot do it, or a file cannot be removed.
        """
        text = await self._owned()
        await self._stop(tell)
        paths = await self._forget()
        after = await self.look()
        if after.load_state != "not-found":
            raise UnitNotLoaded(
                f"systemd still knows {self._name}, from {after.unit_path}",
                "`systemctl --user daemon-reload` makes it look again",
            )
        off = text is not None and LINGER_MARKER in text
        return Removed(paths=paths, linger=await linger.turn_off(self._programs) if off else None)

    async def logs(self, lines: int, *, follow: bool, as_json: bool) -> bool:
        """Show what the host wrote, on this process's own output; whether that could be done.

        Raises:
            NotInstalled, NothingLogged, NoSystemd: there is nothing to show, or nothing to show it with.
        """
        if await self._owned() is None:
            raise NotInstalled("the service is not installed", "`lamella-node service install` does that")
        unit = ("--user", "--unit", self._name)
        if not follow and not (await self._programs.run("journalctl", *unit, "--quiet", "--lines", "1")).out:
            raise NothingLogged(
                "the journal has nothing of the service, or nothing that you may read",
                "while the host runs, `lamella-node ctl logs` shows its latest lines",
            )
        words = [*unit, "--lines", str(lines), "--no-pager"]
        words += ["--output", "json" if as_json else "short-iso", *(["--follow"] if follow else [])]
        return await self._programs.show_to_person("journalctl", *words) == 0

    async def _version(self) -> int:
        said = (await self._programs.systemctl("show", "--property=Version", "--value")).strip()
        found = re.match(r"v?(\d{1,4})", said)
        version = int(found[1]) if found else 0
        if version < unit.OLDEST_VERSION:
            raise SystemdTooOld(
                f"this machine's systemd is {said or 'of no known version'}; {unit.OLDEST_VERSION} is needed",
                "renew the system, or start `lamella-node` by hand",
            )
        return version

    async def _owned(self) -> str | None:
        """Return the text of our unit, if there is one, and refuse somebody else's."""
        text = await asyncio.to_thread(self._file.read)
        found = (await self.look()).unit_path
        if found is not None and found != self._file.path and text is None:
            raise ForeignUnit(
                found,
                f"a unit {self._name} is there that Lamella did not write: {found}",
                "remove that first",
            )
        return text

    async def _sandbox_works(self, wanted: Wanted) -> bool:
        properties = [f"--property={line}" for line in unit.sandbox(wanted)]
        told = ("--user", "--quiet", "--collect", "--property=Type=oneshot", "--property=NoNewPrivileges=yes")
        answer = await self._programs.run(
            "systemd-run", *told, *properties, "--", sys.executable, "-I", "-S", "-c", TRY,
            str(Path.home()), *map(str, wanted.writable),
        )  # fmt: skip
        return answer.exit_status == 0

    async def _put(self, text: str) -> None:
        """Write the unit, and see that systemd reads just that file."""
        await asyncio.to_thread(self._file.write, text)
        await self._programs.systemctl("daemon-reload")
        seen = await self.look()
        if seen.load_state != "loaded" or seen.unit_path != self._file.path:
            why = seen.load_error or f"it says {seen.load_state} ({seen.unit_path or 'no file'})"
            raise UnitNotLoaded(
                f"systemd does not take {self._file.path}: {why}",
                "its folder has to be the one of systemd's own XDG_CONFIG_HOME; "
                "`systemctl --user show --property=UnitPath` lists where it looks",
            )
        await self._programs.systemctl("enable", self._name)

    async def _put_back(self, before: str | None, lingering: Linger) -> None:
        """Undo a failed install."""
        if before is not None:
            await self._put(before)
            await self._programs.systemctl("restart", "--no-block", self._name)
            return
        await self._stop(lambda _line: None)
        # Settings that somebody has put beside the unit were there before.
        await self._forget(with_settings=False)
        if lingering.ours:
            await linger.turn_off(self._programs)

    async def _start(self, wait_s: float, tell: Tell) -> Standing:
        await self._reset_failed()
        began = (await self.look()).invocation
        await self._programs.systemctl("start", "--no-block", self._name)
        deadline = time.monotonic() + wait_s
        said = ""
        while True:
            now = await self.look()
            if now.invocation != began:
                if now.ready:
                    return now
                if now.ended_badly or now.at_rest:
                    raise await self._failure(now)
            if now.text != said:
                said = now.text
                tell(f"the service {said}")
            if time.monotonic() > deadline:
                raise NotReadyYet(
                    f"the host is not ready after {wait_s:g} s; it {now.text}",
                    "it goes on; `lamella-node service status` tells how far it is",
                )
            await asyncio.sleep(_POLL_S)

    async def _failure(self, now: Standing) -> StartFailed:
        lines = await self._last_lines(now.invocation)
        cause, next_step = now.why_it_ended
        if not lines and now.status_text:
            # What the host said last is known without a journal.
            return StartFailed(
                f"the service did not start: {cause}",
                "what it said last is all that is known without a journal",
                (now.status_text,),
            )
        if not lines:
            next_step = f"{next_step}, if `journalctl --user --unit {self._name}` shows you any"
        return StartFailed(f"the service did not start: {cause}", next_step, lines)

    async def _last_lines(self, invocation: str) -> tuple[str, ...]:
        """The end of what one run wrote, and what systemd said about that run."""
        both = (f"_SYSTEMD_INVOCATION_ID={invocation}", "+", f"USER_INVOCATION_ID={invocation}")
        limit = ("--lines", str(JOURNAL_LINES), "--output", "cat", "--no-pager", "--quiet")
        answer = await self._programs.run("journalctl", "--user", *limit, *both)
        return tuple(answer.out.splitlines()[-JOURNAL_LINES:]) if answer.exit_status == 0 else ()

    async def _stop(self, tell: Tell) -> None:
        now = await self.look()
        if now.at_rest:
            return
        patience_s = (_ENDLESS_S if now.stop_s is None else now.stop_s) + _STOP_MARGIN_S
        await self._programs.systemctl("stop", "--no-block", self._name)
        deadline = time.monotonic() + patience_s
        said = ""
        while not (now := await self.look()).at_rest:
            if now.text != said:
                said = now.text
                tell(f"the service {said}")
            if time.monotonic() > deadline:
                raise NotStopped(
                    f"the host did not end within {patience_s:g} s",
                    f"`systemctl --user kill --signal=KILL {self._name}` ends it at once",
                )
            await asyncio.sleep(_POLL_S)

    async def _forget(self, *, with_settings: bool = True) -> tuple[Path, ...]:
        """Remove what is on the disk, and from systemd's memory."""
        # It refuses when the file is gone already; the links are removed with it below.
        await self._programs.run("systemctl", "--user", "--quiet", "disable", self._name)
        paths = await asyncio.to_thread(
            self._file.remove, self._programs.runtime, with_settings=with_settings
        )
        await self._reset_failed()
        await self._programs.systemctl("daemon-reload")
        return paths

    async def _reset_failed(self) -> None:
        # Systemd complains about a unit that it has no memory of, which is what is wanted.
        await self._programs.run("systemctl", "--user", "reset-failed", self._name)
