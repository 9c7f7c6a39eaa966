"""Models by their names: where a model's manifest comes from, and how the bytes that are needed come to this machine.

    pocket, a folder          the files are here; nothing is fetched and nothing is copied
    b...                      a model id: manifest and chunks come from peers, or are in the store
    hf:org/name[@revision]    a hub's: the chunks come from the hub and from peers; the manifest from the store, from a
                              peer that has described the same commit, or from reading the whole checkpoint once

Whatever brings a chunk, it is checked against the manifest, and the manifest against the model's id. That a manifest
which a peer names is the hub's checkpoint is checked with the hub (`hub_check`). Joins the store, the hub and peers;
knows neither sessions nor torch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from crypto.identity import PeerId
from node import hub_check
from node.store import checkpoint, views
from node.store.catalogue import manifest_chunk
from node.store.chunks import ChunkStore, Lease
from node.store.distrust import Distrust
from node.store.errors import StoreError
from node.store.hub import HubRepo
from node.store.hub_manifest import manifest_of
from node.store.hub_name import HubName
from node.store.hub_source import HubSource
from node.store.pace import AnyPace, Intake, Pace
from node.store.peer_source import Asker, PeerSource, client_session
from node.store.source import Source, SourceFailed
from node.stored_model import LocalModel, Model, StoredModel
from wire.errors import InvalidValue
from wire.manifest import Manifest
from wire.types import Address, ModelId

log = logging.getLogger(__name__)

HUB_PREFIX: Final = "hf:"
SLICE_FILES: Final = ("config.json",)
"""The small files that a host needs; the others are for who makes tokens of text."""
MOST_PEERS: Final = 64
"""Peers that are asked for one model; more make nothing faster."""
_REASONS: Final = 3
"""Peers whose answers an error tells."""


class NotDescribed(StoreError):
    """Nobody who can be asked has a manifest of the model."""


class NotToFetch(StoreError):
    """Something is missing, and this process was told to fetch nothing."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A peer that gives chunks."""

    peer: PeerId
    address: Address
    """Of its chunks, not of its links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryTerms:
    """What a machine gives to the weights of models."""

    root: Path
    """The folder of the store; it is made when the first model needs it."""
    cache_dir: Path
    quota_bytes: int | None = None
    """The most that chunks may take on disk; None for no bound."""
    offline: bool = False
    """Use what is here, and ask neither hub nor peers."""
    reads_all: bool = False
    """Read a hub's whole checkpoint once when nobody else has described it."""


class Library:
    """The models that this process uses. An async context manager."""

    def __init__(
        self,
        terms: LibraryTerms,
        *,
        neighbours: Callable[[ModelId | None], Awaitable[Sequence[Neighbour]]],
        asker: Asker | None = None,
        pace: Pace | None = None,
    ) -> None:
        """
        Args:
            neighbours: the peers that give chunks, of a model where it is known; asked whenever something is missing.
            asker: signs what those peers are asked for.
            pace: how fast all that is fetched may come, beside whatever else this process receives.
        """
        self._terms = terms
        self._neighbours = neighbours
        self._asker = asker
        self._session: aiohttp.ClientSession | None = None
        self._opened: ChunkStore | None = None
        self._leases: list[Lease] = []
        self._repos: list[HubRepo] = []
        self._distrust = Distrust(terms.cache_dir / "distrusted.json")
        self.intake = Intake.at(pace or AnyPace())
        """What was fetched."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Need nothing any more: what was fetched stays until room is wanted."""
        for lease in self._leases:
            await asyncio.to_thread(lease.close)
        self._leases.clear()
        for repo in self._repos:
            await repo.close()
        self._repos.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def open(
        self,
        name: str,
        *,
        files: Iterable[str] | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Model:
        """Find a model and bring its small files here, so that its folder can be read.

        Args:
            files: names of the small files that are needed; None for all. A model on this disk has all.
            progress: told the part done of what takes long: reading weights to know which model they are.

        Raises:
            StoreError: it cannot be found or brought, and why.
        """
        if name.startswith(HUB_PREFIX):
            model = await self._of_hub(HubName.parse(name), files, progress)
        else:
            try:
                model = await self._of_id(name, ModelId.parse(name))
            except InvalidValue:
                folder = await asyncio.to_thread(checkpoint.resolve, name)
                return await LocalModel.read(folder, cache_dir=self._terms.cache_dir, progress=progress)
        await model.need_files(files)
        return model

    async def _of_id(self, name: str, model: ModelId) -> StoredModel:
        store = await self._store()
        manifest = await asyncio.to_thread(store.catalogue.manifest, model)
        if manifest is None:
            manifest = await self._manifest(model)
        return await self._stored(name, manifest, hub=None, claimant=None)

    async def _of_hub(
        self, name: HubName, files: Iterable[str] | None, progress: Callable[[float], None] | None
    ) -> StoredModel:
        store = await self._store()
        repo = await self._repo(name)
        full = f"{HUB_PREFIX}{name.repo}@{repo.commit}"
        known = await asyncio.to_thread(store.catalogue.called, full)
        manifest = None if known is None else await asyncio.to_thread(store.catalogue.manifest, known)
        if manifest is not None:
            return await self._stored(full, manifest, hub=repo, claimant=None)
        claim, reasons = await self._claimed(repo, files)
        if claim is not None:
            return await self._stored(full, claim.manifest, hub=repo, claimant=claim.peer)
        if self._terms.reads_all and not self._terms.offline:
            total = sum(one.size for one in repo.files.values()) / 1e9
            log.info("nobody who can be asked has described %s: reading all of it once, %.1f GB", full, total)
            return await self._stored(
                full, await manifest_of(repo, progress=progress), hub=repo, claimant=None
            )
        raise NotDescribed(
            f"no manifest of {full} is here, and no peer that could be asked has one{_told(reasons)}",
            f"run `lamella-node publish {full}` once on a machine, or name a host of it with --peer",
        )

    async def _repo(self, name: HubName) -> HubRepo:
        """A hub's repository, kept open until this is closed."""
        cache_dir = self._terms.cache_dir / "hub"
        repo = (
            await HubRepo.kept(name, cache_dir=cache_dir)
            if self._terms.offline
            else await HubRepo.open(name, cache_dir=cache_dir, flow=self.intake.hub)
        )
        self._repos.append(repo)
        if repo.notice is not None:
            log.warning("%s", repo.notice)
        return repo

    async def _manifest(self, model: ModelId) -> Manifest:
        """The manifest of a model as peers have it, which the id proves. Raises `NotDescribed`."""
        reasons = []
        for peer in await self._peers(model):
            try:
                return await peer.manifest(model)
            except SourceFailed as error:
                reasons.append(error.cause)
        raise NotDescribed(
            f"model {model} is not in the store, and no peer gave its manifest{_told(reasons)}",
            "name a host of it with --peer, or run `lamella-node publish` where the model is",
        )

    async def _claimed(self, repo: HubRepo, files: Iterable[str] | None) -> tuple[_Claim | None, list[str]]:
        """What a peer says a hub's checkpoint is and the hub confirms as far as it can; else why none is believed."""
        reasons = []
        for peer in await self._peers(None):
            try:
                model = await peer.named(repo.name.repo, repo.commit)
                if model is None:
                    reasons.append(f"{peer.label} does not know it")
                    continue
                manifest = await peer.manifest(model)
                await hub_check.check_claim(repo, manifest, files)
            except hub_check.ClaimRefused as error:
                log.warning("%s is not believed any more: %s", peer.label, error.cause)
                reasons.append(f"{peer.label} was not believed: {error.cause}")
                await asyncio.to_thread(self._distrust.remember, peer.label)
            except SourceFailed as error:
                reasons.append(error.cause)
            else:
                return _Claim(peer.label, manifest), reasons
        return None, reasons

    async def _stored(
        self, name: str, manifest: Manifest, *, hub: HubRepo | None, claimant: str | None
    ) -> StoredModel:
        store = await self._store()
        lease = await asyncio.to_thread(store.lease)
        self._leases.append(lease)
        data = manifest.encode()
        chunk = manifest_chunk(manifest.model_id, len(data))
        await asyncio.to_thread(lease.pin, [chunk])
        await asyncio.to_thread(lease.put, chunk, data)
        # A claim is noted once a chunk from the hub has borne it out.
        known = [] if claimant is not None or name == str(manifest.model_id) else [name]
        await asyncio.to_thread(store.catalogue.used, manifest.model_id, *known)
        return StoredModel(
            name=name,
            manifest=manifest,
            lease=lease,
            folder=views.place(store, manifest.model_id),
            sources=lambda tensors: self._sources(name, manifest, hub, tensors),
            claimant=claimant,
            distrust=self._distrust,
            intake=self.intake,
        )

    async def _sources(
        self, name: str, manifest: Manifest, hub: HubRepo | None, tensors: Collection[str]
    ) -> list[Source]:
        """Everybody who may have chunks of these tensors or of small files, the hub first. Raises `NotToFetch`."""
        if self._terms.offline:
            raise NotToFetch(
                f"parts of {name} that are needed are not here, and this process is told to fetch nothing",
                "start once without --offline",
            )
        peers = await self._peers(manifest.model_id if manifest.base is None else manifest.base.model)
        answers = await asyncio.gather(*(peer.learn(manifest) for peer in peers), return_exceptions=True)
        found: list[Source] = []
        if hub is not None:
            found.append(
                hub_check.Witness(HubSource(hub, await hub.layout(tensors) if tensors else {}), name)
            )
        for peer, answer in zip(peers, answers, strict=True):
            if isinstance(answer, BaseException) and not isinstance(answer, SourceFailed):
                raise answer
            if answer is None:
                found.append(peer)
        return found

    async def _peers(self, model: ModelId | None) -> list[PeerSource]:
        if self._terms.offline:
            return []
        if self._session is None:
            self._session = client_session(limit=self.intake.peers.along)
        found = [
            PeerSource(self._session, one.address, one.peer, asker=self._asker, flow=self.intake.peers)
            for one in await self._neighbours(model)
        ]
        return [one for one in found if one.label not in self._distrust][:MOST_PEERS]

    async def _store(self) -> ChunkStore:
        if self._opened is None:
            self._opened = await asyncio.to_thread(
                lambda: ChunkStore(self._terms.root, quota_bytes=self._terms.quota_bytes)
            )
        return self._opened


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a peer says a hub's checkpoint is."""

    peer: str
    """Its label."""
    manifest: Manifest


def _told(reasons: Sequence[str]) -> str:
    return f" ({'; '.join(reasons[:_REASONS])})" if reasons else ""
