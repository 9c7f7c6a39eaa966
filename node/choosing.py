"""`--auto` in a host: joins `AutoHost`, which decides, with the slices, the peers and the memory of this machine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from crypto.identity import PeerId
from node.auto import AutoHost, Hands
from node.config import NodeConfig, SliceRequest
from node.errors import NodeError
from node.hosting import HostedSlice
from node.neighbours import Neighbours
from node.planning import gap
from node.planning.cost import Load
from node.planning.gap import Choice, Joining
from node.planning.moving import Move, Stay
from node.serving import Serving
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from node.slices.shape_of import read_shape
from node.stored_model import Model

log = logging.getLogger(__name__)

_PART_OF_FREE: Final = 0.75
"""Of the memory that is free; the rest is for whoever uses this machine, and for what the system keeps of files."""
_MEMORY_FILE: Final = Path("/proc/meminfo")


class Unmeasured(NodeError):
    """It cannot be found out how much memory is free."""


class Choosing:
    """The choice of one process; does nothing until it settles."""

    def __init__(
        self,
        me: PeerId,
        config: NodeConfig,
        *,
        serving: Serving,
        neighbours: Neighbours,
        compute: ComputeThread,
    ) -> None:
        self._me = me
        self._config = config
        self._serving = serving
        self._neighbours = neighbours
        self._compute = compute
        self._auto: AutoHost | None = None
        self._chosen: tuple[Model, SliceRequest] | None = None
        self._held: HostedSlice | None = None

    async def settle(self, model: Model, request: SliceRequest) -> None:
        """Choose layers of a model, load them and offer them.

        Raises:
            NodeError: nothing of it fits, or it cannot be had.
            SliceError: it cannot be loaded.
        """
        facts = await self._serving.facts(model)
        joining = Joining(
            me=self._me,
            model=model.model,
            shape=await self._compute.run(read_shape, model.folder),
            budget_bytes=self._config.memory_bytes or int(_PART_OF_FREE * free_memory()),
            load=Load(),
            numerics=(self._serving.numerics(facts),),
        )
        self._chosen = model, request
        hands = Hands(hear=self._hear, load=self._load, unload=self._unload, clock=time.time)
        self._auto = AutoHost(joining, hands)
        choice = await self._auto.settle()
        log.info("layers %s were chosen: %s", choice.layers, choice.reason)

    async def run(self, stop: asyncio.Event) -> None:
        """Choose anew now and then, until `stop` is set. A choice that fails leaves nothing served, and is logged."""
        if self._auto is None:
            return
        try:
            await self._auto.run(stop, self._told)
        except (NodeError, SliceError) as error:
            log.error("no layers are served any more: %s", error)

    async def _hear(self) -> Sequence[gap.Heard]:
        if self._chosen is not None:
            await self._neighbours.look_for(self._chosen[0].model)
        return [
            gap.Heard(peer=one.peer, offer=offer, draining=one.hosting.draining)
            for one in await self._neighbours.ask()
            for offer in one.hosting.offers
        ]

    async def _load(self, choice: Choice) -> None:
        if self._chosen is None:
            raise RuntimeError("no model was chosen")
        model, request = self._chosen
        held = await self._serving.load(model, SliceRequest(request.model, choice.layers))
        self._serving.offer(held)
        self._held = held

    async def _unload(self, choice: Choice) -> None:
        held, self._held = self._held, None
        if held is not None:
            cut_off = await self._serving.let_go(held)
            log.info("layers %s were left; %d answers were cut off", choice.layers, cut_off)

    @staticmethod
    def _told(decided: Move | Stay) -> None:
        if isinstance(decided, Move):
            log.info("moved to layers %s: %s", decided.choice.layers, decided.reason)
        else:
            log.debug("stays: %s", decided.reason)


def free_memory(file: Path = _MEMORY_FILE) -> int:
    """Bytes that a process could take with nobody giving any up (`MemAvailable`, Linux). Raises `Unmeasured`."""
    try:
        for line in file.read_text("ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                return int(value.split()[0]) * 1024
    except (OSError, ValueError, IndexError) as error:
        raise _unmeasured(file) from error
    raise _unmeasured(file)


def _unmeasured(file: Path) -> Unmeasured:
    return Unmeasured(
        f"{file} does not say how much memory is free", "say how much this host may take, with --memory"
    )
