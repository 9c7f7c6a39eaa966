"""The slices of one process: finds their models, brings and loads them, offers them to peers, and lets them go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any, Final, TypeVar

from node.config import NodeConfig, SliceRequest
from node.errors import NodeError
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.loading import bring, load
from node.model_library import SLICE_FILES, Library
from node.progress import Progress
from node.slices.compute import ComputeThread
from node.slices.facts import ModelFacts, read_facts
from node.slices.load import load_slice
from node.slices.spec import CPU, SliceSpec
from node.status import StatusLine
from node.store.fetch import FetchReport
from node.stored_model import Model
from wire.codes import Code
from wire.tensors import DType, WeightFormat, numerics
from wire.types import LayerRange

WIRE_DTYPES: Final = {"float32": DType.FLOAT32, "bfloat16": DType.BFLOAT16, "float16": DType.FLOAT16}

T = TypeVar("T")


class Interrupted(NodeError):
    """A stop was asked for before the host was ready."""


def _unwatched(_fraction: float) -> None:
    """Progress that only the status line shows."""


class Serving:
    """What one process serves. One slice is loaded at a time."""

    def __init__(
        self,
        config: NodeConfig,
        *,
        host: SessionHost,
        library: Library,
        compute: ComputeThread,
        status: StatusLine,
        stop: asyncio.Event,
    ) -> None:
        """`stop` ends whatever takes long: reading, fetching, loading."""
        self._config = config
        self._host = host
        self._library = library
        self._compute = compute
        self._status = status
        self._stop = stop
        self.on_change: Callable[[], None] = lambda: None
        """Called when other slices are offered than before."""

    async def open(self, name: str) -> Model:
        """Find a model and learn which it is. Raises `StoreError`, `Interrupted`."""
        progress = Progress(self._status, f"reading {name}")
        return await self._unless(self._library.open(name, files=SLICE_FILES, progress=progress))

    async def facts(self, model: Model) -> ModelFacts:
        """What a model's config says. Raises `SliceError`."""
        return await self._compute.run(read_facts, model.folder)

    def numerics(self, facts: ModelFacts) -> tuple[DType, WeightFormat]:
        """What a model is computed in here."""
        return WIRE_DTYPES[self._dtype(facts)], self._config.weights or facts.weights

    async def load(
        self, model: Model, request: SliceRequest, told: Callable[[float], None] = _unwatched
    ) -> HostedSlice:
        """Bring a slice here and load it, without offering it yet.

        Args:
            told: hears how much of it is in memory, from 0 to 1, on the compute thread; what it raises ends the load.

        Raises:
            StoreError: its bytes cannot be had.
            SliceError: it cannot be loaded.
            Interrupted: a stop was asked for.
        """

        def progress(fraction: float) -> None:
            if self._stop.is_set():
                raise Interrupted("a stop was asked for while loading", "start the host again")
            told(fraction)
            self._status.progress(f"loading {request.model} {layers}", fraction)

        facts = await self.facts(model)
        layers = request.layers or LayerRange(0, facts.num_layers)
        dtype, weights = self.numerics(facts)
        config = self._config
        self._status.say(
            "loading",
            f"loading {request.model} layers {layers} in {numerics(dtype, weights)}"
            + (f" on {config.device}" if config.device != CPU else "")
            + (f" ({facts.measured})" if facts.measured is not None else ""),
            model=request.model,
            layers=str(layers),
            measured=asdict(facts.measured) if facts.measured is not None else None,
        )
        spec = SliceSpec(
            checkpoint=model.folder,
            layers=layers,
            head=layers.end == facts.num_layers,
            dtype=self._dtype(facts),
            weights=weights,
            device=config.device,
        )
        if model.is_stored:
            await self._unless(self._bring(model, spec))
        held = await load(model, self._compute, lambda: load_slice(spec, progress=progress))
        return HostedSlice(model=model.model, name=model.title, dtype=dtype, weights=weights, slice=held)

    def offer(self, *held: HostedSlice) -> None:
        """Take sessions on slices too."""
        for one in held:
            self._host.admission.admit(one)
        self._host.slices = (
            *(one for one in self._host.slices if not any(one is other for other in held)),
            *held,
        )
        self.on_change()

    def withdraw(self, held: HostedSlice, code: Code) -> None:
        """Offer a slice no more, and refuse new sessions on it; those that are open go on."""
        self._host.admission.refuse(held, code)
        self.on_change()

    async def unload(self, held: HostedSlice) -> None:
        """Take a slice away, whose sessions have ended, and free its memory."""
        self._host.slices = tuple(one for one in self._host.slices if one is not held)
        self._host.admission.admit(held)
        self.on_change()
        await self._compute.run(held.slice.release)

    def _dtype(self, facts: ModelFacts) -> str:
        native = (self._config.weights or facts.weights) is WeightFormat.NATIVE
        return self._config.dtype or (facts.dtype if native else "bfloat16")

    async def _bring(self, model: Model, spec: SliceSpec) -> None:
        """Fetch what a slice lacks, and say what came from where."""
        progress = Progress(self._status, f"fetching layers {spec.layers} of {model.title}")
        report = await bring(model, [spec], self._compute, progress=lambda done, of: progress(done / of))
        if report is not None:
            self._status.say(
                "fetched",
                f"fetched {report.kept_bytes / 1e6:.1f} MB in {report.seconds:.1f} s: {_origins(report)}",
                model=model.name,
                layers=str(spec.layers),
                bytes=report.kept_bytes,
                seconds=report.seconds,
                sources={one.label: one.kept_bytes for one in report.sources},
                dropped={one.label: one.dropped for one in report.sources if one.dropped is not None},
            )

    async def _unless(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something, and give it up when a stop is asked for. Raises `Interrupted`."""
        task, stopping = asyncio.create_task(work), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Interrupted("a stop was asked for while weights were fetched", "start the host again")
            return task.result()
        finally:
            for one in (task, stopping):
                one.cancel()
            await asyncio.wait({task, stopping})


def _origins(report: FetchReport) -> str:
    words = [f"{one.kept_bytes / 1e6:.1f} MB from {one.label}" for one in report.sources if one.kept_bytes]
    words += [f"{one.label} was dropped: {one.dropped}" for one in report.sources if one.dropped is not None]
    return ", ".join(words)
