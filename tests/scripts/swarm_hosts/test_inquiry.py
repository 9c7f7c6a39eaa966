from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from crypto.identity import Identity
from node.transport.link import Link
from node.transport.pool import LinkPool
from scripts.swarm_hosts import inquiry
from scripts.swarm_hosts.folder import Host, SwarmFolder
from scripts.swarm_hosts.plan import NETWORK, SwarmPlan
from scripts.swarm_hosts.processes import ProcessId
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting, Offer
from wire.tensors import DType
from wire.types import Address, LayerRange, ModelId

IDENTITY = Identity.from_seed(bytes(32))


def answering(*, draining: bool = False) -> LinkPool:
    """A host that tells of two slices with three sessions in all."""

    def on_message(link: Link, message: Message) -> None:
        if isinstance(message, Describe):
            link.send(Hosting(offers=(offer(1), offer(2)), draining=draining))

    return LinkPool(IDENTITY, NETWORK, "test", on_message=on_message, on_closed=lambda *_: None)


def offer(sessions: int) -> Offer:
    """One slice."""
    return Offer(
        model=ModelId(bytes(32)),
        name="tiny",
        layers=LayerRange(1, 8),
        head=False,
        num_layers=24,
        dtype=DType.BFLOAT16,
        max_positions=100,
        free_kv_bytes=0,
        sessions=sessions,
        step_us=0,
    )


@pytest.fixture
def hosts(tmp_path: Path) -> tuple[Host, ...]:
    folder = SwarmFolder(tmp_path / ".swarm")
    plan = SwarmPlan(model="pocket", layers=(LayerRange(1, 8), LayerRange(8, 16), LayerRange(16, 24)))
    with folder.locked("start"):
        return folder.write(plan)


def runs(host: Host, address: Address | None = None, identity: Identity = IDENTITY) -> None:
    """Record this process as the host's, ready at `address` when given."""
    me = ProcessId.of(os.getpid())
    assert me is not None
    (host.folder / "process").write_text(me.record())
    if address is not None:
        ready = {"event": "ready", "address": str(address), "peer_id": str(identity.peer_id)}
        (host.folder / "status.jsonl").write_text(json.dumps(ready) + "\n")


@pytest.mark.parametrize("draining", [False, True])
async def test_each_host_tells_its_sessions_and_the_system_its_memory(
    hosts: tuple[Host, ...], tmp_path: Path, draining: bool
) -> None:
    pool = answering(draining=draining)
    try:
        runs(hosts[0], await pool.listen(Address("127.0.0.1", 0)))
        runs(hosts[1])
        first, second, third = await inquiry.inquire(hosts, tmp_path / "identity")
    finally:
        await pool.close()
    assert (first.state, first.sessions, first.layers) == ("draining" if draining else "serving", 3, "1:8")
    assert first.pid == os.getpid()
    assert first.resident_bytes > 1 << 20
    assert (second.state, second.sessions, second.address, second.alive) == ("loading", None, None, True)
    assert (third.state, third.pid, third.resident_bytes, third.alive) == ("gone", None, 0, False)
    whole = inquiry.as_json("pocket", "now", [first, second, third])
    assert json.loads(json.dumps(whole))["hosts"][0]["sessions"] == 3
    assert all(len(one.row()) == len(inquiry.ROW_HEAD) for one in (first, second, third))


async def test_a_host_that_does_not_answer_is_silent(
    hosts: tuple[Host, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "_ANSWER_TIMEOUT_S", 0.2)
    mute = LinkPool(IDENTITY, NETWORK, "test", on_message=lambda *_: None, on_closed=lambda *_: None)
    try:
        runs(hosts[0], await mute.listen(Address("127.0.0.1", 0)))
        runs(hosts[1], Address("127.0.0.1", 1), Identity.from_seed(bytes([1]) * 32))
        found = await inquiry.inquire(hosts, tmp_path / "identity")
    finally:
        await mute.close()
    assert [one.state for one in found] == ["silent", "silent", "gone"]


@pytest.mark.parametrize(("address", "peer"), [("nowhere", "x"), ("127.0.0.1:1", "not a peer id")])
async def test_a_damaged_status_line_is_silence(
    hosts: tuple[Host, ...], tmp_path: Path, address: str, peer: str
) -> None:
    runs(hosts[0])
    (hosts[0].folder / "status.jsonl").write_text(
        json.dumps({"event": "ready", "address": address, "peer_id": peer})
    )
    found = await inquiry.inquire(hosts, tmp_path / "identity")
    assert found[0].state == "silent"
