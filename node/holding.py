"""What a host does with its slices when the keeper of their lives says so: loads, offers, withdraws, ends, unloads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from node.config import SliceRequest
from node.errors import NodeError
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.lifecycle.wishes import SliceKey, Wish
from node.serving import Serving
from node.sharing import Sharing
from node.slices import memory
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from wire.codes import Code


class CannotLoad(NodeError):
    """A slice of a model cannot be loaded here."""


class GivenUp(NodeError):
    """A load is not wanted any more."""


def wish_for(request: SliceRequest) -> Wish:
    """What a request asks to hold: a folder by its whole path, since what is asked is kept; other names as they are."""
    folder = Path(request.model).expanduser()
    name = str(folder.resolve()) if folder.is_dir() else request.model
    return Wish(key=SliceKey(name, request.layers))


class Holding:
    """The hands of `node.lifecycle.keeper.Keeper`, on the real slices."""

    def __init__(
        self, *, serving: Serving, host: SessionHost, sharing: Sharing, compute: ComputeThread
    ) -> None:
        self._compute = compute
        self._serving = serving
        self._host = host
        self._sharing = sharing

    async def load(self, wish: Wish, progress: Callable[[float], None]) -> HostedSlice:
        """Bring a slice here and into memory; see `Hands.load`.

        A load that is cancelled ends on the compute thread, too, before this returns: nothing of it is in memory then.
        """
        given_up = threading.Event()

        def told(fraction: float) -> None:
            if given_up.is_set():
                raise GivenUp("it is not wanted any more", "join it again")
            progress(fraction)

        failure: CannotLoad | None = None
        held: HostedSlice | None = None
        try:
            held = await self._load(wish, told)
        except SliceError as error:
            # A `SliceError` says what to do after its cause, in one sentence. It is not kept: it leads to the frames
            # of the load, and with them to what was loaded so far.
            cause, separator, next_step = str(error).rpartition("; ")
            failure = CannotLoad(
                cause if separator else next_step, next_step if separator else "look into the model's files"
            )
        finally:
            given_up.set()
            if held is None:
                # The load ends at its next progress. What it failed with is dropped once the loop is told of that,
                # which comes before it is told of the job after.
                await self._compute.run(_nothing)
                await self._compute.run(memory.free)
        if held is None:
            raise failure or CannotLoad("nothing was loaded", "look into the log")
        return held

    async def unload(self, handle: HostedSlice) -> None:
        """Free a slice's memory."""
        await self._serving.unload(handle)

    def offer(self, handle: HostedSlice) -> None:
        """Announce a slice and take sessions on it."""
        self._serving.offer(handle)

    def withdraw(self, handle: HostedSlice, code: Code) -> None:
        """Announce a slice no more and refuse new sessions on it."""
        self._serving.withdraw(handle, code)

    def sessions(self, handle: HostedSlice) -> int:
        """Sessions whose answer may be under way; one between two answers loses nothing but its cache."""
        return sum(run.may_go_on for run in self._host.running if run.slice is handle)

    async def abort(self, handle: HostedSlice, code: Code) -> int:
        """End the sessions of a slice."""
        return await self._host.end(handle, code)

    async def _load(self, wish: Wish, told: Callable[[float], None]) -> HostedSlice:
        model = await self._serving.open(wish.key.model)
        held = await self._serving.load(model, SliceRequest(wish.key.model, wish.key.layers), told)
        self._sharing.offer(model)
        return held


def _nothing() -> None:
    """Come after what is under way on a thread."""
