"""A session host whose slices, links and compute thread are plain objects, so that all it says can be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import torch

from crypto.identity import Identity, PeerId
from node.admission import Admission
from node.errors import NodeError
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.manners.allowance import Shares
from node.slices.budget import KVBudget
from node.slices.compute import ComputeThread, Done
from node.slices.errors import ComputeStopped, SliceError
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.slices.together import Step
from node.transport.link import Link
from wire import limits
from wire.messages.base import Message
from wire.messages.forward import Forward, Phase
from wire.messages.session import Delivery, Open, Ready, Refused
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId, Relayed, Sampling, SessionId

P = ParamSpec("P")
R = TypeVar("R")

ME, ALICE, BOB, NEXT = (Identity.from_seed(bytes([n]) * 32).peer_id for n in (1, 2, 3, 4))
MODEL = ModelId(bytes(32))
WHOLE = LayerRange(0, 4)
WIDTH, VOCABULARY = 4, 32
KV_BYTES_PER_POSITION = 10


class InlineCompute:
    """Runs functions at once, when `gate` is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        await asyncio.sleep(0)
        await self.gate.wait()
        return fn(*args, **kwargs)

    def submit(self, fn: Callable[[], Any], done: Done) -> InlineJob:
        job = InlineJob()

        async def work() -> None:
            result, error = None, None
            await asyncio.sleep(0)
            await self.gate.wait()
            try:
                if job.dropped:
                    raise ComputeStopped("dropped")
                result = fn()
            except Exception as raised:  # noqa: BLE001 - as the compute thread does
                error = raised
            done(result, error)

        job.task = asyncio.create_task(work())
        return job


class InlineJob:
    """A job of `InlineCompute`."""

    def __init__(self) -> None:
        self.dropped = False
        self.task: asyncio.Task[None] | None = None

    def drop(self) -> None:
        self.dropped = True


class FakeCache:
    def __init__(self) -> None:
        self.length = 0

    def truncate(self, position: int) -> None:
        self.length = min(self.length, position)


class AddingSlice:
    """Adds one per layer; its logits prefer the token that is the sum of the last position."""

    def __init__(self, layers: LayerRange, *, head: bool) -> None:
        self.spec = SliceSpec(checkpoint=Path(), layers=layers, head=head, dtype="float32")
        self.num_layers, self.width, self.max_positions = 4, WIDTH, 100
        self.vocab_size, self.tokens_until, self.joined, self.weight_bytes = 100, 0, (), 0
        self.broken: type[Exception] | None = None

    def new_cache(self, layers: LayerRange) -> FakeCache:
        return FakeCache()

    def needs_tokens(self, layers: LayerRange) -> bool:
        return layers.start < self.tokens_until

    def kv_bytes(self, layers: LayerRange, positions: int) -> int:
        return positions * KV_BYTES_PER_POSITION

    def forward_all(self, steps: Sequence[Step]) -> list[torch.Tensor | SliceError]:
        results: list[torch.Tensor | SliceError] = []
        for one in steps:
            cache: Any = one.cache
            try:
                results.append(self.forward(one.x, cache=cache, position=one.position, want=one.want))
            except SliceError as error:
                results.append(error)
        return results

    def forward(self, x: torch.Tensor, *, cache: FakeCache, position: int, want: Want) -> torch.Tensor:
        if self.broken is not None:
            raise self.broken("broken on purpose")
        assert cache.length == position
        cache.length += x.shape[1]
        moved = x + len(self.spec.layers)
        if want is Want.HIDDEN:
            return moved
        logits = torch.zeros(VOCABULARY)
        logits[int(moved[0, -1].sum()) % VOCABULARY] = 9.0
        return logits


class FakeLink:
    """A link that notes what it is sent."""

    def __init__(self, peer_id: PeerId) -> None:
        self.peer_id = peer_id
        self.sent: list[Message] = []
        self.crowded = False

    def send(self, message: Message) -> None:
        self.sent.append(message)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


class FakePeers:
    """The links of the host, and where it would dial."""

    def __init__(self) -> None:
        self.links: dict[PeerId, Any] = {}
        self.unreachable: NodeError | None = None

    async def link_to(self, peer_id: PeerId | None, address: Address | Relayed) -> Any:
        await asyncio.sleep(0)
        if self.unreachable is not None:
            raise self.unreachable
        assert peer_id is not None
        return self.links.setdefault(peer_id, FakeLink(peer_id))


class Table:
    """A host with two slices, and links to it."""

    def __init__(self, **options: int) -> None:
        self.compute = InlineCompute()
        self.budget = KVBudget(options.pop("kv_bytes", 10_000))
        self.host = SessionHost(
            me=ME,
            compute=cast(ComputeThread, self.compute),
            budget=self.budget,
            admission=Admission(
                max_sessions=options.pop("max_sessions", limits.MAX_SESSIONS),
                shares=Shares(**{"sessions": limits.MAX_SESSIONS_PER_PEER} | options),
                owner=ME,
            ),
        )
        self.peers = FakePeers()
        self.host.connect(cast(Any, self.peers))
        self.front = AddingSlice(LayerRange(0, 2), head=False)
        self.tail = AddingSlice(LayerRange(2, 4), head=True)
        self.host.slices = tuple(
            HostedSlice(model=MODEL, name="m", dtype=DType.FLOAT32, slice=cast(Slice, one))
            for one in (self.front, self.tail)
        )
        self.alice, self.bob, self.next = (self.link(peer) for peer in (ALICE, BOB, NEXT))

    def link(self, peer: PeerId) -> FakeLink:
        made = FakeLink(peer)
        self.peers.links[peer] = made
        return made

    def say(self, link: FakeLink, message: Message) -> None:
        self.host.on_message(cast(Link, link), message)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the condition is on plain values
                await asyncio.sleep(0)

    async def open_tail(self, link: FakeLink | None = None, number: int = 1, **changes: Any) -> Open:
        opened = opening(number, client=(link or self.alice).peer_id, **changes)
        self.say(link or self.alice, opened)
        await self.until(lambda: bool((link or self.alice).of(Ready) or (link or self.alice).of(Refused)))
        return opened


def opening(number: int, *, client: PeerId = ALICE, **changes: Any) -> Open:
    fields: dict[str, Any] = {
        "session": SessionId(bytes([number]) * 16),
        "model": MODEL,
        "layers": LayerRange(2, 4),
        "dtype": DType.FLOAT32,
        "upstream": client,
        "delivery": Delivery.TOKENS,
        "sampling": Sampling(),
        "positions": 50,
    }
    return Open(**(fields | changes))


def passing(number: int, **changes: Any) -> Open:
    fields: dict[str, Any] = {
        "layers": LayerRange(0, 2),
        "delivery": Delivery.NEXT,
        "sampling": None,
        "next_peer": NEXT,
        "next_address": Address("127.0.0.1", 9),
        "next_session": SessionId(bytes([number + 100]) * 16),
    }
    return opening(number, **(fields | changes))


def step(session: SessionId, number: int, position: int, value: float = 1.0, *, count: int = 1) -> Forward:
    return Forward(
        session=session,
        epoch=0,
        step=number,
        position=position,
        phase=Phase.DECODE if count == 1 else Phase.PREFILL,
        sample=True,
        count=count,
        dtype=DType.FLOAT32,
        shape=(1, count, WIDTH),
        trace=(),
        body=bytearray(torch.full((1, count, WIDTH), value).numpy().tobytes()),
    )
