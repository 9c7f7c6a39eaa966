"""`--auto` in a host: joins `AutoHost`, which decides, with the slices, the peers and the memory of this machine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import aclosing, suppress

from node.auto import AutoHost, Hands
from node.config import SliceRequest
from node.controlling import Parts
from node.errors import NodeError
from node.free_memory import PART_OF_FREE, free_memory
from node.holding import wish_for
from node.lifecycle.errors import LoadFailed, NotHeld
from node.lifecycle.following import SliceStatus
from node.lifecycle.happenings import Pauser
from node.lifecycle.table import State
from node.lifecycle.wishes import Wish
from node.neighbours import Neighbours
from node.planning import gap
from node.planning.cost import Load
from node.planning.gap import Choice, Joining
from node.planning.moving import Move, Stay
from node.serving import Serving
from node.slices.errors import SliceError
from node.slices.shape_of import read_shape
from node.stored_model import Model

log = logging.getLogger(__name__)


class Choosing:
    """The choice of one process; does nothing until it settles."""

    def __init__(self, parts: Parts, *, serving: Serving, neighbours: Neighbours) -> None:
        self._parts = parts
        self._serving = serving
        self._neighbours = neighbours
        self._auto: AutoHost | None = None
        self._model: Model | None = None

    async def settle(self) -> None:
        """Choose layers of the model that is configured and have them served, unless people drained or paused any.

        Raises:
            NodeError: nothing of it fits, or it cannot be had or loaded.
            SliceError: its config cannot be read.
        """
        drained = [
            one for one in self._held() if one.state is State.STOPPED or Pauser.PERSON in one.paused_by
        ]
        if drained:
            log.warning(
                "no layers are chosen, since people drained or paused %s; "
                "`lamella-node ctl leave` and a start let it choose again",
                ", ".join(str(one.wish.key) for one in drained),
            )
            return
        config, compute = self._parts.config, self._parts.host.compute
        self._model = model = await self._serving.open(config.slices[0].model)
        facts = await self._serving.facts(model)
        joining = Joining(
            me=self._parts.me,
            model=model.model,
            shape=await compute.run(read_shape, model.folder),
            budget_bytes=config.memory_bytes or int(PART_OF_FREE * free_memory()),
            load=Load(),
            numerics=(self._serving.numerics(facts),),
        )
        hands = Hands(
            hear=self._hear, load=self._load, unload=self._unload, clock=time.time, settled=self._asked
        )
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
        if self._model is not None:
            await self._neighbours.look_for(self._model.model)
        return [
            gap.Heard(peer=one.peer, offer=offer, draining=one.hosting.draining)
            for one in await self._neighbours.ask()
            for offer in one.hosting.offers
        ]

    async def _load(self, choice: Choice) -> None:
        wish, keeper = self._wish(choice), self._parts.keeper
        try:
            async with aclosing(keeper.join(wish, chosen=True)) as told:
                async for _ in told:
                    pass
        except LoadFailed:
            # Another choice is made, or the old one is taken back.
            await keeper.leave(wish.key, 0.0)
            raise

    async def _unload(self, choice: Choice) -> None:
        key, keeper = self._wish(choice).key, self._parts.keeper
        cut_off = 0
        # A person may have taken it away meanwhile.
        with suppress(NotHeld):
            await keeper.leave(key, self._parts.config.drain_grace_s)
            async with aclosing(keeper.watch(key)) as told:
                async for one in told:
                    cut_off = one.cut_off
        log.info("layers %s were left; %d answers were cut off", choice.layers, cut_off)

    def _asked(self) -> str | None:
        """What people asked for keeps the host from choosing."""
        current = None if self._auto is None else self._auto.current
        own = None if current is None else self._wish(current).key
        held = self._held()
        if any(one.wish.key != own for one in held):
            return "people asked for other slices"
        if not any(one.state is State.SERVING and not one.paused_by for one in held):
            return "its slice was paused, drained or left"
        return None

    def _held(self) -> list[SliceStatus]:
        """The slices, but for those that have just gone."""
        gone = (State.LEFT, State.CLOSED)
        return [one for one in self._parts.keeper.status() if one.state not in gone]

    def _wish(self, choice: Choice) -> Wish:
        return wish_for(SliceRequest(self._parts.config.slices[0].model, choice.layers))

    @staticmethod
    def _told(decided: Move | Stay) -> None:
        if isinstance(decided, Move):
            log.info("moved to layers %s: %s", decided.choice.layers, decided.reason)
        else:
            log.debug("stays: %s", decided.reason)
