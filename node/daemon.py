"""`lamella-node`: loads the slices asked for, serves them until told to stop. The whole wiring is on this screen."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from node import keyfile, paths
from node.admission import Admission
from node.choosing import Choosing
from node.config import DEFAULT_KV_BYTES, NodeConfig, SliceRequest
from node.control import place
from node.control.server import ControlServer
from node.controlling import Controlling, Parts
from node.errors import NodeError
from node.forward import SessionHost
from node.holding import Holding, wish_for
from node.hosting import HostedSlice
from node.lifecycle.intents import IntentFile
from node.lifecycle.keeper import Keeper
from node.manners.pacing import Pacer
from node.manners.priority import stand_back
from node.model_library import Library, LibraryTerms
from node.presence import Presence
from node.service.notify import Notifier
from node.serving import Interrupted, Serving
from node.sharing import Sharing
from node.sight.logs import Logs
from node.slices import device
from node.slices.budget import KVBudget
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from node.slices.spec import CPU
from node.status import StatusLine
from node.status_text import doing
from node.store.peer_source import Asker
from node.traffic import Traffic
from node.upkeep import Reporting, Upkeep, kept_up, shares_of
from wire.codes import Code

log = logging.getLogger(__name__)


class CannotServe(NodeError):
    """A slice that the configuration names cannot be served."""


_HOUSEKEEPING_S: Final = 1.0


async def run(
    config: NodeConfig,
    status: StatusLine,
    *,
    logs: Logs | None = None,
    read: Callable[[], NodeConfig] | None = None,
    notifier: Notifier | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        logs: what takes the log of this process.
        read: reads the configuration again, for SIGHUP and `ctl reload`; without it SIGHUP ends the host.
        notifier: the way to the systemd that started this process, if one did. The caller closes it.

    Raises:
        NodeError, SliceError: it cannot start.
    """
    stop, now = asyncio.Event(), asyncio.Event()
    if config.nice is not None:
        stand_back(config.nice)
    identity = keyfile.load_or_create(config.identity_file or paths.identity_file())
    compute = ComputeThread(config.threads)
    budget = KVBudget(0)
    admission = Admission(max_sessions=config.max_sessions, shares=shares_of(config), owner=identity.peer_id)
    host = SessionHost(me=identity.peer_id, compute=compute, budget=budget, admission=admission)
    # Links, datagrams and weights together pass no faster than this.
    pacer = Pacer(
        upload_bytes_per_s=config.upload_bytes_per_s, download_bytes_per_s=config.download_bytes_per_s
    )
    presence = Presence(
        identity,
        config,
        on_message=host.on_message,
        on_closed=host.on_closed,
        is_busy=host.is_busy,
        pacer=pacer,
    )
    host.connect(presence.pool)
    presence.pool.on_ended = lambda code, established: host.tally.link_ended(code, established=established)
    neighbours = presence.neighbours
    asker = Asker(identity=identity, network=config.network)
    library = Library(_terms(config), neighbours=neighbours.sharing, asker=asker, pace=pacer)
    sharing = Sharing(identity.peer_id, config, pace=pacer)
    serving = Serving(config, host=host, library=library, compute=compute, status=status, stop=stop)
    serving.on_change = lambda: presence.announce(host.hosting().offers)
    holding = Holding(serving=serving, host=host, sharing=sharing, compute=compute)
    keeper = Keeper(holding, IntentFile(paths.intents_file(str(identity.peer_id))))
    parts = Parts(
        me=identity.peer_id,
        config=config,
        host=host,
        keeper=keeper,
        presence=presence,
        budget=budget,
        traffic=Traffic(pacer=pacer, sharing=sharing, fetched=library.intake),
    )
    choosing = Choosing(parts, serving=serving, neighbours=neighbours)
    logs = logs or Logs(sys.stderr)
    reporting = Reporting(logs=logs, notifier=notifier or Notifier(None))
    controlling = Controlling(parts, stop, logs.ring)
    compute.start()
    try:
        async with (
            keeper,
            _controlled(config, controlling),
            kept_up(parts, controlling, reporting, read, on_failure=stop.set) as upkeep,
        ):
            _on_signals(stop, now, None if read is None else upkeep)
            # Ports that are taken should be told before a model is loaded.
            await presence.open(stop.set)
            host.shares = await sharing.start(presence.addresses[0])
            await _serve(parts, choosing, stop)
            controlling.is_ready = True
            _tell_ready(parts, status)
            upkeep.notifier.ready(upkeep.sentence())
            await _invite(presence, status)
            await _until_stopped(host, stop, choosing)
            upkeep.notifier.stopping(upkeep.sentence(), within_s=controlling.stop_grace_s)
            # Nobody is sent here any more while answers under way end.
            ending = _finish(parts, controlling.stop_grace_s, status, now)
            await asyncio.gather(presence.leave(), ending)
    finally:
        await presence.close(Code.SHUTTING_DOWN, "the host is stopping")
        await sharing.close()
        await library.close()
        await compute.stop()


@asynccontextmanager
async def _controlled(config: NodeConfig, controlling: Controlling) -> AsyncIterator[None]:
    """The control socket. Raises `NodeError` when another host has it."""
    if not config.controls:
        yield
        return
    server = ControlServer(config.control or place.default_path(), controlling.handlers())
    await server.start()
    try:
        yield
    finally:
        await server.close()


async def _serve(parts: Parts, choosing: Choosing, stop: asyncio.Event) -> None:
    """Load what is to be served, and make room for sessions."""
    config, compute = parts.config, parts.host.compute
    await compute.run(device.opened, config.device)
    if config.device != CPU:
        log.warning(device.UNTESTED)
    # What was joined by a command is held beside what the host chooses itself.
    await _hold(() if config.auto else config.slices, parts.keeper, stop)
    if config.auto:
        await choosing.settle()
    parts.budget.resize(await compute.run(device.kv_bytes, config.device, config.kv_bytes, DEFAULT_KV_BYTES))


def _tell_ready(parts: Parts, status: StatusLine) -> None:
    address = parts.presence.addresses[0]
    held = [f"{one.name} {one.layers}" for one in _in_order(parts.host)]
    status.say(
        "ready",
        f"{parts.me.short} {doing(held, relays=parts.config.relay)} on {address}",
        peer_id=str(parts.me),
        address=str(address),
        network=parts.config.network,
        pid=os.getpid(),
        device=parts.config.device,
        kv_bytes=parts.budget.total,
        relay=parts.config.relay,
        slices=[_facts(one) for one in _in_order(parts.host)],
    )
    if parts.config.controls and not (parts.config.relay or parts.keeper.status()):
        socket = "" if parts.config.control is None else f" --socket {parts.config.control}"
        command = f"lamella-node ctl join MODEL --layers START:END{socket}"
        status.say("waiting", f"it holds no slice yet; `{command}` gives it one", command=command)


async def _hold(slices: Sequence[SliceRequest], keeper: Keeper[HostedSlice], stop: asyncio.Event) -> None:
    """Hold what the configuration names and what was asked for before. Raises `CannotServe`, `Interrupted`."""
    wishes = [wish_for(one) for one in slices]
    recovery = await keeper.recover(wishes)
    for drained in recovery.drained:
        log.warning(
            "%s is drained, as was asked for; `lamella-node ctl undrain` serves it again", drained.key
        )
    settled = asyncio.ensure_future(keeper.settled())
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((settled, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in (settled, stopped):
            one.cancel()
        await asyncio.wait((settled, stopped))
    if stop.is_set():
        raise Interrupted("a stop was asked for while loading", "start the host again")
    for held in keeper.status():
        # What was joined by a command is no reason not to serve the rest.
        if held.failure is not None and held.wish in wishes:
            raise CannotServe(held.failure.cause, held.failure.next_step)


def _terms(config: NodeConfig) -> LibraryTerms:
    return LibraryTerms(
        root=paths.weights_dir(),
        cache_dir=paths.cache_dir(),
        quota_bytes=config.disk_bytes,
        offline=config.offline,
        reads_all=True,
    )


async def _invite(presence: Presence, status: StatusLine) -> None:
    """Say how others come to know this host."""
    text = await presence.join_string()
    if text is not None:
        status.say("invitation", f"others join with --join {text}", join=text)


async def _finish(parts: Parts, grace_s: float, status: StatusLine, now: asyncio.Event) -> None:
    """Let answers under way end, within the grace and unless it is to be now."""
    host, keeper = parts.host, parts.keeper
    active = host.active_of()
    status.say("stopping", f"stopping: {active} answers under way", active=active)
    grace_s = 0.0 if now.is_set() else grace_s
    finishing = asyncio.gather(keeper.stop(grace_s), host.finish(grace_s))
    hurry = asyncio.ensure_future(now.wait())
    await asyncio.wait((finishing, hurry), return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    cut_off = 0
    if not finishing.done():
        cut_off = await host.end(None, Code.SHUTTING_DOWN)
        keeper.now()
    cut_off += sum(await finishing)
    status.say("stopped", f"stopped; {cut_off} answers were cut off", cut_off=cut_off)


async def _until_stopped(host: SessionHost, stop: asyncio.Event, choosing: Choosing) -> None:
    async with asyncio.TaskGroup() as group:
        chosen = group.create_task(choosing.run(stop))
        while not stop.is_set():
            try:
                async with asyncio.timeout(_HOUSEKEEPING_S):
                    await stop.wait()
            except TimeoutError:
                host.on_time()
        # It may be waiting for answers on layers that it leaves.
        chosen.cancel()


def _on_signals(stop: asyncio.Event, now: asyncio.Event, upkeep: Upkeep | None) -> None:
    """The first signal asks for a stop, the second for one at once. SIGHUP reads the configuration again, where that
    can be done and no terminal has closed."""

    def asked() -> None:
        (now if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    reloads = upkeep is not None and not sys.stdin.isatty()
    reloading: set[asyncio.Task[None]] = set()

    def again() -> None:
        if upkeep is not None:
            task = asyncio.create_task(_reload(upkeep))
            reloading.add(task)
            task.add_done_callback(reloading.discard)

    loop.add_signal_handler(signal.SIGHUP, again if reloads else asked)


async def _reload(upkeep: Upkeep) -> None:
    upkeep.notifier.reloading()
    try:
        changed = await upkeep.reloading.reload()
    except NodeError as error:
        log.error("the configuration is as before: %s", error)
    else:
        for sentence in changed.sentences or ("nothing in the configuration has changed",):
            log.info("%s", sentence)
    finally:
        upkeep.notifier.reloaded(upkeep.sentence())


def _in_order(host: SessionHost) -> list[HostedSlice]:
    """The slices as a person lists them; they are loaded in any order."""
    return sorted(host.slices, key=lambda one: (one.name, one.layers))


def _facts(one: HostedSlice) -> dict[str, object]:
    return {
        "model": str(one.model),
        "name": one.name,
        "layers": str(one.layers),
        "head": one.slice.spec.head,
        "dtype": one.dtype.value,
        "weights": one.weights.value,
        "weight_bytes": one.slice.weight_bytes,
        "tokens_until": one.slice.tokens_until,
    }


__all__ = ["Interrupted", "SliceError", "run"]
