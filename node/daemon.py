"""`lamella-node`: loads the slices asked for, serves them until told to stop. The whole wiring is on this screen."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Final

from node import keyfile, paths
from node.choosing import Choosing
from node.config import DEFAULT_KV_BYTES, NodeConfig
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.model_library import Library, LibraryTerms
from node.presence import Presence
from node.serving import Interrupted, Serving
from node.sharing import Sharing
from node.slices import device
from node.slices.budget import KVBudget
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from node.slices.spec import CPU
from node.status import StatusLine
from node.store.peer_source import Asker
from wire.codes import Code

log = logging.getLogger(__name__)

_HOUSEKEEPING_S: Final = 1.0


async def run(config: NodeConfig, status: StatusLine) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP. Raises `NodeError` or `SliceError` when it cannot start."""
    stop, now = asyncio.Event(), asyncio.Event()
    _on_signals(stop, now)
    identity = keyfile.load_or_create(config.identity_file or paths.identity_file())
    compute = ComputeThread(config.threads)
    budget = KVBudget(0)
    host = SessionHost(me=identity.peer_id, compute=compute, budget=budget)
    presence = Presence(
        identity, config, on_message=host.on_message, on_closed=host.on_closed, is_busy=host.is_busy
    )
    host.connect(presence.pool)
    neighbours = presence.neighbours
    library = Library(
        _terms(config), neighbours=neighbours.sharing, asker=Asker(identity=identity, network=config.network)
    )
    sharing = Sharing(identity.peer_id, config)
    serving = Serving(config, host=host, library=library, compute=compute, status=status, stop=stop)
    serving.on_change = lambda: presence.announce(host.hosting().offers)
    choosing = Choosing(identity.peer_id, config, serving=serving, neighbours=neighbours, compute=compute)
    compute.start()
    try:
        # The ports first: a port that is taken should be told before a model is loaded.
        await presence.open(stop.set)
        address = presence.addresses[0]
        host.shares = await sharing.start(address)
        await compute.run(device.opened, config.device)
        if config.device != CPU:
            log.warning(device.UNTESTED)
        for request in config.slices:
            model = await serving.open(request.model)
            if config.auto:
                await choosing.settle(model, request)
            else:
                serving.offer(await serving.load(model, request))
            sharing.offer(model)
        budget.resize(await compute.run(device.kv_bytes, config.device, config.kv_bytes, DEFAULT_KV_BYTES))
        status.say(
            "ready",
            f"{identity.peer_id.short} serves {_named(host)} on {address}",
            peer_id=str(identity.peer_id),
            address=str(address),
            network=config.network,
            pid=os.getpid(),
            device=config.device,
            kv_bytes=budget.total,
            slices=[_facts(one) for one in host.slices],
        )
        await _invite(presence, status)
        await _until_stopped(host, stop, choosing)
        # Nobody is sent here any more while answers under way end.
        await asyncio.gather(presence.leave(), _finish(host, config, status, now))
    finally:
        await presence.close(Code.SHUTTING_DOWN, "the host is stopping")
        await sharing.close()
        await library.close()
        await compute.stop()


def _terms(config: NodeConfig) -> LibraryTerms:
    return LibraryTerms(
        root=paths.weights_dir(),
        cache_dir=paths.cache_dir(),
        quota_bytes=config.disk_bytes,
        download_bytes_per_s=config.download_bytes_per_s,
        offline=config.offline,
        reads_all=True,
    )


async def _invite(presence: Presence, status: StatusLine) -> None:
    """Say how others come to know this host."""
    text = await presence.join_string()
    if text is not None:
        status.say("invitation", f"others join with --join {text}", join=text)


async def _finish(host: SessionHost, config: NodeConfig, status: StatusLine, now: asyncio.Event) -> None:
    """Let answers under way end, within the grace and unless it is to be now."""
    status.say("stopping", f"stopping: {host.active} answers under way", active=host.active)
    finishing = asyncio.ensure_future(host.finish(0.0 if now.is_set() else config.grace_s))
    hurry = asyncio.ensure_future(now.wait())
    await asyncio.wait({finishing, hurry}, return_when=asyncio.FIRST_COMPLETED)
    hurry.cancel()
    if not finishing.done():
        finishing.cancel()
        cut_off = host.active
    else:
        cut_off = finishing.result()
    status.say("stopped", f"stopped; {cut_off} answers were cut off", cut_off=cut_off)


async def _until_stopped(host: SessionHost, stop: asyncio.Event, choosing: Choosing) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(choosing.run(stop))
        while not stop.is_set():
            try:
                async with asyncio.timeout(_HOUSEKEEPING_S):
                    await stop.wait()
            except TimeoutError:
                host.on_time()


def _on_signals(stop: asyncio.Event, now: asyncio.Event) -> None:
    """The first signal asks for a stop, the second for one at once; a terminal that closes counts as one."""

    def asked() -> None:
        (now if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, asked)


def _named(host: SessionHost) -> str:
    return ", ".join(f"{one.name} {one.layers}" for one in host.slices)


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
