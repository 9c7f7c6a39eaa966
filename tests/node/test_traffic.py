"""The limits and the figures of one host's traffic."""

from __future__ import annotations

import asyncio
from pathlib import Path

from crypto.identity import Identity
from node.config import NodeConfig
from node.control.results import Rates
from node.manners.pacing import LEAST_QUANTUM_BYTES, Gate, Pacer
from node.sharing import Sharing
from node.traffic import Traffic
from tests.fakes.clockwork import Clockwork
from tests.fakes.giving import library
from tests.fakes.joined import small, step
from tests.fakes.pools import LOOPBACK, Post, until
from tests.fakes.share import serving
from wire.types import Address, SessionId

ME = Identity.from_seed(bytes([9]) * 32).peer_id


def traffic_of(home: Path, pacer: Pacer | None = None) -> Traffic:
    pacer = pacer or Pacer()
    config = NodeConfig(slices=(), listen=(Address("127.0.0.1", 0),))
    return Traffic(
        pacer=pacer, sharing=Sharing(ME, config, pace=pacer), fetched=library(home, pace=pacer).intake
    )


async def test_a_changed_configuration_is_the_limit_for_weights_both_ways(tmp_path: Path) -> None:
    traffic = traffic_of(tmp_path)
    assert traffic.rates() == Rates()
    assert (traffic.rate_facts().upload_bytes_per_s, traffic.fetched.limited) == (None, False)
    traffic.limit(NodeConfig(slices=(), upload_bytes_per_s=1e6, download_bytes_per_s=2e6))
    assert traffic.rates() == Rates(upload_bytes_per_s=1e6, download_bytes_per_s=2e6)
    facts = traffic.rate_facts()
    assert (facts.upload_bytes_per_s, facts.download_bytes_per_s) == (1e6, 2e6)
    assert facts.waiting == {"upload": 0, "download": 0}
    assert traffic.fetched.limited
    assert traffic.sharing._server.given.limited
    traffic.limit(NodeConfig(slices=()))
    assert traffic.rates() == Rates()


class Ledger(Gate):
    """Remembers in which order bytes passed."""

    def __init__(self, rate: float, clock: Clockwork) -> None:
        super().__init__(rate, clock=clock, later=clock.later)
        self.passed: list[int] = []

    def spend(self, nbytes: int) -> None:
        self.passed.append(nbytes)
        super().spend(nbytes)


async def test_a_step_leaves_before_weights_that_wait_and_a_prompt_takes_turns_with_them(
    tmp_path: Path,
) -> None:
    clock = Clockwork()
    pacer = Pacer()
    gate = pacer.upload = Ledger(100_000.0, clock)
    block, readers, session = gate.quantum_bytes, 6, SessionId(b"o" * 16)
    assert block == LEAST_QUANTUM_BYTES

    def blocks() -> int:
        return gate.passed.count(block)

    here, there = Post("here"), Post("there")
    here.pace_by(pacer)
    there.address = await there.listen(LOOPBACK)
    link = await here.link_with(there)
    async with serving(tmp_path, pace=pacer) as served:
        digest = served.shelf.put(bytes(40 * block))
        reading = [asyncio.create_task(served.get(f"/v1/chunks/{digest.hex()}")) for _ in range(readers)]
        await until(lambda: gate.waiting == readers)
        # Deep in debt: not even a step may leave before some time has passed.
        gate.spend(50_000)
        link.send(step(20 * block, number=1))
        await until(lambda: gate.waiting == readers + 1)
        for number in range(2, 12):
            before = len(gate.passed)
            link.send(small(number, session))
            assert len(gate.passed) == before
            while len(gate.passed) == before:
                clock.go(0.01)
                await asyncio.sleep(0)
            assert gate.passed[before] < 1000, "the step is first, whoever waited longer"
            # Let a round of bulk pass, and everybody come back to wait.
            bulk = blocks()
            while blocks() < bulk + readers:
                clock.go(0.01)
                await asyncio.sleep(0.001)
            await until(lambda: gate.waiting == readers + 1)
            gate.spend(50_000)
        assert link.pending_bytes > 0, "the prompt was not sent at once either"
        sent = 20 * block - link.pending_bytes
        given = served.server.given.nbytes
        assert given / readers / 2 < sent < 2 * given / readers, "it has had turns as every reader has"
        pacer.upload.limit(None)
        clock.go(1.0)
        assert [len((await one).body) for one in reading] == [40 * block] * readers
        await there.notes.until(lambda: sorted(there.notes.steps) == list(range(1, 12)))
        assert there.notes.steps[-1] == 1
    await here.close()
    await there.close()


async def test_weights_are_counted_by_where_they_come_from(tmp_path: Path) -> None:
    traffic = traffic_of(tmp_path)
    await traffic.fetched.hub.take(5)
    await traffic.fetched.peers.take(7)
    await traffic.sharing._server.given.take(11)
    facts = traffic.weight_facts(1 << 30)
    assert (facts.given_bytes, facts.fetched_bytes) == (11, {"hub": 5, "peer": 7})
    assert (facts.answering, facts.disk_limit_bytes) == (0, 1 << 30)
