"""A real host that is told what to hold and killed in the middle, over and over; what must be so at its next start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from node import paths
from node.control.arguments import DrainArguments, JoinArguments, NoArguments, SliceArguments
from node.control.client import ControlClient, connected
from node.control.commands import DRAIN, HOSTING, JOIN, LEAVE, STATUS, UNDRAIN, Command
from node.control.errors import ControlError, Refused
from node.control.results import DaemonState, SliceState
from node.store.chunks import ChunkStore
from tests.fakes.attacker import Attacker
from tests.fakes.hosts import Host
from wire.manifest import Manifest
from wire.messages.hosting import Describe, Hosting
from wire.types import Address, LayerRange

START_S: Final = 120.0
NOTHING: Final = NoArguments()
LONGEST_S: Final = {
    "join": 0.6, "undrain": 0.6, "leave": 0.15, "drain": 0.15, "download": 1.5, "start": 1.5,
}  # fmt: skip
"""Within what time a kill comes, which is about what each takes."""
_AIMS: Final = {"join": "held", "undrain": "held", "leave": "left", "drain": "drained", "download": "held"}
_STATES: Final = {SliceState.SERVING: "held", SliceState.STOPPED: "drained"}


class Process(Protocol):
    """A running host."""

    def kill(self) -> str:
        """End it at once; returns what it said on standard error."""


class Forked:
    """A host in a process that has imported everything already."""

    def __init__(self, words: Sequence[str]) -> None:
        self._host = Host(words)

    def kill(self) -> str:
        """See `Process`."""
        self._host.process.kill()
        self._host.wait()
        return self._host.stderr


class Started:
    """A host as a person starts it."""

    def __init__(self, words: Sequence[str]) -> None:
        self._said: str | None = None
        self._host = subprocess.Popen(
            [sys.executable, "-m", "node", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def kill(self) -> str:
        """See `Process`."""
        self._host.kill()
        if self._said is None:
            _, self._said = self._host.communicate()
        return self._said


@dataclass(frozen=True, kw_only=True)
class Held:
    """A slice that the host may be told of."""

    model: str
    layers: LayerRange
    configured: bool = False
    is_fetched: bool = False
    """Whether its weights come from elsewhere."""

    @property
    def name(self) -> str:
        return f"{self.model}@{self.layers}"


@dataclass(kw_only=True)
class Machine:
    """The disk of one host, and what it was told."""

    home: Path
    control: Path
    slices: Sequence[Held]
    manifest: Manifest
    words: Sequence[str]
    seed: int
    started_every: int = 25
    """Of how many lives one is of a host that is started as people do it."""
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.asked = {one.name: "held" if one.configured else "left" for one in self.slices}
        self.open: tuple[str, str] | None = None
        """A command that was given and not answered: it may hold or not."""
        self.lives = 0
        self.acknowledged = 0
        self.store = ChunkStore(paths.weights_dir())
        self.there: set[bytes] = set()
        """Chunks that were whole at the latest start."""

    async def life(self) -> str:
        """Start the host, look whether all is as it must be, tell it something, and kill it; returns what was done."""
        kind, chosen = self._drawn()
        if kind == "download" and chosen is not None:
            self.forget(chosen)
        self.there = set(self.store.sizes())
        delay_s = self.dice.uniform(0.0, LONGEST_S[kind])
        is_real = self.lives % self.started_every == self.started_every - 1
        process = self.start(is_real=is_real)
        self.lives += 1
        self.counts[kind] += 1
        before = self.acknowledged
        try:
            if chosen is None:
                await asyncio.sleep(delay_s)
            else:
                async with self.connected() as client:
                    await self.check(client)
                    kind = await self._told(client, kind, chosen, process, delay_s)
        finally:
            said = await asyncio.to_thread(process.kill)
        assert "Traceback" not in said, said
        how = "acknowledged" if self.acknowledged > before else "not acknowledged"
        what = "" if chosen is None else f" {chosen.layers}, {how}"
        return f"{kind}{what}, killed after {delay_s * 1000:.0f} ms{', started by python -m node' if is_real else ''}"

    def start(self, *, is_real: bool = False) -> Process:
        """Start the host; what is left of its control socket is in its way, or not."""
        words = [*self.words, "--control", str(self.control), "--identity", str(self.home / "identity")]
        return Started(words) if is_real else Forked(words)

    @contextlib.asynccontextmanager
    async def connected(self) -> Any:
        """Speak with the host once it has settled."""
        async with asyncio.timeout(START_S):
            while not await self._has_settled():  # noqa: ASYNC110 - a host that starts has nobody to tell
                await asyncio.sleep(0.02)
        async with connected(self.control) as client:
            yield client

    async def _has_settled(self) -> bool:
        try:
            async with connected(self.control) as client:
                return (await client.call(STATUS, NOTHING)).state is not DaemonState.STARTING
        except ControlError:
            return False

    async def check(self, client: ControlClient) -> Address:
        """Compare the host with what it was told, which settles what was open; returns where it is."""
        status = await client.call(STATUS, NOTHING)
        found = {one.name: _STATES[one.state] for one in status.slices}
        for name, asked in self.asked.items():
            now = found.get(name, "left")
            allowed = {asked} | ({self.open[1]} if self.open is not None and self.open[0] == name else set())
            assert now in allowed, f"{name} is {now}, and {allowed} was asked"
            self.asked[name] = now
        self.open = None
        held = {one.layers for one in self.slices if self.asked[one.name] == "held"}
        facts = (await client.call(HOSTING, NOTHING)).slices
        assert {one.layers for one in facts if one.weight_bytes} == held
        address = Address.parse(status.addresses[0])
        asker = await Attacker.linked(address)
        await asker.send(Describe())
        assert {one.layers for one in (await asker.receive(Hosting)).offers} == held, "what is announced"
        asker.close()
        await asyncio.to_thread(self._check_disk)
        return address

    def forget(self, chosen: Held) -> None:
        """Lose the weights of a slice, so that they have to be fetched again."""
        prefixes = tuple(f"model.layers.{one}." for one in range(chosen.layers.start, chosen.layers.end))
        for tensor in self.manifest.tensors:
            if tensor.name.startswith(prefixes):
                for digest in tensor.chunks:
                    self.store.path(digest).unlink(missing_ok=True)

    async def hold_all(self, client: ControlClient) -> None:
        """Have everything served."""
        for one in self.slices:
            if self.asked[one.name] == "left":
                await client.call(JOIN, JoinArguments(model=one.model, layers=one.layers))
            elif self.asked[one.name] == "drained":
                await client.call(UNDRAIN, SliceArguments(slice=one.name))
            self.asked[one.name] = "held"

    def _drawn(self) -> tuple[str, Held | None]:
        """What to do next: what was done least of all that can be done."""
        can: list[tuple[str, Held | None]] = [("start", None)]
        can += [(kind, one) for one in self.slices for kind in self._kinds(one)]
        least = min(self.counts[kind] for kind, _ in can)
        return self.dice.choice([one for one in can if self.counts[one[0]] == least])

    def _kinds(self, one: Held) -> list[str]:
        """What can be asked of a slice."""
        match self.asked[one.name]:
            case "left":
                return ["download" if one.is_fetched else "join"]
            case "held":
                return ["drain", "leave"]
            case _:
                return ["undrain", "leave"]

    async def _told(
        self, client: ControlClient, kind: str, chosen: Held, process: Process, delay_s: float
    ) -> str:
        """Give the command, and kill the host when its time has come, whatever it has answered until then.

        Returns: what was told: another command where one before it, not acknowledged, has turned out to hold.
        """
        if kind not in self._kinds(chosen):
            kind = self.dice.choice(self._kinds(chosen))
        self.open = chosen.name, _AIMS[kind]
        acknowledged = asyncio.Event()
        command: Command[Any, Any, Any]
        arguments: Any
        ask: Any = client.call
        if kind in ("join", "download"):
            command, arguments = JOIN, JoinArguments(model=chosen.model, layers=chosen.layers)
        elif kind == "undrain":
            command, arguments = UNDRAIN, SliceArguments(slice=chosen.name)
        else:
            command = LEAVE if kind == "leave" else DRAIN
            arguments = DrainArguments(slice=chosen.name, grace_s=5.0)

        def told(_: Any) -> None:
            acknowledged.set()

        async def call() -> None:
            try:
                await ask(command, arguments, told=told)
                acknowledged.set()
            except Refused:
                raise
            except ControlError:
                return

        asking = asyncio.create_task(call())
        await asyncio.wait({asking}, timeout=delay_s)
        await asyncio.to_thread(process.kill)
        await asking
        if acknowledged.is_set():
            self.asked[chosen.name] = _AIMS[kind]
            self.acknowledged += 1
            self.open = None
        return kind

    def _check_disk(self) -> None:
        assert self.store.check() == [], "a chunk that is there is whole"
        assert self.there <= set(self.store.sizes()), "what had come is not lost"
        assert len(list((self.store.root / "new").iterdir())) <= 1
        assert len(list((self.store.root / "leases").iterdir())) <= 8, (
            "those of processes that are gone are removed"
        )
        assert sorted(one.name for one in self.control.parent.iterdir()) == [
            self.control.name,
            f"{self.control.name}.lock",
        ]
        left = [
            one for folder in (self.home, paths.cache_dir()) for one in folder.rglob(".*") if one.is_file()
        ]
        assert len(left) <= 2, f"files that were being written do not pile up: {left}"
