"""Hosts compute for several clients together, in every weight format, and each gets the whole model's tokens."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from chat.errors import NoRoute
from node.store import checkpoint
from tests.end_to_end.conftest import Hosts, Reference, Swarm
from tests.fakes import asking, whole
from tests.fakes.hosts import HostOptions
from wire.tensors import WeightFormat
from wire.types import Sampling

pytestmark = pytest.mark.timeout(600)

POCKET = checkpoint.resolve(checkpoint.POCKET)
CLIENTS = 5
PROMPT = [3, 17, 40, 99, 120, 5, 64, 200, 31, 7, 12]


async def test_clients_that_ask_at_once_get_what_each_gets_alone(
    swarm: Swarm, whole_model_tokens: Reference, tmp_path: Path
) -> None:
    rng = random.Random("many sessions")
    with swarm(POCKET, ["1:9", "9:24"]) as contacts:
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(
                    asking.client(POCKET, contacts, tmp_path / f"identity-{index}")
                )
                for index in range(CLIENTS)
            ]

            async def several(index: int) -> list[tuple[list[int], list[int]]]:
                found = []
                for _ in range(2):
                    prompt = [rng.randrange(3, 1_000) for _ in range(rng.randrange(1, 60))]
                    await clients[index].session.close()
                    found.append((prompt, await asking.tokens(clients[index].session, prompt, 24)))
                return found

            answers = await asyncio.gather(*(several(index) for index in range(CLIENTS)))
    for prompt, answer in (one for many in answers for one in many):
        assert answer == whole_model_tokens(POCKET, prompt, 24)


@pytest.mark.parametrize("weights", [WeightFormat.INT8, WeightFormat.INT4_32])
async def test_a_chain_of_packed_slices_gives_the_packed_models_tokens(
    run_hosts: Hosts, tmp_path: Path, weights: WeightFormat
) -> None:
    options = HostOptions(dtype=None, weights=weights.value)
    expected = whole.tokens(whole.load(POCKET, "bfloat16", weights), PROMPT, 24, Sampling())
    with run_hosts(POCKET, ["1:9", "9:24"], options) as hosts:
        contacts = [host.contact for host in hosts]
        async with asking.client(
            POCKET, contacts, tmp_path / "identity", dtype=None, weights=weights
        ) as client:
            assert await asking.tokens(client.session, PROMPT, 24) == expected
        async with asking.client(POCKET, contacts, tmp_path / "identity", dtype=None) as client:
            assert len(await asking.tokens(client.session, PROMPT, 4)) == 4
        native = asking.client(
            POCKET, contacts, tmp_path / "identity", dtype=None, weights=WeightFormat.NATIVE
        )
        async with native as client:
            with pytest.raises(NoRoute, match=r"other numerics.*--weights"):
                await asking.tokens(client.session, PROMPT, 4)
