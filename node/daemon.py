"""`lamella-node`: loads the slices asked for, serves them until told to stop. The whole wiring is on this screen."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, Final, TypeVar

from node import keyfile, paths
from node.config import DEFAULT_KV_BYTES, NodeConfig, SliceRequest
from node.errors import NodeError
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.library import SLICE_FILES, Library, LibraryTerms
from node.loading import bring, load
from node.neighbours import Neighbours
from node.progress import Progress
from node.sharing import Sharing
from node.slices import device
from node.slices.budget import KVBudget
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from node.slices.facts import read_facts
from node.slices.load import load_slice
from node.slices.spec import CPU, SliceSpec
from node.status import StatusLine
from node.store.fetch import FetchReport
from node.store.peer_source import Asker
from node.stored_model import Model
from node.transport.link import Link
from node.transport.pool import LinkPool
from wire.codes import Code
from wire.messages.base import Message
from wire.tensors import DType, WeightFormat, numerics
from wire.types import LayerRange

log = logging.getLogger(__name__)

WIRE_DTYPES: Final = {"float32": DType.FLOAT32, "bfloat16": DType.BFLOAT16, "float16": DType.FLOAT16}
_HOUSEKEEPING_S: Final = 1.0

T = TypeVar("T")


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
    neighbours = Neighbours(config.peers)

    def on_message(link: Link, message: Message) -> None:
        neighbours.on_message(link, message)
        host.on_message(link, message)

    def on_closed(link: Link, code: Code, detail: str) -> None:
        neighbours.on_closed(link, code, detail)
        host.on_closed(link, code, detail)

    pool = LinkPool(
        identity,
        config.network,
        f"lamella-node/{version('lamella')}",
        on_message=on_message,
        on_closed=on_closed,
        is_busy=host.is_busy,
    )
    host.connect(pool)
    neighbours.connect(pool)
    library = Library(
        _terms(config), neighbours=neighbours.sharing, asker=Asker(identity=identity, network=config.network)
    )
    sharing = Sharing(identity.peer_id, config)
    compute.start()
    try:
        # The ports first: a port that is taken should be told before a model is loaded.
        address = await pool.listen(config.listen)
        host.shares = await sharing.start(address)
        await compute.run(device.opened, config.device)
        if config.device != CPU:
            log.warning(device.UNTESTED)
        loaded: list[HostedSlice] = []
        for request in config.slices:
            model = await _open(request, library, status, stop)
            loaded += [await _load(request, model, config, compute, status, stop)]
            sharing.offer(model)
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
        await _finish(host, config, status, now)
    finally:
        await pool.close(Code.SHUTTING_DOWN, "the host is stopping")
        await sharing.close()
        await library.close()
        await compute.stop()


async def _open(request: SliceRequest, library: Library, status: StatusLine, stop: asyncio.Event) -> Model:
    """Find a model and learn which it is, giving up when a stop is asked for."""
    progress = Progress(status, f"reading {request.model}")
    opening = library.open(request.model, files=SLICE_FILES, progress=progress)
    return await _unless(stop, opening)


async def _load(
    request: SliceRequest,
    model: Model,
    config: NodeConfig,
    compute: ComputeThread,
    status: StatusLine,
    stop: asyncio.Event,
) -> HostedSlice:
    """Load one slice on the compute thread, giving up between two tensors when a stop is asked for."""

    def progress(fraction: float) -> None:
        if stop.is_set():
            raise Interrupted("a stop was asked for while loading", "start the host again")
        status.progress(f"loading {request.model} {request.layers or 'whole'}", fraction)

    folder = model.folder
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
    spec = SliceSpec(
        checkpoint=folder,
        layers=layers,
        head=layers.end == facts.num_layers,
        dtype=dtype,
        weights=weights,
        device=config.device,
    )
    if model.is_stored:
        await _unless(stop, _bring(model, spec, compute, status))
    held = await load(model, compute, lambda: load_slice(spec, progress=progress))
    return HostedSlice(
        model=model.model, name=model.title, dtype=WIRE_DTYPES[dtype], weights=weights, slice=held
    )


async def _bring(model: Model, spec: SliceSpec, compute: ComputeThread, status: StatusLine) -> None:
    """Fetch what a slice lacks, and say what came from where."""
    progress = Progress(status, f"fetching layers {spec.layers} of {model.title}")
    report = await bring(model, [spec], compute, progress=lambda done, of: progress(done / of))
    if report is not None:
        status.say(
            "fetched",
            f"fetched {report.kept_bytes / 1e6:.1f} MB in {report.seconds:.1f} s: {_origins(report)}",
            model=model.name,
            layers=str(spec.layers),
            bytes=report.kept_bytes,
            seconds=report.seconds,
            sources={one.label: one.kept_bytes for one in report.sources},
            dropped={one.label: one.dropped for one in report.sources if one.dropped is not None},
        )


def _origins(report: FetchReport) -> str:
    words = [f"{one.kept_bytes / 1e6:.1f} MB from {one.label}" for one in report.sources if one.kept_bytes]
    words += [f"{one.label} was dropped: {one.dropped}" for one in report.sources if one.dropped is not None]
    return ", ".join(words)


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T:
    """Do something, and give it up when a stop is asked for. Raises `Interrupted`."""
    task, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Interrupted("a stop was asked for while weights were fetched", "start the host again")
        return task.result()
    finally:
        for one in (task, stopping):
            one.cancel()
        await asyncio.wait({task, stopping})


def _terms(config: NodeConfig) -> LibraryTerms:
    return LibraryTerms(
        root=paths.weights_dir(),
        cache_dir=paths.cache_dir(),
        quota_bytes=config.disk_bytes,
        download_bytes_per_s=config.download_bytes_per_s,
        offline=config.offline,
        reads_all=True,
    )


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
