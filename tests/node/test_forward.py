"""A host serves many sessions, keeps them apart, and gives back what they held, however they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import pytest
import torch

from crypto.identity import Identity, PeerId
from node.errors import NodeError
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.slices.budget import KVBudget
from node.slices.compute import ComputeThread
from node.slices.errors import SliceError
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.transport.link import Link
from wire import limits
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.forward import Credit, Forward, Output, Phase, Tokens
from wire.messages.hosting import Describe, Hosting
from wire.messages.session import Abort, Close, Delivery, Open, Ready, Refused, Truncate, Truncated
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId, Sampling, SessionId

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


class FakeCache:
    def __init__(self) -> None:
        self.length = 0

    def truncate(self, position: int) -> None:
        self.length = min(self.length, position)


class AddingSlice:
    """Adds one per layer; its logits prefer the token that is the sum of the last position."""

    def __init__(self, layers: LayerRange, *, head: bool) -> None:
        self.spec = SliceSpec(checkpoint=Path(), layers=layers, head=head, dtype="float32")
        self.num_layers, self.hidden_size, self.max_positions = 4, WIDTH, 100
        self.broken: type[Exception] | None = None

    def new_cache(self, layers: LayerRange) -> FakeCache:
        return FakeCache()

    def kv_bytes(self, layers: LayerRange, positions: int) -> int:
        return positions * KV_BYTES_PER_POSITION

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

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


class FakePeers:
    """The links of the host, and where it would dial."""

    def __init__(self) -> None:
        self.links: dict[PeerId, Any] = {}
        self.unreachable: NodeError | None = None

    async def link_to(self, peer_id: PeerId | None, address: Address) -> Any:
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
            me=ME, compute=cast(ComputeThread, self.compute), budget=self.budget, **cast(Any, options)
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
    return opening(
        number,
        layers=LayerRange(0, 2),
        delivery=Delivery.NEXT,
        sampling=None,
        next_peer=NEXT,
        next_address=Address("127.0.0.1", 9),
        next_session=SessionId(bytes([number + 100]) * 16),
        **changes,
    )


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


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    made = Table()
    yield made
    await made.host.finish(0.0)


async def test_says_what_it_serves(table: Table) -> None:
    table.say(table.alice, Describe())
    (hosting,) = table.alice.of(Hosting)
    assert [(offer.layers, offer.head) for offer in hosting.offers] == [
        (LayerRange(0, 2), False),
        (LayerRange(2, 4), True),
    ]
    assert not hosting.draining


async def test_the_tail_answers_each_step_with_a_token(table: Table) -> None:
    opened = await table.open_tail()
    for number in range(3):
        table.say(table.alice, step(opened.session, number, number, float(number)))
    await table.until(lambda: len(table.alice.of(Tokens)) == 3)
    assert [message.ids for message in table.alice.of(Tokens)] == [
        ((number + 2) * WIDTH,) for number in range(3)
    ]


async def test_a_middle_hop_pushes_to_the_next_and_grants_credit_to_its_upstream(table: Table) -> None:
    opened = passing(1)
    table.say(table.alice, opened)
    await table.until(lambda: bool(table.alice.of(Ready)))
    for number in range(limits.SESSION_WINDOW_STEPS):
        table.say(table.alice, step(opened.session, number, number))
    await table.until(lambda: len(table.next.of(Forward)) == limits.SESSION_WINDOW_STEPS)
    assert {message.session for message in table.next.of(Forward)} == {opened.next_session}
    assert [message.step for message in table.alice.of(Credit)] == [3, 7]
    assert table.alice.of(Tokens) == []


async def test_one_peer_can_be_two_hops_of_a_route(table: Table) -> None:
    tail = opening(2, upstream=ME)
    front = passing(1, client=ALICE)
    front = Open(
        **{name: getattr(front, name) for name in front.declaration.fields}
        | {"next_peer": ME, "next_session": tail.session}
    )
    table.say(table.alice, tail)
    table.say(table.alice, front)
    await table.until(lambda: len(table.alice.of(Ready)) == 2)
    for number in range(limits.SESSION_WINDOW_STEPS * 2):
        table.say(table.alice, step(front.session, number, number, 1.0))
        await table.until(lambda number=number: len(table.alice.of(Tokens)) == number + 1)  # type: ignore[misc]
    assert {message.ids for message in table.alice.of(Tokens)} == {((1 + 4) * WIDTH,)}


async def test_sessions_of_different_clients_do_not_touch(table: Table) -> None:
    alices = await table.open_tail(table.alice, 1)
    bobs = await table.open_tail(table.bob, 2)
    table.say(table.alice, step(alices.session, 0, 0, 1.0))
    table.say(table.bob, step(bobs.session, 0, 0, 2.0))
    table.say(table.bob, step(alices.session, 1, 1, 3.0))
    table.say(table.bob, Close(session=alices.session))
    await table.until(lambda: bool(table.alice.of(Tokens) and table.bob.of(Tokens)))
    table.say(table.alice, step(alices.session, 1, 1, 4.0))
    await table.until(lambda: len(table.alice.of(Tokens)) == 2)
    assert [one.ids[0] for one in table.alice.of(Tokens)] == [3 * WIDTH, 6 * WIDTH % VOCABULARY]
    assert [one.code for one in table.bob.of(Abort)] == [Code.UNKNOWN_SESSION]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"model": ModelId(b"x" * 32)}, Code.NOT_HOSTING),
        ({"layers": LayerRange(1, 4)}, Code.NOT_HOSTING),
        ({"dtype": DType.BFLOAT16}, Code.NUMERICS),
        ({"positions": 101}, Code.CONTEXT_TOO_LONG),
        ({"positions": 0}, Code.BAD_MESSAGE),
        ({"sampling": None}, Code.BAD_MESSAGE),
        ({"layers": LayerRange(0, 2)}, Code.NOT_HOSTING),
    ],
)
async def test_refuses_with_a_reason(table: Table, changes: dict[str, Any], code: Code) -> None:
    await table.open_tail(**changes)
    assert [one.code for one in table.alice.of(Refused)] == [code]
    assert table.host.sessions == 0 and table.budget.used == 0


async def test_refuses_a_session_its_memory_cannot_hold_and_says_when_to_ask_again() -> None:
    table = Table(kv_bytes=600)
    await table.open_tail(number=1)
    await table.open_tail(table.bob, 2)
    (refused,) = table.bob.of(Refused)
    assert refused.code == Code.NO_MEMORY and refused.retry_after_ms > 0
    assert table.budget.used == 500
    table.say(table.alice, Close(session=opening(1).session))
    await table.until(lambda: table.budget.used == 0)
    table.say(table.bob, opening(3, client=BOB))
    await table.until(lambda: bool(table.bob.of(Ready)))
    await table.host.finish(0.0)


async def test_refuses_more_sessions_than_it_may_hold() -> None:
    table = Table(max_sessions=2, max_sessions_per_peer=1)
    await table.open_tail(number=1)
    table.say(table.alice, opening(2))
    table.say(table.bob, opening(3, client=BOB))
    await table.until(lambda: bool(table.bob.of(Ready)))
    carol = table.link(NEXT)
    table.say(carol, opening(4, client=NEXT))
    assert [one.code for one in table.alice.of(Refused)] == [Code.TOO_MANY_SESSIONS]
    assert [one.code for one in carol.of(Refused)] == [Code.TOO_MANY_SESSIONS]
    await table.host.finish(0.0)


async def test_refuses_a_session_id_that_is_in_use(table: Table) -> None:
    await table.open_tail(number=1)
    table.say(table.bob, opening(1, client=BOB))
    assert [one.code for one in table.bob.of(Refused)] == [Code.DUPLICATE_SESSION]
    assert table.host.sessions == 1


async def test_refuses_when_the_next_hop_cannot_be_reached(table: Table) -> None:
    table.peers.unreachable = NodeError("nobody answers there", "try later")
    table.say(table.alice, passing(1))
    await table.until(lambda: bool(table.alice.of(Refused)))
    assert table.alice.of(Refused)[0].code == Code.NEXT_UNREACHABLE
    assert table.host.sessions == 0 and table.budget.used == 0


async def test_a_client_that_vanishes_frees_its_sessions_and_no_others(table: Table) -> None:
    await table.open_tail(table.alice, 1)
    await table.open_tail(table.bob, 2)
    table.host.on_closed(cast(Link, table.alice), Code.CONNECTION_LOST, "reset")
    await table.until(lambda: table.host.sessions == 1 and table.budget.used == 500)
    table.say(table.bob, step(opening(2).session, 0, 0))
    await table.until(lambda: bool(table.bob.of(Tokens)))


async def test_a_lost_next_hop_ends_the_session_with_a_reason(table: Table) -> None:
    table.say(table.alice, passing(1))
    await table.until(lambda: bool(table.alice.of(Ready)))
    table.host.on_closed(cast(Link, table.next), Code.TIMEOUT, "silent")
    assert [one.code for one in table.alice.of(Abort)] == [Code.HOP_LOST]
    await table.until(lambda: table.budget.used == 0)


async def test_an_abort_of_the_next_hop_ends_the_session(table: Table) -> None:
    opened = passing(1)
    table.say(table.alice, opened)
    await table.until(lambda: bool(table.alice.of(Ready)))
    assert opened.next_session is not None
    table.say(table.bob, Abort(session=opened.next_session, code=Code.UNKNOWN_SESSION, detail=""))
    assert table.host.sessions == 1
    table.say(table.next, Abort(session=opened.next_session, code=Code.UNKNOWN_SESSION, detail=""))
    assert [one.code for one in table.alice.of(Abort)] == [Code.HOP_LOST]
    await table.until(lambda: table.host.sessions == 0)


@pytest.mark.parametrize("failure", [SliceError, RuntimeError, MemoryError, ZeroDivisionError])
async def test_a_step_that_cannot_be_computed_ends_its_session_only(
    table: Table, failure: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    opened = await table.open_tail(table.alice, 1)
    bobs = await table.open_tail(table.bob, 2)
    table.tail.broken = failure
    table.say(table.alice, step(opened.session, 0, 0))
    await table.until(lambda: bool(table.alice.of(Abort)))
    assert table.alice.of(Abort)[0].code == Code.COMPUTE_FAILED
    table.tail.broken = None
    table.say(table.bob, step(bobs.session, 0, 0))
    await table.until(lambda: bool(table.bob.of(Tokens)))
    assert table.host.sessions == 1 and table.budget.used == 500


async def test_hidden_states_that_are_not_finite_end_the_session(table: Table) -> None:
    opened = await table.open_tail()
    table.say(table.alice, step(opened.session, 0, 0, float("nan")))
    await table.until(lambda: bool(table.alice.of(Abort)))
    assert table.alice.of(Abort)[0].code == Code.NOT_FINITE


async def test_a_cut_drops_steps_that_wait_and_is_confirmed(table: Table) -> None:
    opened = await table.open_tail()
    table.say(table.alice, step(opened.session, 0, 0))
    await table.until(lambda: len(table.alice.of(Tokens)) == 1)
    table.compute.gate.clear()
    for number in range(1, 4):
        table.say(table.alice, step(opened.session, number, number))
    table.say(table.alice, Truncate(session=opened.session, epoch=1, position=1, next_step=4))
    table.compute.gate.set()
    await table.until(lambda: bool(table.alice.of(Truncated)))
    assert table.alice.of(Truncated)[0].position == 1
    assert len(table.alice.of(Tokens)) == 1


async def test_finish_lets_an_answer_end_and_refuses_new_sessions(table: Table) -> None:
    opened = await table.open_tail()
    table.compute.gate.clear()
    table.say(table.alice, step(opened.session, 0, 0))
    finishing = asyncio.create_task(table.host.finish(5.0))
    await asyncio.sleep(0)
    table.say(table.bob, opening(9, client=BOB))
    assert [one.code for one in table.bob.of(Refused)] == [Code.DRAINING]
    table.compute.gate.set()
    assert await finishing == 0
    assert table.alice.of(Tokens) and [one.code for one in table.alice.of(Abort)] == [Code.SHUTTING_DOWN]
    assert table.host.sessions == 0 and table.budget.used == 0


async def test_finish_says_how_many_answers_it_cut_off(table: Table) -> None:
    opened = await table.open_tail()
    table.compute.gate.clear()
    table.say(table.alice, step(opened.session, 0, 0))
    assert await table.host.finish(0.0) == 1
    table.compute.gate.set()
    assert table.alice.of(Tokens) == []


async def test_idle_sessions_end_and_links_in_use_are_known() -> None:
    now = 0.0
    table = Table()
    table.host = SessionHost(
        me=ME, compute=cast(ComputeThread, table.compute), budget=table.budget, clock=lambda: now
    )
    table.host.connect(cast(Any, table.peers))
    table.host.slices = (
        HostedSlice(model=MODEL, name="m", dtype=DType.FLOAT32, slice=cast(Slice, table.tail)),
    )
    await table.open_tail()
    assert table.host.is_busy(cast(Link, table.alice)) and not table.host.is_busy(cast(Link, table.bob))
    now = limits.SESSION_IDLE_TIMEOUT_S
    table.host.on_time()
    assert [one.code for one in table.alice.of(Abort)] == [Code.SESSION_IDLE]
    await table.until(lambda: table.budget.used == 0)
    assert not table.host.is_busy(cast(Link, table.alice))


async def test_private_ends_get_hidden_states_and_no_token(table: Table) -> None:
    opened = await table.open_tail(delivery=Delivery.HIDDEN, sampling=None)
    table.say(table.alice, step(opened.session, 0, 0, 1.0, count=3))
    await table.until(lambda: bool(table.alice.of(Output)))
    (output,) = table.alice.of(Output)
    assert output.position == 2
    assert bytes(output.body) == torch.full((WIDTH,), 3.0).numpy().tobytes()
    assert table.alice.of(Tokens) == []
