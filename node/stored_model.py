"""One model that is used: the folder to load it from, and how to get what is missing there.

A model on this disk has everything. One of the store has its small files, and of its tensors those that were needed.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, Self

from node.hub_check import NotTheHubs
from node.progress import stoppable
from node.store import checkpoint, views
from node.store.catalogue import chunks_of
from node.store.chunks import Lease
from node.store.distrust import Distrust
from node.store.errors import CorruptChunk, StoreError
from node.store.fetch import FetchReport, fetch
from node.store.pace import AnyPace, Intake
from node.store.source import Chunk, Source
from wire.manifest import Manifest
from wire.types import ModelId

log = logging.getLogger(__name__)

_HUB: Final = 0
"""Where the hub stands among the sources."""


class Model(Protocol):
    """A model as its users see it."""

    @property
    def name(self) -> str:
        """What it was asked for by, with the commit where a hub has it."""

    @property
    def title(self) -> str:
        """What it is called in few words."""

    @property
    def is_stored(self) -> bool:
        """Whether its bytes are chunks of the store, some of which may be missing."""

    @property
    def folder(self) -> Path:
        """What a checkpoint's readers read."""

    @property
    def model(self) -> ModelId:
        """Whose sessions it serves: the checkpoint's id, whatever its weights were quantised to."""

    async def need(
        self, tensors: Iterable[str], *, progress: Callable[[int, int], None] | None = None
    ) -> FetchReport | None:
        """Bring tensors here.

        Args:
            tensors: their names on disk.
            progress: told the bytes that have come and the bytes that were missing.

        Returns: What was fetched; None when nothing was missing.

        Raises:
            StoreError: there is no room, or no source has them. What came stays.
        """

    async def mend(self, digest: bytes) -> None:
        """Fetch a chunk anew that turned out to be damaged. Raises `StoreError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A checkpoint in a folder of this disk; a `Model`."""

    name: str
    folder: Path
    model: ModelId
    is_stored: bool = False

    @property
    def title(self) -> str:
        """See `Model`."""
        return self.folder.name

    @classmethod
    async def read(
        cls, folder: Path, *, cache_dir: Path, progress: Callable[[float], None] | None = None
    ) -> Self:
        """Learn which model it is, by reading all of it the first time. Raises `StoreError`."""
        model = await stoppable(
            lambda tell: checkpoint.model_id(folder, cache_dir=cache_dir, progress=tell), progress
        )
        return cls(name=str(folder), folder=folder, model=model)

    async def need(
        self,
        tensors: Iterable[str],  # noqa: ARG002 - any are here
        *,
        progress: Callable[[int, int], None] | None = None,  # noqa: ARG002 - nothing takes time
    ) -> FetchReport | None:
        """Nothing is missing."""
        return None

    async def mend(self, digest: bytes) -> None:  # noqa: ARG002 - none can be
        """Raise `StoreError`: a folder has no chunks."""
        raise StoreError(f"{self.folder} cannot be repaired from here", "fetch the checkpoint again")


@dataclass(slots=True, kw_only=True)
class StoredModel:
    """A model of the store; a `Model`. Its lease keeps what it needs there."""

    name: str
    manifest: Manifest
    lease: Lease
    folder: Path
    """Its small files are there from the first `need_files` on."""
    sources: Callable[[Collection[str]], Awaitable[Sequence[Source]]]
    """Asked for when something is missing; the hub, if the model is of one, is the first."""
    claimant: str | None
    """The peer whose word on a hub's checkpoint the manifest is; None where no hub has to bear it out any more."""
    distrust: Distrust
    intake: Intake = field(default_factory=lambda: Intake.at(AnyPace()))
    """What everything goes through that is fetched."""
    is_stored: bool = True
    _needed: list[Chunk] = field(default_factory=list)

    @property
    def title(self) -> str:
        """See `Model`: `name` of `hf:org/name@commit`, the end of an id."""
        known = self.name.partition("@")[0]
        return known.rpartition("/")[2] if "/" in known else self.weights.short

    @property
    def model(self) -> ModelId:
        """See `Model`."""
        return self.weights if self.manifest.base is None else self.manifest.base.model

    @property
    def weights(self) -> ModelId:
        """The id of these very weights, which a quantised form has of its own."""
        return self.manifest.model_id

    async def need_files(self, names: Iterable[str] | None) -> None:
        """Bring small files here, all when `names` is None, and show them in the folder.

        One that is here and damaged is fetched anew. Raises `StoreError`.
        """
        wanted = chunks_of(self.manifest, tensors=(), files=names)
        for _ in self.manifest.files:
            await self._bring(wanted, None, check=False)
            try:
                await self._show()
            except CorruptChunk as error:
                log.warning("%s; fetching it anew", error.cause)
                await asyncio.to_thread(self.lease.store.discard, error.digest)
            else:
                return
        await self._bring(wanted, None, check=False)
        await self._show()

    async def _show(self) -> None:
        self.folder = await asyncio.to_thread(
            views.view, self.lease.store, self.manifest.model_id, self.manifest
        )

    async def need(
        self, tensors: Iterable[str], *, progress: Callable[[int, int], None] | None = None
    ) -> FetchReport | None:
        """See `Model`."""
        wanted = chunks_of(self.manifest, tensors=tensors, files=())
        return await self._bring(wanted, progress, check=True)

    async def need_chunks(self, digests: Collection[bytes]) -> FetchReport | None:
        """Bring chunks here by their digests. Raises `StoreError`."""
        wanted = [one for one in chunks_of(self.manifest) if one.digest in digests]
        return await self._bring(wanted, None, check=False)

    async def mend(self, digest: bytes) -> None:
        """See `Model`."""
        await asyncio.to_thread(self.lease.store.discard, digest)
        await self._bring([one for one in self._needed if one.digest == digest], None, check=False)

    async def _bring(
        self, chunks: Sequence[Chunk], progress: Callable[[int, int], None] | None, *, check: bool
    ) -> FetchReport | None:
        await asyncio.to_thread(self.lease.pin, chunks)
        self._needed += chunks
        missing = await asyncio.to_thread(self.lease.store.missing, chunks)
        if not missing:
            return None
        sources = await self.sources({one.name for one in missing if not one.is_file})
        try:
            if check and self.claimant is not None:
                # Of a claim one chunk comes from the hub that nobody could have foreseen.
                await self._fetch([secrets.choice(missing)], sources[: _HUB + 1], None)
            report = await self._fetch(missing, sources, progress)
        except NotTheHubs:
            await asyncio.to_thread(self.lease.store.catalogue.not_called, self.name)
            if self.claimant is not None:
                await asyncio.to_thread(self.distrust.remember, self.claimant)
            raise
        if check and self.claimant is not None:
            self.claimant = None
            await asyncio.to_thread(self.lease.store.catalogue.used, self.weights, self.name)
        return report

    async def _fetch(
        self, missing: Sequence[Chunk], sources: Sequence[Source], progress: Callable[[int, int], None] | None
    ) -> FetchReport:
        return await fetch(
            await asyncio.to_thread(self.lease.store.missing, missing),
            sources,
            keep=self._keep,
            intake=self.intake,
            progress=progress,
            distrusted=self.distrust,
        )

    def _keep(self, chunk: Chunk, data: bytes) -> None:
        self.lease.put(chunk, data)
