"""The command line of `scripts/swarm.py` with stand-ins for hosts and client, to be run as a program.

    python -m tests.fakes.stand_in_swarm FOLDER TRACES BEHAVIOURS CLIENT COMMAND...

BEHAVIOURS: one of `stand_in_host` for all hosts, or one per host between commas. CLIENT: `answers`; `hangs` (after a
first word); `stuck` (never connects); `fails` (a `ChatError`); `visits` (connects to the first host, then hangs);
`visits_and_fails`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chat.driver import ClientOptions, Driver
from chat.errors import ChainBroken
from chat.events import Event, Finished, FinishReason, HopStats, Planned, Prefilling, Stats, TextDelta
from chat.route import Hop, Route
from crypto.identity import PeerId
from scripts import swarm
from scripts.swarm_hosts.demo import Client
from scripts.swarm_hosts.folder import Host
from scripts.swarm_hosts.plan import SwarmPlan
from wire.tensors import DType
from wire.types import LayerRange, ModelId

MODEL = ModelId(bytes(32))


@dataclass(frozen=True)
class StandInClient(Client):
    """A client that needs no library and no host."""

    behaviour: str

    def preload(self, model: str, threads: int) -> None:
        """Nothing is needed."""

    async def connect(self, options: ClientOptions, progress: Callable[[str], None]) -> Driver:
        """Connect, unless stuck."""
        progress("reaching hosts")
        if self.behaviour == "stuck":
            await asyncio.Event().wait()
        return StandInDriver(options, self.behaviour)


@dataclass(frozen=True)
class StandInDriver:
    """A conversation without a model."""

    options: ClientOptions
    behaviour: str
    model_name: str = "stand-in"
    model_id: ModelId = MODEL

    async def ask(self, text: str) -> AsyncIterator[Event]:
        """Answer as the behaviour says."""
        route = self._route()
        yield Planned(route=route)
        yield Prefilling(done_tokens=3, total_tokens=3, reused_tokens=0)
        if self.behaviour.startswith("visits"):
            address = self.options.contacts[0].address
            _, writer = await asyncio.open_connection(address.ip, address.port)
            writer.close()
        if self.behaviour.endswith("fails"):
            raise ChainBroken("host ended the session; ask again", code=None)
        yield TextDelta(text="17 squared ", token_ids=(1, 2))
        if self.behaviour != "answers":
            await asyncio.Event().wait()
        yield TextDelta(text="is\x1b[2J 289.", token_ids=(3,))
        yield Finished(reason=FinishReason.STOP, text="17 squared is 289.", stats=_stats(route))

    async def reset(self) -> None:
        """Nothing is kept."""

    async def close(self) -> None:
        """Nothing is open."""

    def _route(self) -> Route:
        ranges = (LayerRange(1, 8), LayerRange(8, 16), LayerRange(16, 24))
        (known,) = self.options.contacts
        hops = tuple(
            Hop(
                # As the stand-in hosts call themselves; but one of them was found and not told of.
                peer=PeerId(hashlib.sha256(str(layers).encode()).digest()),
                address=known.address,
                layers=layers,
                dtype=DType.BFLOAT16,
                tail=layers.end == 24,
                link_s=0.001,
                stage_s=0.002,
            )
            for layers in ranges
        )
        return Route(model=self.model_id, front=LayerRange(0, 1), hops=hops, private_ends=False)


def _stats(route: Route) -> Stats:
    stages = [(None, route.front), *((hop.peer, hop.layers) for hop in route.hops)]
    return Stats(
        prompt_tokens=3,
        reused_tokens=0,
        answer_tokens=9,
        first_token_s=0.25,
        decode_tokens_per_s=33.3,
        links_ms=1.5,
        hops=tuple(
            HopStats(peer=peer, layers=layers, compute_ms=2.0, queue_ms=0.5) for peer, layers in stages
        ),
    )


def main() -> int:
    """Run one command."""
    folder, traces, behaviours, client, *arguments = sys.argv[1:]
    each = behaviours.split(",")

    def command(plan: SwarmPlan, host: Host) -> Sequence[str]:
        program = str(Path(__file__).with_name("stand_in_host.py"))
        behaviour = each[(host.number - 1) % len(each)]
        if behaviour == "missing":
            return [str(Path(traces) / "no-such-program")]
        return [sys.executable, program, behaviour, traces, plan.address(host.number), str(host.layers)]

    return swarm.main(
        arguments, swarm.Parts(folder=Path(folder), command=command, client=StandInClient(client))
    )


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)
