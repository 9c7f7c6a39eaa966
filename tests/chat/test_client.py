"""The wiring of a client: real links, real slices and real sessions against hosts in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chat.client import Client, connect
from chat.driver import ClientOptions
from chat.errors import ChatError, HostUnreachable, ModelError, NoRoute, UsageError
from chat.events import Finished, Planned, Prefilling
from crypto.identity import Identity
from node import paths
from node.forward import SessionHost
from node.hosting import HostedSlice
from node.slices.budget import KVBudget
from node.slices.compute import ComputeThread
from node.slices.load import load_slice
from node.slices.spec import SliceSpec
from node.store import checkpoint
from node.store.chunks import ChunkStore
from node.transport.pool import LinkPool
from scripts.make_model import write_tiny
from tests.fakes import chat_folder
from tests.fakes.forgetting import forget_contacts
from tests.fakes.giving import describe
from tests.fakes.hub import StandInHub
from tests.fakes.hub_machine import fresh_machine
from wire.contacts import Contact
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama", vocab_size=512)
    return chat_folder.byte_level(made)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))


@asynccontextmanager
async def host(
    folder: Path, layers: str, seed: int, tmp_path: Path, *, kv_bytes: int = 1 << 20
) -> AsyncIterator[Contact]:
    """One host, as the daemon wires it."""
    identity = Identity.from_seed(bytes([seed]) * 32)
    compute = ComputeThread(1)
    serving = SessionHost(me=identity.peer_id, compute=compute, budget=KVBudget(kv_bytes))
    pool = LinkPool(
        identity,
        "main",
        "test",
        on_message=serving.on_message,
        on_closed=serving.on_closed,
        is_busy=serving.is_busy,
    )
    serving.connect(pool)
    compute.start()
    held = LayerRange.parse(layers)
    spec = SliceSpec(checkpoint=folder, layers=held, head=held.end == 5, dtype="float32")
    serving.slices = (
        HostedSlice(
            model=checkpoint.model_id(folder, cache_dir=tmp_path / "cache"),
            name="tiny",
            dtype=DType.FLOAT32,
            slice=await compute.run(load_slice, spec),
        ),
    )
    try:
        yield Contact(peer=identity.peer_id, address=await pool.listen(Address("127.0.0.1", 0)))
    finally:
        await serving.finish(0.0)
        await pool.close()
        await compute.stop()


@asynccontextmanager
async def connected(options: ClientOptions) -> AsyncIterator[Client]:
    client = await connect(options)
    try:
        yield client
    finally:
        await client.close()


def options(folder: Path, *contacts: Contact, **changes: Any) -> ClientOptions:
    fields: dict[str, Any] = {
        "model": str(folder),
        "contacts": contacts,
        "dtype": "float32",
        "max_tokens": 6,
        "context": 128,
        "threads": 1,
    }
    return ClientOptions(**(fields | changes))


async def ask(client: Client, text: str) -> tuple[list[object], Finished]:
    events = [event async for event in client.ask(text)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    return list(events), finished


async def test_answers_the_same_however_the_layers_are_cut_and_turn_two_sends_only_what_is_new(
    folder: Path, tmp_path: Path
) -> None:
    answers: set[tuple[str, ...]] = set()
    async with host(folder, "1:4", 1, tmp_path) as low, host(folder, "2:5", 2, tmp_path) as high:
        for changes in ({}, {"front_layers": 3}, {"private_ends": True}):
            client = await connect(options(folder, low, high, **changes))
            try:
                events, first = await ask(client, "hello there")
                assert isinstance(events[0], Planned)
                more, second = await ask(client, "and now?")
                assert not any(isinstance(event, Planned) for event in more)
                progress = [event for event in more if isinstance(event, Prefilling)]
                assert progress[0].reused_tokens == first.stats.prompt_tokens + first.stats.answer_tokens - 1
                assert second.stats.prompt_tokens == progress[0].reused_tokens + progress[0].total_tokens
                answers.add((first.text, second.text))
                await client.reset()
                _, again = await ask(client, "hello there")
                assert (again.text, again.stats.reused_tokens) == (first.text, 0)
            finally:
                await client.close()
                await client.close()
    assert len(answers) == 1


async def test_a_contact_that_does_not_answer_is_done_without(folder: Path, tmp_path: Path) -> None:
    nobody = Contact(address=Address("127.0.0.1", 1))
    async with host(folder, "1:5", 1, tmp_path) as whole:
        client = await connect(options(folder, nobody, whole))
        try:
            await ask(client, "hello")
        finally:
            await client.close()


async def test_a_gap_is_named(folder: Path, tmp_path: Path) -> None:
    async with host(folder, "3:5", 1, tmp_path) as high:
        client = await connect(options(folder, high))
        try:
            with pytest.raises(NoRoute, match="1:3"):
                await ask(client, "hello")
        finally:
            await client.close()


async def test_a_host_that_is_not_who_it_should_be_is_not_spoken_to(folder: Path, tmp_path: Path) -> None:
    async with host(folder, "1:5", 1, tmp_path) as honest:
        stranger = Contact(peer=Identity.from_seed(b"z" * 32).peer_id, address=honest.address)
        with pytest.raises(HostUnreachable, match="no host could be reached"):
            await connect(options(folder, stranger))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"model": "no-such-model"}, ModelError, "no-such-model"),
        ({"contacts": ()}, HostUnreachable, "--peer"),
        ({"contacts": (Contact(address=Address("127.0.0.1", 1)),)}, HostUnreachable, "127.0.0.1:1"),
        ({"front_layers": 5}, UsageError, "at most 4"),
    ],
)
async def test_what_cannot_be_started_says_why(
    folder: Path, changes: dict[str, object], error: type[ChatError], words: str
) -> None:
    unused: dict[str, object] = {"contacts": (Contact(address=Address("127.0.0.1", 1)),)}
    with pytest.raises(error, match=words):
        await connect(options(folder, **(unused | changes)))


async def test_a_host_without_memory_is_planned_around_and_named_when_there_is_no_other(
    folder: Path, tmp_path: Path
) -> None:
    async with (
        host(folder, "1:5", 1, tmp_path, kv_bytes=100) as full,
        host(folder, "1:5", 2, tmp_path) as roomy,
    ):
        async with connected(options(folder, full, roomy, front_layers=1)) as client:
            events, _ = await ask(client, "hello")
            planned = next(event for event in events if isinstance(event, Planned))
            assert [hop.peer for hop in planned.route.hops] == [roomy.peer]
        # Hosts that answered are remembered; here there is to be no other.
        forget_contacts()
        async with connected(options(folder, full, front_layers=1)) as client:
            with pytest.raises(NoRoute, match="memory"):
                await ask(client, "hello")


@asynccontextmanager
async def hub(folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StandInHub]:
    """A hub that has the model, described in this machine's store."""
    fresh_machine(monkeypatch, home)
    with StandInHub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        name = f"hf:org/name@{served.publish('org/name', folder)}"
        paths.make_private(paths.data_dir())
        (paths.data_dir() / "store").symlink_to(paths.weights_dir())
        paths.make_private(paths.weights_dir())
        describe(paths.data_dir(), checkpoint.build_manifest(folder), name)
        yield served


async def test_a_client_by_a_hubs_name_answers_as_one_of_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    async with host(folder, "1:5", 1, tmp_path) as whole, hub(folder, tmp_path, monkeypatch) as served:
        async with connected(options(folder, whole)) as client:
            _, expected = await ask(client, "hello")
        client = await connect(options(folder, whole, model="hf:org/name"), progress=told.append)
        try:
            assert client.model_name == "name"
            assert (await ask(client, "hello"))[1].text == expected.text
        finally:
            await client.close()
        assert any(words.startswith("fetching name: 0 of 0 MB") for words in told)
        # What was fetched serves without the hub; nothing is left in use by a client that is closed.
        served.stop()
        assert not ChunkStore(paths.weights_dir()).in_use()
        async with connected(options(folder, whole, model="hf:org/name", offline=True)) as client:
            assert (await ask(client, "hello"))[1].text == expected.text
        with pytest.raises(ModelError, match="start once without --offline"):
            await connect(options(folder, whole, model="hf:org/name", offline=True, front_layers=2))


async def test_a_client_without_room_or_a_manifest_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with host(folder, "1:5", 1, tmp_path) as whole, hub(folder, tmp_path, monkeypatch) as served:
        with pytest.raises(ModelError, match="raise --disk"):
            await connect(options(folder, whole, model="hf:org/name", disk=20_000))
        served.publish("org/other", folder)
        with pytest.raises(ModelError, match="run `lamella-node publish hf:org/other@"):
            await connect(options(folder, whole, model="hf:org/other"))
        with pytest.raises(ModelError, match="no peer gave its manifest"):
            await connect(options(folder, whole, model=str(ModelId(bytes(32)))))
