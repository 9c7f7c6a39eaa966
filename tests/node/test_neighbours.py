"""Who is known is asked what it serves, each once, and whoever does not answer is left out."""

from __future__ import annotations

from node.model_library import Neighbour
from node.neighbours import Neighbours
from node.roads import Somebody
from tests.fakes.asked_hosts import Asked, AskedHost, Searching, asked_by
from wire.contacts import Contact
from wire.types import Address, ModelId

MODEL = ModelId(bytes(32))


def neighbours(made: Asked, finder: Searching | None = None) -> Neighbours:
    return Neighbours(made.asking, made.roads, me=made.identity.peer_id, finder=finder)


async def test_those_that_give_chunks_are_named_with_their_ports() -> None:
    gives, keeps = AskedHost(1, shares=7777), AskedHost(2)
    async with asked_by(9, gives, keeps) as made:
        found = neighbours(made)
        assert await found.sharing(None) == [Neighbour(gives.peer_id, Address("127.0.0.1", 7777))]
        assert {one.peer for one in await found.ask()} == {gives.peer_id, keeps.peer_id}


async def test_what_they_say_is_asked_anew_each_time() -> None:
    host = AskedHost(1, shares=1000)
    async with asked_by(9, host) as made:
        found = neighbours(made)
        assert [one.address.port for one in await found.sharing(None)] == [1000]
        host.shares = 2000
        assert [one.address.port for one in await found.sharing(None)] == [2000]


async def test_who_cannot_be_reached_is_left_out() -> None:
    host = AskedHost(1, shares=1000)
    async with asked_by(9, host, besides=[Contact(address=Address("127.0.0.1", 1))]) as made:
        assert len(await neighbours(made).sharing(None)) == 1


async def test_hosts_that_are_found_are_asked_too_but_not_this_one() -> None:
    known, other = AskedHost(1, shares=1), AskedHost(2, shares=2)
    async with asked_by(9, known) as made:
        address = await other.listen()
        found = neighbours(made, Searching((other.peer_id, address), (made.identity.peer_id, address)))
        assert [one.address.port for one in await found.sharing(MODEL)] == [1, 2]
        assert all(made.identity.peer_id != one.peer for one in made.roads.somebody())
        await other.close()


async def test_a_host_of_two_contacts_is_heard_once() -> None:
    host = AskedHost(1)
    async with asked_by(9, host, besides=[Contact(address=await host.listen())]) as made:
        assert len(await neighbours(made).ask()) == 1


async def test_without_contacts_nobody_is_asked() -> None:
    async with asked_by(9) as made:
        assert await neighbours(made).ask() == []
        assert made.roads.somebody() == list[Somebody]()
