"""The demonstration: hosts on this machine, one question, the way it took and what that cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Final

from chat.driver import ClientOptions, Driver
from chat.errors import ChatError
from crypto.identity import PeerId
from node.errors import NodeError
from node.slices.errors import SliceError
from node.store import checkpoint
from scripts.swarm_hosts import answer
from scripts.swarm_hosts.folder import Host, SwarmFolder
from scripts.swarm_hosts.interrupts import Interrupts
from scripts.swarm_hosts.lifecycle import HostCommand, Launch
from scripts.swarm_hosts.plan import CLIENT_LAYERS, NETWORK, SwarmPlan
from scripts.swarm_hosts.screen import Screen
from wire.contacts import Contact
from wire.types import Address

_LAST_WORDS_S: Final = 0.5
"""How long after a failed answer a host that took it down is looked for."""


class Client:
    """The client of `lamella`, and the part of its start that needs no host."""

    def preload(self, model: str, threads: int) -> None:
        """Import its libraries and the model's code, the longest part of its start; runs on a thread of its own."""
        from node.slices import threads as compute_threads

        # Before torch is imported, which reads its threading environment once.
        compute_threads.prepare(threads)
        with compute_threads.importing():
            import chat.client  # noqa: F401 - `connect` needs it
            from node.slices import families

        with suppress(
            NodeError, SliceError
        ):  # the hosts read the same files, and say what is wrong with them
            family, _ = families.load_config(checkpoint.resolve(model))
            families.causal_class(family)

    async def connect(self, options: ClientOptions, progress: Callable[[str], None]) -> Driver:
        """Return a conversation ready to be asked. Raises `ChatError`."""
        from chat import client

        return await client.connect(options, progress=progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """What is shown, and with what."""

    folder: SwarmFolder
    """Locked by the caller."""
    plan: SwarmPlan
    question: str
    screen: Screen
    interrupts: Interrupts
    command: HostCommand
    client: Client

    async def run(self) -> None:
        """Start hosts, ask them, show everything, stop them.

        Raises:
            SwarmError: a host did not start, or ended before the answer did.
            ChatError: there is no answer.
        """
        began_s = perf_counter()
        launch = Launch(self.folder.write(self.plan), self.screen)
        tasks: list[asyncio.Task[None]] = []
        try:
            launch.start(self.plan, self.command, dies_with_parent=True)
            imported = _beside(partial(self.client.preload, self.plan.model, self.plan.threads))
            await launch.until_ready()
            asking = asyncio.create_task(self._ask(launch.hosts, imported, began_s))
            watching = asyncio.create_task(launch.until_one_ends())
            tasks = [asking, watching]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await _outcome(asking, watching)
        finally:
            for task in tasks:
                task.cancel()
            # The hosts first: the client may be in the middle of what nothing can interrupt.
            await self.interrupts.finish(launch.stop(self.interrupts.hurry))
            self.folder.forget()
            if tasks:
                await self.interrupts.finish(asyncio.wait(tasks))
        self.screen.say(self.screen.faint(f"stopped {len(launch.hosts)} hosts; nothing is left running"))

    async def _ask(self, hosts: Sequence[Host], imported: asyncio.Event, began_s: float) -> None:
        self.screen.say()
        self.screen.say(f"{self.screen.label('question')}{self.screen.strong(self.question)}")
        self.screen.passing("getting the client ready")
        await imported.wait()
        options = ClientOptions(
            model=self.plan.model,
            contacts=_contacts(hosts)[:1],
            network=NETWORK,
            front_layers=CLIENT_LAYERS,
            identity_file=self.folder.client_identity,
            threads=self.plan.threads,
        )
        driver = await self.client.connect(options, self.screen.passing)
        try:
            await answer.show(driver.ask(self.question), hosts, self.screen, began_s)
        finally:
            await driver.close()


async def _outcome(asking: asyncio.Task[None], watching: asyncio.Task[None]) -> None:
    """Return when the answer is shown; raise what went wrong, a host's end rather than what the client saw of it."""
    if not asking.done():
        watching.result()
    try:
        asking.result()
    except ChatError:
        await asyncio.wait({watching}, timeout=_LAST_WORDS_S)
        if watching.done():
            watching.result()
        raise


def _contacts(hosts: Sequence[Host]) -> tuple[Contact, ...]:
    """The hosts that serve, as a client needs them; by one of them it finds the others."""
    return tuple(
        Contact(peer=PeerId.parse(host.peer_id), address=Address.parse(host.address))
        for host in hosts
        if host.address is not None and host.peer_id is not None
    )


def _beside(work: Callable[[], None]) -> asyncio.Event:
    """Run `work` on a thread; the event is set when it is done, well or not.

    The thread is a daemon: an interrupted demonstration does not wait for it.
    """
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def run() -> None:
        try:
            work()
        finally:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, daemon=True, name="preload").start()
    return done
