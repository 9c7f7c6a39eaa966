"""What a host gives to peers: the chunks of the models it serves, over HTTP, as far as it is allowed to."""

from __future__ import annotations

import asyncio
import logging

from crypto.identity import PeerId
from node import paths
from node.config import NodeConfig
from node.errors import NodeError
from node.progress import stoppable
from node.store import checkpoint
from node.store.folder_shelf import FolderShelf
from node.store.pace import AnyPace, Pace
from node.store.share import ShareServer, ShareTerms
from node.store.share_auth import OpenGate, SwarmGate
from node.store.shelves import Shelves, StoreShelf
from node.stored_model import LocalModel, Model, StoredModel
from wire.types import DEFAULT_NETWORK, Address

log = logging.getLogger(__name__)


class Sharing:
    """The chunks that peers can have from this process."""

    def __init__(self, me: PeerId, config: NodeConfig, *, pace: Pace | None = None) -> None:
        """`pace` is how fast all that is given may leave, beside whatever else this process sends."""
        self._config = config
        self._shelves = Shelves()
        self._offered: set[object] = set()
        self._reading: set[asyncio.Task[None]] = set()
        # In a swarm of its own only those who know its name are given anything.
        gate = OpenGate() if config.network == DEFAULT_NETWORK else SwarmGate()
        terms = ShareTerms(pace=pace or AnyPace())
        self._server = ShareServer(self._shelves, me=me, network=config.network, gate=gate, terms=terms)

    @property
    def given_bytes(self) -> int:
        """What was given since the start."""
        return self._server.given.nbytes

    @property
    def answering(self) -> int:
        """Answers under way."""
        return self._server.answering

    async def start(self, beside: Address) -> int | None:
        """Listen where the configuration says, else at a free port of the address `beside`.

        Returns: The port, if peers find it at the address they know this host by; None when nothing is given.

        Raises:
            CannotListen: the address is taken or is none of this machine's.
        """
        if not self._config.shares:
            return None
        address = await self._server.start(self._config.share or Address(beside.ip, 0))
        return address.port

    def offer(self, model: Model) -> None:
        """Give what is here of a model too."""
        if not self._config.shares:
            return
        if isinstance(model, StoredModel):
            if model.lease.store not in self._offered:
                self._offered.add(model.lease.store)
                self._shelves.add(StoreShelf(model.lease.store))
        elif isinstance(model, LocalModel) and model.folder not in self._offered:
            self._offered.add(model.folder)
            task = asyncio.create_task(self._read(model))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    async def close(self) -> None:
        """Give nothing any more."""
        for task in self._reading:
            task.cancel()
        if self._reading:
            await asyncio.wait(self._reading)
        await self._server.close()

    async def _read(self, model: LocalModel) -> None:
        """Find out where the chunks of a folder lie; a quantised one is read whole for that, the first time."""
        try:
            manifest = await stoppable(
                lambda tell: checkpoint.manifest_of(model.folder, cache_dir=paths.cache_dir(), progress=tell)
            )
            self._shelves.add(await asyncio.to_thread(FolderShelf.described, model.folder, manifest))
        except NodeError as error:
            log.warning("%s is not given to peers: %s", model.title, error)
