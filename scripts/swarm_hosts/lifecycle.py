"""Starting hosts, watching them until they are ready or end, and stopping them for certain."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NoReturn

from scripts.swarm_hosts.errors import HostFailed, SwarmError
from scripts.swarm_hosts.folder import Host
from scripts.swarm_hosts.plan import NETWORK, SwarmPlan
from scripts.swarm_hosts.processes import describe, ended, spawn
from scripts.swarm_hosts.screen import Screen

ROOT: Final = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S: Final = 300.0
"""Loading a large checkpoint from a slow disk, its bytes digested for the first time, takes minutes."""
HOST_GRACE_S: Final = 2.0
"""What a host is given for answers under way when it is stopped."""
STOP_GRACE_S: Final = HOST_GRACE_S + 6.0
"""After this long a host that was asked to stop is killed; one that is still loading takes a while to listen."""
KILL_TIMEOUT_S: Final = 5.0
_LOOK_S: Final = 0.05

HostCommand = Callable[[SwarmPlan, Host], Sequence[str]]
"""The command that serves one host of a plan."""


def daemon_command(plan: SwarmPlan, host: Host) -> Sequence[str]:
    """The command line of `lamella-node` for one host."""
    return [
        *(sys.executable, "-P", "-m", "node"),
        *("--model", plan.model, "--layers", str(host.layers)),
        *("--listen", plan.address(host.number), "--network", NETWORK),
        *(("--peer", plan.address(1)) if host.number > 1 else ()),
        *("--identity", str(host.folder / "identity")),
        *("--threads", str(plan.threads)),
        *("--grace", f"{HOST_GRACE_S:g}"),
        *("--control", "off"),
        "--json",
    ]


def environment() -> dict[str, str]:
    """The environment of every program started here: this checkout's packages come before installed ones."""
    inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    ways = [str(ROOT), *(way for way in inherited if way and way != str(ROOT))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(ways)}


class Launch:
    """Hosts that this process started."""

    def __init__(self, hosts: Sequence[Host], screen: Screen) -> None:
        self.hosts = tuple(hosts)
        self._screen = screen
        self._children: dict[Host, subprocess.Popen[bytes]] = {}
        self._began_s = perf_counter()

    def start(self, plan: SwarmPlan, command: HostCommand, *, dies_with_parent: bool) -> None:
        """Start all hosts, at once and without waiting. Raises `SwarmError`; those started before it run then."""
        for host in self.hosts:
            try:
                self._children[host] = spawn(
                    command(plan, host),
                    environment=environment(),
                    record=host.folder / "process",
                    out=host.folder / "status.jsonl",
                    err=host.folder / "log",
                    dies_with_parent=dies_with_parent,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise SwarmError(f"{host.name} cannot be started: {error}") from error

    async def until_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until every host serves, saying so of each. Raises `HostFailed` as soon as one has ended."""
        waiting = list(self.hosts)
        while True:
            self.check()
            took_s = perf_counter() - self._began_s
            for host in [host for host in waiting if host.address is not None]:
                waiting.remove(host)
                self._say_ready(host, took_s)
            if not waiting:
                return
            names = ", ".join(host.name for host in waiting)
            if took_s > timeout_s:
                raise HostFailed(
                    f"{names} did not get ready within {timeout_s:g} s; the end of the log of {waiting[0].name}:",
                    log=waiting[0].log_tail(),
                )
            self._screen.passing(f"waiting for {names} · {took_s:.0f} s")
            await asyncio.sleep(_LOOK_S)

    async def until_one_ends(self) -> NoReturn:
        """Wait for ever, or raise `HostFailed` when a host has ended."""
        while True:
            self.check()
            await asyncio.sleep(_LOOK_S)

    def check(self) -> None:
        """Raise `HostFailed` when a host has ended."""
        for host, child in self._children.items():
            if child.poll() is not None:
                raise _failure(host, child)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Stop what was started, and wait until it is gone."""
        await stop(self.hosts, hurry)
        for child in self._children.values():
            child.wait()

    def _say_ready(self, host: Host, took_s: float) -> None:
        screen, process = self._screen, host.process
        pid = f"pid {process.pid}" if process is not None else ""
        facts = f"{host.address!s:<15}  layers {host.layers!s:<7} {pid:<11}"
        screen.say(
            f"{screen.label(host.name)}{facts} {screen.good('ready')} {screen.faint(f'after {took_s:.1f} s')}"
        )


async def stop(hosts: Iterable[Host], hurry: asyncio.Event, *, grace_s: float = STOP_GRACE_S) -> int:
    """Ask hosts to stop, kill those that do not in time or once there is no patience; return how many did not stop.

    Raises:
        SwarmError: one is still there after it was killed (stuck in the system).
    """
    found = {process: host for host in hosts if (process := host.process) is not None}
    for process in found:
        process.send(signal.SIGTERM)
    waiting = [asyncio.create_task(ended(process)) for process in found]
    impatience = asyncio.create_task(hurry.wait())
    try:
        all_gone: asyncio.Future[Any] = asyncio.gather(*waiting)
        await asyncio.wait([all_gone, impatience], timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        killed = [host for process, host in found.items() if process.send(signal.SIGKILL)]
        await asyncio.wait([all_gone], timeout=KILL_TIMEOUT_S)
    finally:
        for task in (*waiting, impatience):
            task.cancel()
    stuck = [f"{host.name} (pid {process.pid})" for process, host in found.items() if process.alive]
    if stuck:
        raise SwarmError(f"{', '.join(stuck)} cannot be killed; the system holds it")
    # One that has said its last words only took long to end.
    return sum(host.said("stopped") is None for host in killed)


def _failure(host: Host, child: subprocess.Popen[bytes]) -> HostFailed:
    said = host.said("error")
    log = host.log_tail()
    if said is not None and host.address is None:
        return HostFailed(f"{host.name} could not start: {said.get('message')}", log=log)
    verb = "could not start: it" if host.address is None else f"is gone: its process (pid {child.pid})"
    where = "the end of its log:" if log else "its log is empty"
    return HostFailed(f"{host.name} {verb} {describe(child.returncode)}; {where}", log=log)
