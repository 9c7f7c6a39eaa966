"""Asking systemd through its own programs: as words and never through a shell, in the C locale, each with a time limit.

Its D-Bus interface was rejected: it would need a library, and says nothing that `systemctl show` does not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.service.errors import NoSystemd, NotAllowed, NoUserManager, SystemdFailed, SystemdSilent

_TIMEOUT_S: Final = 30.0
"""For one answer: systemd itself answers in milliseconds, but may be waiting for a disk."""
_MAX_OUTPUT_BYTES: Final = 1 << 20
_SHOWN_CHARS: Final = 300
_BOOTED: Final = Path("/run/systemd/system")
"""There when systemd runs the machine (sd_booted(3))."""
_NO_BUS: Final = (
    "failed to connect to bus",
    "failed to connect to user scope bus",
    "failed to get d-bus connection",
    "transport endpoint is not connected",
    "has not been booted with systemd",
    "no medium found",
)
_REFUSED: Final = (
    "access denied",
    "permission denied",
    "authentication required",
    "operation not permitted",
    "not authorized",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a program printed, and how it ended."""

    words: tuple[str, ...]
    exit_status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The first line that says what was wrong."""
        lines = [one.strip() for one in (self.err or self.out).splitlines() if one.strip()]
        return lines[0][:_SHOWN_CHARS] if lines else f"it ended with {self.exit_status}"


class Programs:
    """`systemctl --user` and its relatives."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        *,
        timeout_s: float = _TIMEOUT_S,
        booted: Path = _BOOTED,
    ) -> None:
        self._environ = _environment(os.environ if environ is None else environ)
        self._timeout_s = timeout_s
        self._booted = booted

    @property
    def runtime(self) -> Path | None:
        """The folder of this login session (`XDG_RUNTIME_DIR`), if there is one."""
        given = self._environ.get("XDG_RUNTIME_DIR", "")
        return Path(given) if given.startswith("/") else None

    async def systemctl(self, *words: str) -> str:
        """Ask this user's systemd; return what it prints.

        Raises:
            NoSystemd, NoUserManager, NotAllowed, SystemdSilent, SystemdFailed: it did not do it.
        """
        return self.judged(
            await self.run("systemctl", "--user", "--no-pager", "--no-ask-password", *words)
        ).out

    async def run(self, program: str, *words: str) -> Answer:
        """Run one of systemd's programs to its end, whatever that is.

        Raises:
            NoSystemd: it is not installed.
            SystemdSilent: it took too long, and was ended.
        """
        asked = (program, *words)
        process = await asyncio.create_subprocess_exec(
            self._found(program),
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environ,
        )
        try:
            async with asyncio.timeout(self._timeout_s), asyncio.TaskGroup() as group:
                out = group.create_task(_read(process.stdout))
                err = group.create_task(_read(process.stderr))
                status = await process.wait()
        except TimeoutError as error:
            raise SystemdSilent(
                asked,
                f"`{' '.join(asked)}` did not answer within {self._timeout_s:g} s",
                "try again; if it stays so, `systemctl --user daemon-reexec` or a restart of the machine helps",
                None,
            ) from error
        finally:
            await _end(process)
        return Answer(words=asked, exit_status=status, out=out.result(), err=err.result())

    async def show_to_person(self, program: str, *words: str) -> int:
        """Run one of systemd's programs with this process's own output, for as long as it likes; returns its status.

        Raises:
            NoSystemd: it is not installed.
        """
        process = await asyncio.create_subprocess_exec(
            self._found(program), *words, stdin=asyncio.subprocess.DEVNULL, env=self._environ
        )
        try:
            return await process.wait()
        finally:
            await _end(process)

    def judged(self, answer: Answer) -> Answer:
        """Return the answer of a program that did as it was asked.

        Raises:
            NoSystemd, NoUserManager, NotAllowed, SystemdFailed: it did not.
        """
        if answer.exit_status == 0:
            return answer
        said = f"{answer.err}\n{answer.out}".lower()
        if any(sign in said for sign in _NO_BUS):
            raise self._no_bus(answer)
        if any(sign in said for sign in _REFUSED):
            raise NotAllowed(
                f"`{' '.join(answer.words)}` was refused: {answer.complaint}",
                "run it as the user whose service it is, or ask who administers this machine",
            )
        raise SystemdFailed(
            answer.words,
            f"`{' '.join(answer.words)}` failed: {answer.complaint}",
            "`systemctl --user status` and `journalctl --user` may say more",
            answer.exit_status,
        )

    def _no_bus(self, answer: Answer) -> NoSystemd | NoUserManager:
        if not self._booted.is_dir():
            return NoSystemd(
                "systemd does not run this machine (as in most containers)",
                "start `lamella-node` by what runs services here",
            )
        return NoUserManager(
            f"the systemd of this user cannot be reached: {answer.complaint}",
            "log in as this user directly, not by su or sudo; without any login, have an administrator run "
            f"`loginctl enable-linger {os.getuid()}` and set XDG_RUNTIME_DIR=/run/user/{os.getuid()}",
        )

    def _found(self, program: str) -> str:
        path = shutil.which(program, path=self._environ.get("PATH", os.defpath))
        if path is None:
            raise NoSystemd(
                f"`{program}` is not installed, so systemd does not seem to run this machine",
                "start `lamella-node` by what runs services here",
            )
        return path


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """The environment to ask in: one language, no colours, and the way to this user's systemd if it was lost."""
    environ = dict(given)
    environ.pop("LANGUAGE", None)
    environ |= {"LC_ALL": "C", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", "SYSTEMD_URLIFY": "0"}
    usual = Path(f"/run/user/{os.getuid()}")
    if "XDG_RUNTIME_DIR" not in environ and _is_ours(usual):
        # Lost on the way by `su` and by some job runners; systemctl looks for its socket there.
        environ["XDG_RUNTIME_DIR"] = str(usual)
    return environ


def _is_ours(folder: Path) -> bool:
    try:
        return folder.stat().st_uid == os.getuid()
    except OSError:
        return False


async def _read(stream: asyncio.StreamReader | None) -> str:
    """Read to the end, and keep as much as any answer needs."""
    kept = bytearray()
    while stream is not None and (piece := await stream.read(1 << 16)):
        kept += piece[: _MAX_OUTPUT_BYTES - len(kept)]
    return kept.decode(errors="replace")


async def _end(process: asyncio.subprocess.Process) -> None:
    """Make certain that the program is gone, also when we are cancelled."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
