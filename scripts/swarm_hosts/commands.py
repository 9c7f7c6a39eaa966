"""What each command of `scripts/swarm.py` does; those that change the swarm hold its lock meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, NoReturn

from scripts.swarm_hosts import lifecycle
from scripts.swarm_hosts.errors import AlreadyRunning, NotRunning
from scripts.swarm_hosts.folder import Host, SwarmFolder
from scripts.swarm_hosts.interrupts import Interrupts
from scripts.swarm_hosts.lifecycle import HostCommand, Launch
from scripts.swarm_hosts.plan import NETWORK, SwarmPlan
from scripts.swarm_hosts.screen import Screen

if TYPE_CHECKING:
    from scripts.swarm_hosts.demo import Client

ME: Final = "scripts/local-swarm.sh"
QUESTION: Final = "what is 17 squared?"
_LOCK_WAIT_S: Final = 20.0
"""How long `stop` waits for a command it told to stop; longer than that command takes to stop its hosts."""
_LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Commands:
    """The commands, and what they work with."""

    folder: SwarmFolder
    screen: Screen
    interrupts: Interrupts

    async def demo(self, plan: SwarmPlan, question: str, command: HostCommand, client: Client | None) -> int:
        """Start hosts, ask one question, show everything, stop. Raises `SwarmError` or `ChatError`."""
        # The other commands are quicker without what the client needs.
        from scripts.swarm_hosts import demo

        with self._cleared("demo", plan):
            await demo.Demonstration(
                folder=self.folder,
                plan=plan,
                question=question,
                screen=self.screen,
                interrupts=self.interrupts,
                command=command,
                client=client or demo.Client(),
            ).run()
        return 0

    async def start(self, plan: SwarmPlan, command: HostCommand) -> int:
        """Start hosts that keep running; all of them or none. Raises `SwarmError`."""
        with self._cleared("start", plan):
            launch = Launch(self.folder.write(plan), self.screen)
            try:
                launch.start(plan, command, dies_with_parent=False)
                await launch.until_ready()
                words = f'they keep running; ask: {ME} ask "{QUESTION}"   end: {ME} stop'
                self.screen.say(self.screen.faint(words))
            # Also on Ctrl-C: all of them or none.
            except BaseException:
                await self.interrupts.finish(launch.stop(self.interrupts.hurry))
                self.folder.forget()
                raise
        return 0

    async def stop(self) -> int:
        """Stop every host, and the command that is starting them. Raises `SwarmError`."""
        if not self.folder.path.is_dir():
            self.screen.say("no swarm runs here")
            return 0
        holder = self.folder.holder()
        if holder is not None and holder.process is not None and holder.command in ("start", "demo"):
            holder.process.send(signal.SIGTERM)
        with ExitStack() as stack:
            deadline_s = monotonic() + _LOCK_WAIT_S
            while not self._entered(stack):
                if monotonic() > deadline_s:
                    raise AlreadyRunning("another command is still at work on this swarm; try again")
                await asyncio.sleep(_LOOK_S)
            await self._stop_hosts()
        return 0

    async def status(self, *, as_json: bool) -> int:
        """Show how each host is; 0 when all of them serve. Raises `NotRunning` without `as_json`."""
        from scripts.swarm_hosts import inquiry

        try:
            model, since, hosts = self.folder.read()
        except NotRunning:
            if not as_json:
                raise
            model, since, hosts = "", "", ()
        found = await inquiry.inquire(hosts, self.folder.client_identity) if hosts else []
        if as_json:
            print(json.dumps(inquiry.as_json(model, since, found), indent=2))
        else:
            self.screen.say(f"{self.screen.strong(f'{len(hosts)} hosts for {model}')} since {since}")
            self.screen.table(inquiry.ROW_HEAD, [one.row() for one in found], left=5)
        return 0 if found and all(one.state == "serving" for one in found) else 1

    def kill(self, number: int) -> int:
        """Kill one host, to see what happens. Raises `NotRunning`."""
        hosts = self.folder.read()[2]
        if not 1 <= number <= len(hosts):
            raise NotRunning(f"there is no host {number}; there are hosts 1 to {len(hosts)}")
        host = hosts[number - 1]
        process = host.process
        if process is None or not process.send(signal.SIGKILL):
            raise NotRunning(f"{host.name} does not run")
        self.screen.say(f"killed {host.name} (pid {process.pid}, layers {host.layers})")
        return 0

    @contextmanager
    def _cleared(self, command: str, plan: SwarmPlan) -> Iterator[None]:
        """Hold the lock, with no other swarm in the way."""
        with self.folder.locked(command):
            self.folder.refuse_a_second()
            if self.folder.left():
                self.screen.say(self.screen.faint("clearing what an earlier swarm left; its hosts are gone"))
            self.screen.say(
                f"{self.screen.strong(f'{len(plan.layers)} hosts for {plan.model}')} on this machine"
            )
            yield

    def _entered(self, stack: ExitStack) -> bool:
        """Take the lock if it is free."""
        try:
            stack.enter_context(self.folder.locked("stop"))
        except AlreadyRunning:
            return False
        return True

    async def _stop_hosts(self) -> None:
        hosts = self.folder.running()
        killed = await self.interrupts.finish(lifecycle.stop(hosts, self.interrupts.hurry))
        stale = bool(self.folder.left())
        self.folder.forget()
        if hosts:
            rest = f"; {killed} of them had to be killed" if killed else ""
            self.screen.say(f"stopped {len(hosts)} {'host' if len(hosts) == 1 else 'hosts'}{rest}")
        else:
            self.screen.say("its hosts were gone already" if stale else "no swarm runs here")


def hand_over(folder: SwarmFolder, action: str, options: Sequence[str]) -> NoReturn:
    """Become `lamella`, with the swarm's model and hosts filled in. Raises `SwarmError`."""
    model, _, hosts = folder.read()
    peers = [f"--peer={host.peer_id}@{host.address}" for host in hosts if _serves(host)]
    if not peers:
        raise NotRunning(f"no host runs; begin with: {ME} start")
    command = [sys.executable, "-P", "-m", "chat", *(("ask",) if action == "ask" else ())]
    # One is enough: the others are found by it.
    known = [f"--network={NETWORK}", "--no-lan", peers[0]]
    filled_in = ["--model", model, *known, "--identity", str(folder.client_identity)]
    os.execve(sys.executable, [*command, *filled_in, *options], lifecycle.environment())


def _serves(host: Host) -> bool:
    return host.process is not None and host.address is not None and host.peer_id is not None
