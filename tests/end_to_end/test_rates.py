"""What a host sends is measured by those it sends to: with an upload rate, links and weights together keep to it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.control.arguments import NoArguments
from node.control.client import connected
from node.control.commands import METRICS, RELOAD, STATUS
from node.manners.pacing import BURST_S
from node.store.catalogue import chunks_of
from node.store.checkpoint import build_manifest
from node.store.errors import StoreError
from node.store.peer_source import PeerSource, client_session
from scripts.make_model import tiny_fields, write_model
from tests.end_to_end.conftest import Reference
from tests.fakes import asking, chat_folder, hosts
from tests.fakes.deadline import until
from tests.fakes.hosts import Host, HostOptions
from tests.fakes.proxy import RecordingProxy, recording
from tests.node.test_finding import port
from wire.contacts import Contact
from wire.types import Address

pytestmark = pytest.mark.timeout(120)

LAYERS = 12
RATE = 256 * 1024
LATER_RATE = 64 * 1024
READERS = 6
PROMPT = [3, 17, 40, 99, 120, 5, 64, 200, 31, 7, 12]
NOTHING = NoArguments()
SLACK_BYTES = 64 * 1024
"""A turn of each reader and link that was begun, and what is written to be counted a moment later."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of 12 layers with a tokenizer."""
    import torch

    fields = {**tiny_fields("llama"), "vocab_size": 512, "num_hidden_layers": LAYERS}
    folder = write_model(tmp_path_factory.mktemp("models") / "deep", "llama", fields, dtype=torch.float32)
    return chat_folder.byte_level(folder)


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder with a short path, as the control socket needs it."""
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        yield Path(folder)


@dataclass
class Seen:
    """What came from a host, as those between it and its peers count it."""

    links: RecordingProxy
    weights: RecordingProxy
    samples: list[tuple[float, int]] = field(default_factory=list)
    """A time, and the bytes until then."""

    @property
    def of_links(self) -> int:
        """Bytes the host sent over links."""
        return sum(map(len, self.links.streams[1::2]))

    @property
    def of_weights(self) -> int:
        """Bytes the host sent in answers to those who fetch weights."""
        return sum(map(len, self.weights.streams[1::2]))

    def look(self) -> int:
        """Take a sample; returns the bytes."""
        total = self.of_links + self.of_weights
        self.samples.append((time.monotonic(), total))
        return total

    def above(self, rate: float, since: int = 0) -> float:
        """By how many bytes the most excessive sample is above what the rate allows, its burst included."""
        began, before = self.samples[since]
        return max(total - before - rate * (BURST_S + at - began) for at, total in self.samples[since:])


@asynccontextmanager
async def serving(model: Path, home: Path) -> AsyncIterator[tuple[Host, Seen]]:
    """A host with a file, whose links and weights pass through somebody who counts."""
    share = Address("127.0.0.1", port())
    (home / "node.toml").write_text(f'upload-rate = "{RATE}"\n')
    more = ("--config", str(home / "node.toml"), "--share", str(share), "--no-dht", "--no-lan", "--no-map")
    options = HostOptions(control=home / "control.sock", more=more)
    host = hosts.start(home / "identity", model, f"1:{LAYERS}", options)
    try:
        await asyncio.to_thread(host.wait_ready)
        async with recording(host.address) as links, recording(share) as weights:
            yield host, Seen(links, weights)
    finally:
        await asyncio.to_thread(host.end)


@asynccontextmanager
async def readers(model: Path, host: Host, seen: Seen) -> AsyncIterator[None]:
    """Several peers that fetch all of a model's chunks, again and again."""
    manifest = await asyncio.to_thread(build_manifest, model)

    async def read() -> None:
        async with client_session() as session:
            source = PeerSource(session, seen.weights.address, host.peer_id)
            while True:
                # A host of a folder gives nothing until it has read it; of a low rate not all at once.
                with suppress(StoreError):
                    await source.learn(manifest)
                    async for _ in source.read(chunks_of(manifest, files=())):
                        pass
                await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(read()) for _ in range(READERS)]
    try:
        yield
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_links_and_weights_together_keep_to_the_rate_and_sessions_are_answered(
    model: Path, home: Path, tmp_path: Path, whole_model_tokens: Reference
) -> None:
    expected = whole_model_tokens(model, PROMPT, 24)
    async with AsyncExitStack() as stack, serving(model, home) as (host, seen):
        control = await stack.enter_async_context(connected(home / "control.sock"))
        status = await control.call(STATUS, NOTHING)
        assert (status.rates.upload_bytes_per_s, status.rates.download_bytes_per_s) == (RATE, None)
        seen.look()
        await stack.enter_async_context(readers(model, host, seen))
        contact = Contact(peer=host.peer_id, address=seen.links.address)
        client = await stack.enter_async_context(
            asking.client(model, [contact], tmp_path / "me", dht=False, front_layers=1)
        )
        # Several readers have more to fetch than the rate lets pass, all the time.
        await until(lambda: seen.look() > RATE)
        answers, asked_at = 0, seen.of_weights
        while seen.of_weights < asked_at + RATE or answers < 2:
            assert await asking.tokens(client.session, PROMPT, 24) == expected
            answers += 1
            seen.look()
        assert seen.links.connections == 1
        assert seen.of_links > 2 * 24 * 100, "the answers went through the proxy"
        assert seen.above(RATE) < SLACK_BYTES

        (home / "node.toml").write_text(f'upload-rate = "{LATER_RATE}"\n')
        assert (await control.call(RELOAD, NOTHING)).applied == ("upload-rate",)
        assert (await control.call(STATUS, NOTHING)).rates.upload_bytes_per_s == LATER_RATE
        since = len(seen.samples)
        goal = seen.look() + 2 * SLACK_BYTES + 4 * LATER_RATE
        await until(lambda: seen.look() > goal)
        # What a socket still held when the rate changed comes on top. By the rate before it would be twice as much.
        assert seen.above(LATER_RATE, since) < 2 * SLACK_BYTES
        assert await asking.tokens(client.session, PROMPT, 24) == expected
        values = (await control.call(METRICS, NOTHING)).values
        assert values["lamella_upload_limit_bytes_per_second"] == LATER_RATE
        assert 0.9 * seen.of_weights < values["lamella_weights_given_bytes_total"] < 1.2 * seen.of_weights
