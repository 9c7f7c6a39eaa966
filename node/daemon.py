"""`lamella-node`: loads the slices asked for, serves them until told to stop. The whole wiring is on this screen."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from dataclasses import asdict
from importlib.metadata import version
from typing import Final

from node import keyfile, paths
from node.config import DEFAULT_KV_BYTES, NodeConfig, SliceRequest
from node.errors import NodeError
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.slices import device
from node.slices.budget import KVBudget
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from node.slices.facts import read_facts
from node.slices.load import load_slice
from node.slices.spec import CPU, SliceSpec
from node.status import StatusLine
from node.store import checkpoint
from node.transport.pool import LinkPool
from wire.codes import Code
from wire.tensors import DType, WeightFormat, numerics
from wire.types import LayerRange, ModelId

log = logging.getLogger(__name__)

WIRE_DTYPES: Final = {"float32": DType.FLOAT32, "bfloat16": DType.BFLOAT16, "float16": DType.FLOAT16}
_HOUSEKEEPING_S: Final = 1.0


class Interrupted(NodeError):
    """A stop was asked for before the host was ready."""


async def run(config: NodeConfig, status: StatusLine) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP. Raises `NodeError` or `SliceError` when it cannot start."""
    stop, now = asyncio.Event(), asyncio.Event()
    _on_signals(stop, now)
    identity = keyfile.load_or_create(config.identity_file or paths.identity_file())
    compute = ComputeThread(config.threads)
    budget = KVBudget(0)
    host = SessionHost(me=identity.peer_id, compute=compute, budget=budget)
    pool = LinkPool(
        identity,
        config.network,
        f"lamella-node/{version('lamella')}",
        on_message=host.on_message,
        on_closed=host.on_closed,
        is_busy=host.is_busy,
    )
    host.connect(pool)
    compute.start()
    try:
        # The port first: a port that is taken should be told before a model is loaded.
        address = await pool.listen(config.listen)
        await compute.run(device.opened, config.device)
        if config.device != CPU:
            log.warning(device.UNTESTED)
        loaded: list[HostedSlice] = []
        for request in config.slices:
            loaded += [await _load(request, config, compute, status, stop)]
        budget.resize(await compute.run(device.kv_bytes, config.device, config.kv_bytes, DEFAULT_KV_BYTES))
        host.slices = tuple(loaded)
        status.say(
            "ready",
            f"{identity.peer_id.short} serves {', '.join(f'{one.name} {one.layers}' for one in loaded)} on {address}",
            peer_id=str(identity.peer_id),
            address=str(address),
            network=config.network,
            pid=os.getpid(),
            device=config.device,
            kv_bytes=budget.total,
            slices=[_facts(one) for one in loaded],
        )
        await _until_stopped(host, stop)
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
    finally:
        await pool.close(Code.SHUTTING_DOWN, "the host is stopping")
        await compute.stop()


async def _load(
    request: SliceRequest, config: NodeConfig, compute: ComputeThread, status: StatusLine, stop: asyncio.Event
) -> HostedSlice:
    """Load one slice on the compute thread, giving up between two tensors when a stop is asked for."""

    def progress(fraction: float) -> None:
        if stop.is_set():
            raise Interrupted("a stop was asked for while loading", "start the host again")
        status.progress(f"loading {request.model} {request.layers or 'whole'}", fraction)

    folder = checkpoint.resolve(request.model)
    facts = await compute.run(read_facts, folder)
    layers = request.layers or LayerRange(0, facts.num_layers)
    weights = config.weights or facts.weights
    native = weights is WeightFormat.NATIVE
    dtype = config.dtype or (facts.dtype if native else "bfloat16")
    status.say(
        "loading",
        f"loading {request.model} layers {layers} in {numerics(WIRE_DTYPES[dtype], weights)}"
        + (f" on {config.device}" if config.device != CPU else "")
        + (f" ({facts.measured})" if facts.measured is not None else ""),
        model=request.model,
        layers=str(layers),
        measured=asdict(facts.measured) if facts.measured is not None else None,
    )
    model: ModelId = await asyncio.to_thread(
        checkpoint.model_id, folder, cache_dir=paths.cache_dir(), progress=progress
    )
    spec = SliceSpec(
        checkpoint=folder,
        layers=layers,
        head=layers.end == facts.num_layers,
        dtype=dtype,
        weights=weights,
        device=config.device,
    )
    held = await compute.run(load_slice, spec, progress=progress)
    return HostedSlice(model=model, name=folder.name, dtype=WIRE_DTYPES[dtype], weights=weights, slice=held)


async def _until_stopped(host: SessionHost, stop: asyncio.Event) -> None:
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
