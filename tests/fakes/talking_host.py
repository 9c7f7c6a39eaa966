"""A host behind a control socket that is paused, drained and undrained, as far as a person sees of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from node.control.arguments import DrainArguments, NoArguments, SliceArguments
from node.control.commands import Handlers, Nothing, Tell
from node.control.results import (
    Changed,
    DaemonState,
    Drained,
    DrainProgress,
    JoinPhase,
    JoinProgress,
    SessionLine,
    Sessions,
    SliceLine,
    SliceState,
    Status,
)
from node.errors import NodeError
from tests.fakes.control import STATUS
from wire.types import LayerRange

FIRST, SECOND = "pocket@6:12", "pocket@12:18"


def slice_line(name: str, *, sessions: int = 0) -> SliceLine:
    """A slice of the pocket model that serves."""
    layers = LayerRange.parse(name.partition("@")[2])
    return SliceLine(name=name, model="pocket", layers=layers, state=SliceState.SERVING, sessions=sessions)


class TalkingHost:
    """Does at once what it is told, but for draining and undraining, which take until `go` is set."""

    def __init__(self, *, sessions: int = 1) -> None:
        self.slices = {FIRST: slice_line(FIRST, sessions=sessions), SECOND: slice_line(SECOND)}
        self.state = DaemonState.SERVING
        self.why: str | None = None
        self.go = asyncio.Event()
        self.asked: list[str] = []
        """Commands but for looks, in order, with their slices."""
        self.looks = 0
        self.cancelled: list[str] = []

    def handlers(self) -> Handlers:
        """What to give the server."""
        return {
            "status": self.status,
            "sessions": self.sessions,
            "pause": self.pause,
            "resume": self.resume,
            "drain": self.drain,
            "undrain": self.undrain,
        }

    async def status(self, _: NoArguments, _tell: Tell[Nothing]) -> Status:
        self.looks += 1
        lines = tuple(self.slices.values())
        count = sum(one.sessions for one in lines)
        return replace(STATUS, state=self.state, why=self.why, slices=lines, sessions=count)

    async def sessions(self, _: NoArguments, _tell: Tell[Nothing]) -> Sessions:
        return Sessions(
            sessions=tuple(
                SessionLine(
                    session=f"s{number}", client=f"client{number}", slice=one.name, layers=LayerRange(6, 12),
                    positions=120, max_positions=4096, tokens=80, idle_s=0.5, active=True,
                )
                for one in self.slices.values()
                for number in range(one.sessions)
            )
        )  # fmt: skip

    async def pause(self, _: NoArguments, _tell: Tell[Nothing]) -> Changed:
        self.asked.append("pause")
        self.state, self.why = DaemonState.PAUSED, "paused by hand"
        return Changed(state=self.state, slices=tuple(self.slices.values()))

    async def resume(self, _: NoArguments, _tell: Tell[Nothing]) -> Changed:
        self.asked.append("resume")
        self.state, self.why = DaemonState.SERVING, None
        return Changed(state=self.state, slices=tuple(self.slices.values()))

    async def drain(self, arguments: DrainArguments, tell: Tell[DrainProgress]) -> Drained:
        name = arguments.slice or FIRST
        self.asked.append(f"drain {name}")
        open_before = self.slices[name].sessions
        self._becomes(name, SliceState.DRAINING)
        try:
            await tell(
                DrainProgress(slice=name, state=SliceState.DRAINING, sessions=open_before, left_s=299.0)
            )
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append("drain")
            raise
        self.slices[name] = replace(self.slices[name], state=SliceState.STOPPED, sessions=0)
        return Drained(slices=(name,), finished=open_before)

    async def undrain(self, arguments: SliceArguments, tell: Tell[JoinProgress]) -> Changed:
        name = arguments.slice or FIRST
        self.asked.append(f"undrain {name}")
        if self.slices[name].detail == "broken":
            raise NodeError("its weights are damaged", "repair them with `lamella-node models --repair`")
        if self.slices[name].state is SliceState.STOPPED:
            self._becomes(name, SliceState.LOADING)
            await tell(JoinProgress(slice=name, phase=JoinPhase.LOADING, fraction=0.5))
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.cancelled.append("undrain")
                self._becomes(name, SliceState.STOPPED)
                raise
        self._becomes(name, SliceState.SERVING)
        return Changed(state=self.state, slices=tuple(self.slices.values()))

    def _becomes(self, name: str, state: SliceState) -> None:
        self.slices[name] = replace(self.slices[name], state=state)
