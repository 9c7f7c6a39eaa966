"""A host is drained while it answers: nothing is lost within the grace, and only the slice that was named is ended."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chat.client import Client
from chat.errors import ChainBroken, ChatError
from chat.events import TextDelta
from crypto.identity import Identity
from node.control.arguments import DrainArguments, JoinArguments, NoArguments, SliceArguments
from node.control.client import ControlClient, connected
from node.control.commands import DRAIN, JOIN, LEAVE, SESSIONS, STATUS, UNDRAIN
from node.control.results import Drained, DrainProgress, SliceState
from node.finding import Finder
from scripts.make_model import write_tiny
from tests.end_to_end.conftest import Reference
from tests.fakes import asking, chat_folder, hosts
from tests.fakes.attacker import Attacker
from tests.fakes.hosts import Host, HostOptions
from wire.codes import Code
from wire.messages.hosting import Describe, Hosting, Offer
from wire.messages.session import Delivery, Open, Refused
from wire.types import LayerRange, ModelId, SessionId

pytestmark = pytest.mark.timeout(300)

NOTHING = NoArguments()
LONG = 150
AMPLE_S = 120.0
SOON_S = 20.0


@dataclass(frozen=True)
class Chain:
    """A host of two models, and the next hop of one of them."""

    model: Path
    other: Path
    first: Host
    next: Host
    controls: tuple[Path, Path]

    @property
    def name(self) -> str:
        """What the first host calls its slice of the first model."""
        return f"{self.model}@1:3"


@pytest.fixture(scope="module")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of another family, that one host serves all of."""
    folder = write_tiny(tmp_path_factory.mktemp("models") / "tiny-qwen2", "qwen2", vocab_size=512)
    return chat_folder.byte_level(folder)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path, as Unix sockets need it."""
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def chain(
    own_home: Path, tiny_model: Path, other_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chain]:
    """Both hosts, ready, for all tests of this file."""
    home = tmp_path_factory.mktemp("drained")
    started: list[Host] = []
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        controls = Path(folder) / "first.sock", Path(folder) / "next.sock"
        try:
            started.append(hosts.start(home / "next", tiny_model, "3:5", HostOptions(control=controls[1])))
            started[0].wait_ready()
            more = ("--model", str(other_model), "--layers", "1:5", "--peer", str(started[0].address))
            started.append(
                hosts.start(home / "first", tiny_model, "1:3", HostOptions(control=controls[0], more=more))
            )
            started[1].wait_ready()
            yield Chain(tiny_model, other_model, started[1], started[0], controls)
        finally:
            for one in started:
                one.end()


@pytest.fixture
async def served(chain: Chain) -> None:
    """What an earlier test left drained serves."""
    async with connected(chain.controls[0]) as control:
        await control.call(UNDRAIN, SliceArguments())


@dataclass
class Answer:
    """An answer that is being given, and what came of it so far."""

    client: Client
    ids: Sequence[int]
    count: int
    drawn: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begun = asyncio.Event()
        self.task = asyncio.create_task(self._draw())

    async def _draw(self) -> None:
        options = asking.answer_options(self.count)
        async for event in self.client.session.answer(self.ids, asking.NoText(), options):
            if isinstance(event, TextDelta):
                self.drawn += event.token_ids
                self.begun.set()


@asynccontextmanager
async def clients(
    chain: Chain, home: Path, count: int, model: Path | None = None
) -> AsyncIterator[list[Client]]:
    """Clients of their own identities that know both hosts."""
    contacts = [chain.first.contact, chain.next.contact]
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                asking.client(
                    model or chain.model, contacts, home / f"client-{number}", front_layers=1, dht=False
                )
            )
            for number in range(count)
        ]


async def begun(*answers: Answer) -> None:
    """Wait until each of them is in the middle."""
    async with asyncio.timeout(SOON_S):
        for one in answers:
            await one.begun.wait()


async def draining(control: ControlClient, name: str, grace_s: float) -> asyncio.Task[Drained]:
    """Drain a slice; returns once that is acknowledged."""
    acknowledged = asyncio.Event()

    def told(_: DrainProgress) -> None:
        acknowledged.set()

    task = asyncio.create_task(control.call(DRAIN, DrainArguments(slice=name, grace_s=grace_s), told=told))
    async with asyncio.timeout(SOON_S):
        await acknowledged.wait()
    return task


async def offers(host: Host) -> tuple[Offer, ...]:
    """What a host says to a peer that it serves."""
    asker = await Attacker.linked(host.address)
    try:
        await asker.send(Describe())
        return (await asker.receive(Hosting)).offers
    finally:
        asker.close()


async def refusal(host: Host, of: Offer) -> int:
    """With which code a host refuses a session on a slice, of a client that does not ask first what is served."""
    asker = await Attacker.linked(host.address)
    try:
        await asker.send(
            Open(
                session=SessionId(secrets.token_bytes(16)),
                model=of.model,
                layers=of.layers,
                dtype=of.dtype,
                upstream=asker.peer_id,
                delivery=Delivery.HIDDEN,
                sampling=None,
                positions=8,
            )
        )
        return (await asker.receive(Refused)).code
    finally:
        asker.close()


async def none_open(*controls: Path) -> None:
    """Wait until hosts hold no session."""
    async with asyncio.timeout(SOON_S):
        for path in controls:
            async with connected(path) as control:
                while (await control.call(SESSIONS, NOTHING)).sessions:  # noqa: ASYNC110 - a host tells nobody of it
                    await asyncio.sleep(0.02)


@asynccontextmanager
async def finder(chain: Chain) -> AsyncIterator[Finder]:
    """Somebody who searches the DHT."""
    made = Finder(Identity.from_seed(secrets.token_bytes(32)), "main", cache=None, serves=False)
    try:
        await made.start(contacts=[chain.next.address])
        yield made
    finally:
        await made.close()


async def recorded(finder: Finder, model: ModelId, host: Host, wanted: bool) -> None:
    """Wait until the DHT tells of a host, or does not."""
    async with asyncio.timeout(SOON_S):
        while any(one.peer == host.peer_id for one in await finder.slices(model)) is not wanted:  # noqa: ASYNC110 - asked anew
            await asyncio.sleep(0.05)


async def test_a_drained_slice_loses_no_token_of_its_answers_and_is_offered_no_more(
    served: None, chain: Chain, tmp_path: Path, whole_model_tokens: Reference
) -> None:
    prompts = [list(b"one"), list(b"another"), list(b"the third")]
    async with finder(chain) as search, connected(chain.controls[0]) as control:
        offer = next(one for one in await offers(chain.first) if one.layers == LayerRange(1, 3))
        await recorded(search, offer.model, chain.first, True)

        async with clients(chain, tmp_path, 3) as three:
            answers = [Answer(client, ids, LONG) for client, ids in zip(three, prompts, strict=True)]
            await begun(*answers)
            drained = await draining(control, chain.name, AMPLE_S)
            assert [one.layers for one in await offers(chain.first)] == [LayerRange(1, 5)], (
                "the other model's"
            )
            assert await refusal(chain.first, offer) == Code.DRAINING
            await recorded(search, offer.model, chain.first, False)
            assert all(len(one.drawn) < LONG for one in answers), "all of that in the middle of the answers"
            async with asyncio.timeout(AMPLE_S):
                await asyncio.gather(*(one.task for one in answers))
            for one in answers:
                assert one.drawn == whole_model_tokens(chain.model, one.ids, LONG)
        ended = await drained
        assert (ended.slices, ended.finished, ended.cut_off) == ((chain.name,), 3, 0)
        await none_open(*chain.controls)
        assert {one.name: one.state for one in (await control.call(STATUS, NOTHING)).slices} == {
            chain.name: SliceState.STOPPED,
            f"{chain.other}@1:5": SliceState.SERVING,
        }

        async with clients(chain, tmp_path, 1) as (client,):
            with pytest.raises(ChatError):
                await asking.tokens(client.session, prompts[0], 4)
            await control.call(UNDRAIN, SliceArguments(slice=chain.name))
            await recorded(search, offer.model, chain.first, True)
            assert {one.layers for one in await offers(chain.first)} == {LayerRange(1, 3), LayerRange(1, 5)}
            assert await asking.tokens(client.session, prompts[0], 8) == whole_model_tokens(
                chain.model, prompts[0], 8
            )


async def test_a_grace_that_is_too_short_ends_that_slice_alone_with_a_true_beginning_of_its_answers(
    served: None, chain: Chain, tmp_path: Path, whole_model_tokens: Reference
) -> None:
    ids = list(b"cut off")
    async with (
        clients(chain, tmp_path / "a", 2) as cut,
        clients(chain, tmp_path / "b", 1, chain.other) as (goes_on,),
        connected(chain.controls[0]) as control,
    ):
        ended = [Answer(client, ids, LONG) for client in cut]
        whole = Answer(goes_on, ids, LONG)
        await begun(*ended, whole)
        drained = await (await draining(control, chain.name, 0.05))
        assert (drained.finished, drained.cut_off) == (0, 2)
        expected = whole_model_tokens(chain.model, ids, LONG)
        for one in ended:
            with pytest.raises(ChainBroken, match="leaves these layers") as broken:
                async with asyncio.timeout(SOON_S):
                    await one.task
            assert broken.value.code is Code.DRAINING
            assert 0 < len(one.drawn) < LONG
            assert one.drawn == expected[: len(one.drawn)]
        await none_open(chain.controls[1])
        (left,) = (await control.call(SESSIONS, NOTHING)).sessions
        assert left.slice == f"{chain.other}@1:5"
        async with asyncio.timeout(AMPLE_S):
            await whole.task
        assert whole.drawn == whole_model_tokens(chain.other, ids, LONG)
        await control.call(UNDRAIN, SliceArguments(slice=chain.name))


async def test_a_slice_that_was_left_is_joined_again(
    served: None, chain: Chain, tmp_path: Path, whole_model_tokens: Reference
) -> None:
    async with connected(chain.controls[0]) as control:
        async with clients(chain, tmp_path, 1) as (client,):
            answer = Answer(client, list(b"left"), LONG)
            await begun(answer)
            arguments = DrainArguments(slice=chain.name, grace_s=AMPLE_S)
            leaving = asyncio.create_task(control.call(LEAVE, arguments))
            await answer.task
            assert answer.drawn == whole_model_tokens(chain.model, answer.ids, LONG)
        assert (await leaving).cut_off == 0
        assert [one.name for one in (await control.call(STATUS, NOTHING)).slices] == [f"{chain.other}@1:5"]
        await none_open(*chain.controls)
        await control.call(JOIN, JoinArguments(model=str(chain.model), layers=LayerRange(1, 3)))
        async with clients(chain, tmp_path, 1) as (client,):
            assert await asking.tokens(client.session, answer.ids, 8) == whole_model_tokens(
                chain.model, answer.ids, 8
            )


@asynccontextmanager
async def lone(model: Path, home: Path, control: Path, layers: str, grace_s: float) -> AsyncIterator[Host]:
    """A host of its own, ready, and ended."""
    made = hosts.start(home / "identity", model, layers, HostOptions(control=control, grace_s=grace_s))
    try:
        await asyncio.to_thread(made.wait_ready)
        yield made
    finally:
        await asyncio.to_thread(made.end)


async def asked(control: Path) -> dict[str, SliceState]:
    """What each range of layers does."""
    async with connected(control) as client:
        return {str(one.layers): one.state for one in (await client.call(STATUS, NOTHING)).slices}


async def test_a_stop_lets_answers_end_in_its_own_budget_and_is_no_leaving(
    tiny_model: Path, tmp_path: Path, short: Path, whole_model_tokens: Reference
) -> None:
    socket = short / "control.sock"
    async with lone(tiny_model, tmp_path, socket, "1:5", AMPLE_S) as host:
        async with connected(socket) as control:
            for layers in (LayerRange(1, 3), LayerRange(3, 5)):
                await control.call(JOIN, JoinArguments(model=str(tiny_model), layers=layers))
            await control.call(DRAIN, DrainArguments(slice=f"{tiny_model}@3:5", grace_s=0.0))
        async with asking.client(
            tiny_model, [host.contact], tmp_path / "me", front_layers=1, dht=False
        ) as client:
            answer = Answer(client, list(b"stopped"), LONG)
            await begun(answer)
            host.send_signal(signal.SIGTERM)
            await answer.task
        assert answer.drawn == whole_model_tokens(tiny_model, answer.ids, LONG)
        assert await asyncio.to_thread(host.wait) == 0
    async with lone(tiny_model, tmp_path, socket, "1:5", 0.2) as host:
        kept = {"1:5": SliceState.SERVING, "1:3": SliceState.SERVING, "3:5": SliceState.STOPPED}
        assert await asked(socket) == kept
        # The budget of a stop ends what a drain had given longer; the second signal, what the stop had.
        async with (
            connected(socket) as control,
            asking.client(tiny_model, [host.contact], tmp_path / "me", front_layers=1, dht=False) as client,
        ):
            answer = Answer(client, list(b"stopped"), LONG)
            await begun(answer)
            drained = await draining(control, f"{tiny_model}@1:5", 3600.0)
            host.send_signal(signal.SIGTERM)
            with pytest.raises(ChainBroken) as broken:
                await answer.task
            assert broken.value.code is Code.SHUTTING_DOWN
            assert await asyncio.to_thread(host.wait) == 0
            drained.cancel()
            await asyncio.wait({drained})
    async with lone(tiny_model, tmp_path, socket, "1:5", 3600.0) as host:
        assert await asked(socket) == {**kept, "1:5": SliceState.STOPPED}
        async with connected(socket) as control:
            await control.call(UNDRAIN, SliceArguments(slice=f"{tiny_model}@1:5"))
        async with asking.client(
            tiny_model, [host.contact], tmp_path / "me", front_layers=1, dht=False
        ) as client:
            answer = Answer(client, list(b"stopped"), LONG)
            await begun(answer)
            host.send_signal(signal.SIGTERM)
            await asyncio.to_thread(host.wait_for, "stopping")
            host.send_signal(signal.SIGTERM)
            with pytest.raises(ChainBroken) as broken:
                await answer.task
            assert broken.value.code is Code.SHUTTING_DOWN
            assert await asyncio.to_thread(host.wait) == 0
    async with lone(tiny_model, tmp_path, socket, "1:5", 0.2):
        assert await asked(socket) == kept
