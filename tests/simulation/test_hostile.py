"""What hostile datagrams of every kind do to a node: nothing is kept, nothing raises, nobody honest pays for them."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.digest import sha256
from crypto.identity import Identity
from node.dht.protocol import Protocol
from scripts.bench.hostile import HOST, NETWORK, TAG, answers, kinds, search_answers, slice_record, stores
from scripts.dht_world.clock import run
from scripts.dht_world.liars import Lie, infest
from scripts.dht_world.trials import announce, searches
from scripts.dht_world.world import Weather, World
from wire import limits
from wire.datagrams import read_answer, read_head, write_request
from wire.dht_messages import Outcome, Store, Stored
from wire.endpoints import node_id_of
from wire.records import Lifetime, SliceRecord, sign_record
from wire.types import Address

KINDS = kinds()
ANSWERS = answers()
HONEST = Address("20.0.0.7", 7311)
HOSTILE = {
    "elsewhere": [Address("20.0.9.9", 1024 + number) for number in range(40)],
    "beside": [Address(HONEST.ip, 1024 + number) for number in range(40)],
}


@pytest.mark.parametrize("kind", KINDS)
def test_no_datagram_is_kept_or_raises(kind: str) -> None:
    assert stores(kind, KINDS[kind], 60).kept == 0


@pytest.mark.parametrize("kind", ANSWERS)
def test_no_answer_to_a_search_is_kept_or_raises(kind: str) -> None:
    assert asyncio.run(search_answers(kind, ANSWERS[kind], 30)).kept == 0


@pytest.mark.parametrize("kind", ["store: forged", "store: CBOR bomb, begun well"])
def test_a_flood_of_forgeries_from_an_address_costs_a_fraction_of_a_check_each(kind: str) -> None:
    costs = stores(kind, KINDS[kind], 200)
    assert costs.floods[0].median < 0.5
    assert costs.first.median > 0.5


def node() -> Protocol:
    return Protocol(Identity.from_seed(sha256(b"here")), NETWORK, random=os.urandom, wall=time.time)


def honest_store(here: Protocol, host: Identity, sequence: int, now: float) -> Outcome | None:
    """What an honest host is told of its record, from its own address."""
    issued = int(time.time())
    plain = slice_record(1)
    values = {
        name: getattr(plain, name) for name in ("model", "layers", "head", "num_layers", "addresses", "dtype")
    }
    life = Lifetime(sequence=sequence, issued=issued, expires=issued + 600)
    record = SliceRecord(host=host.public_key, lifetime=life, **values)
    store = Store(
        sender=node_id_of(host.public_key),
        serves=False,
        token=here.token_for(HONEST, now),
        record=sign_record(record, host, NETWORK),
    )
    here.datagrams_to_send()
    here.receive(write_request(store, tag=TAG, transaction=bytes(8)), HONEST, now)
    for data, target in here.datagrams_to_send():
        answer = read_answer(data, read_head(data, TAG))[1]
        if target == HONEST and isinstance(answer, Stored):
            return answer.outcome
    return None


ATTACKS = st.tuples(st.sampled_from(sorted(HOSTILE)), st.integers(0, 39), st.sampled_from(sorted(KINDS)))


@settings(max_examples=20, deadline=None)
@given(st.lists(ATTACKS, max_size=50), st.lists(st.sampled_from(sorted(KINDS)), max_size=20))
def test_an_honest_host_renews_its_record_whatever_others_send_from_beside_it_or_in_its_name(
    attacks: list[tuple[str, int, str]], spoofed: list[str]
) -> None:
    here, host, now = node(), Identity.from_seed(sha256(b"honest")), 0.0
    assert honest_store(here, host, 1, now) is Outcome.STORED
    for where, number, kind in attacks:
        source = HOSTILE[where][number]
        now += 1 / limits.SOURCE_RATE_HZ
        here.receive(KINDS[kind](here.token_for(source, now)), source, now)
    for kind in spoofed:
        # Whoever forges an address does not see the token that is given to it.
        now += 1 / limits.SOURCE_RATE_HZ
        here.receive(KINDS[kind](os.urandom(limits.TOKEN_BYTES)), HONEST, now)
    assert not here.conducts.muted(HONEST, now)
    assert honest_store(here, host, 2, now) is Outcome.STORED
    # What is replayed is genuine and new here: it may stand beside.
    kept = {one.host for one in here.storage.records(slice_record(1).key(NETWORK), time.time())}
    assert kept - {HOST.public_key} == {host.public_key}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(sorted(KINDS)), max_size=30), st.integers(0, limits.VAIN_CHECKS_PER_SOURCE - 1)
)
def test_a_newcomer_is_kept_beside_some_forgers_and_any_number_elsewhere(
    kinds_: list[str], beside: int
) -> None:
    here, now = node(), 0.0
    senders = HOSTILE["beside"][:beside]
    for source in (*senders, *HOSTILE["elsewhere"]):
        now += 1 / limits.SOURCE_RATE_HZ
        here.receive(KINDS["store: forged"](here.token_for(source, now)), source, now)
    for number, kind in enumerate(kinds_):
        source = HOSTILE["elsewhere"][number]
        here.receive(KINDS[kind](here.token_for(source, now)), source, now)
    assert here.counts["muted"] + here.counts["store refused"] >= len(senders)
    assert honest_store(here, Identity.from_seed(sha256(b"new")), 1, now) is Outcome.STORED


def test_who_forges_in_answers_is_heard_no_more_and_searches_are_complete() -> None:
    async def play() -> None:
        world = World(Weather(loss=0.0))
        for _ in range(60):
            world.add()
        ring = infest(world, 30, (Lie.FORGED,))
        world.settle()
        hosts = world.nodes[:10]
        await announce(world, hosts, 1)
        await announce(world, hosts, 2)
        result = await searches(world, hosts, 6, 2)
        assert (result.complete, result.wrong) == (1.0, 0)
        now = asyncio.get_running_loop().time()
        caught = [
            (one, liar)
            for one in world.nodes
            for liar in ring.members
            if one.protocol.conducts.muted(liar.contact.address, now)
        ]
        assert caught
        honest = [world.where(one) for one in world.nodes]
        assert not any(one.protocol.conducts.muted(where, now) for one in world.nodes for where in honest)
        # Until it is heard again it cannot become a contact, nor be asked.
        node_, liar = caught[0]
        heard = node_.protocol.counts["muted"]
        assert await node_.greet([liar.contact.address]) == 0
        assert node_.protocol.counts["muted"] > heard

    run(play())
