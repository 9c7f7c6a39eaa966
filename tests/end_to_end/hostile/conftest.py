"""Two live hosts and an honest client; after each case all is as before, and the answers are still right."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.end_to_end.conftest import Hosts, Reference
from tests.fakes import asking
from tests.fakes.attacker import Attacker
from tests.fakes.deadline import until
from tests.fakes.hosts import Host, HostOptions
from tests.fakes.observer import observing
from tests.fakes.siege import (
    ALLOWED_GROWTH_BYTES,
    KV_MEMORY_BYTES,
    MIDDLE,
    TAIL,
    Swarm,
)
from wire.types import ModelId


@pytest.fixture(scope="module")
def running(run_hosts: Hosts, tiny_model: Path) -> Iterator[tuple[Host, ...]]:
    """The two hosts, for all tests of this file."""
    with run_hosts(tiny_model, [MIDDLE, TAIL], HostOptions(kv_memory=str(KV_MEMORY_BYTES))) as hosts:
        yield hosts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def swarm(
    running: tuple[Host, ...],
    tiny_model: Path,
    whole_model_tokens: Reference,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Swarm]:
    """The hosts, and an honest client with an open session on both."""
    middle, tail = running
    folder = tmp_path_factory.mktemp("honest")
    contacts = [middle.contact, tail.contact]
    async with (
        observing() as observer,
        asking.client(tiny_model, contacts, folder / "identity") as client,
        asking.client(tiny_model, contacts, folder / "newcomer") as newcomer,
    ):
        swarm = Swarm(middle, tail, client, newcomer, observer, tiny_model, whole_model_tokens)
        await swarm.assert_right()
        yield swarm


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def unharmed(swarm: Swarm) -> AsyncIterator[None]:
    """Both hosts answer rightly after the case, to the open session and to a new one, and hold no more than before."""
    hosts = (swarm.middle, swarm.tail)
    before = [await swarm.offer(host) for host in hosts]
    memory = [host.resident_bytes for host in hosts]
    words = [len(host.stderr) for host in hosts]
    files = [host.open_files for host in hosts]
    yield
    await swarm.assert_right()
    await swarm.assert_right_anew()
    for host, was in zip(hosts, before, strict=True):
        # A default binds the loop's value.
        await swarm.until(host, lambda now, was=was: now.sessions == was.sessions)  # type: ignore[misc]
        await swarm.until(host, lambda now, was=was: now.free_kv_bytes == was.free_kv_bytes)  # type: ignore[misc]
    for host, held, known in zip(hosts, memory, words, strict=True):
        assert host.resident_bytes < held + ALLOWED_GROWTH_BYTES
        assert "Traceback" not in host.stderr[known:]
    for host, had in zip(hosts, files, strict=True):
        # A default binds the loop's value.
        await until(lambda host=host, had=had: host.open_files <= had)  # type: ignore[misc]


@pytest_asyncio.fixture(loop_scope="module")
async def attacker(swarm: Swarm) -> AsyncIterator[Attacker]:
    """A peer that has shaken hands with the first host."""
    peer = await Attacker.linked(swarm.middle.address)
    yield peer
    peer.close()


@pytest_asyncio.fixture(loop_scope="module")
async def model_id(swarm: Swarm) -> ModelId:
    """The model both hosts serve."""
    return swarm.client.model_id
