"""One person runs several programs under one identity; hosts tell their links, not only their owner, apart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Hosts, Reference
from tests.fakes import asking, hosts
from tests.fakes.observer import observing

pytestmark = pytest.mark.timeout(300)


async def test_two_chats_of_one_person_do_not_disturb_each_other(
    tiny_model: Path, run_hosts: Hosts, whole_model_tokens: Reference, tmp_path: Path
) -> None:
    first, second = range(10, 40), range(50, 90)
    with run_hosts(tiny_model, ["1:3", "3:5"]) as pair:
        contacts = [host.contact for host in pair]
        identity = tmp_path / "identity"
        async with asking.client(tiny_model, contacts, identity) as one, observing() as observer:
            async with asking.client(tiny_model, contacts, identity) as other:
                answer, other_answer = await asyncio.gather(
                    asking.tokens(one.session, first, 24), asking.tokens(other.session, second, 24)
                )
                assert answer == whole_model_tokens(tiny_model, first, 24)
                assert other_answer == whole_model_tokens(tiny_model, second, 24)
            for host in pair:
                await observer.until(host, lambda offer: offer.sessions == 1)
            held = list(one.session.held)
            follow_up = [*held, 7, 8, 9]
            assert await asking.tokens(one.session, follow_up, 6) == whole_model_tokens(
                tiny_model, follow_up, 6
            )
            for host in pair:
                assert (await observer.offer(host)).sessions == 1, "the other's leaving ended nothing here"


@pytest.mark.parametrize("own", [0, 1], ids=["first hop", "tail"])
async def test_a_person_can_ask_a_chain_that_their_own_host_is_part_of(
    tiny_model: Path, whole_model_tokens: Reference, tmp_path: Path, own: int
) -> None:
    """By default `lamella` and `lamella-node` share the identity of the person who runs both."""
    started = [
        hosts.start(tmp_path / f"host-{index}", tiny_model, layers)
        for index, layers in enumerate(("1:3", "3:5"))
    ]
    try:
        contacts = [host.wait_ready() for host in started]
        async with asking.client(tiny_model, contacts, tmp_path / f"host-{own}") as client:
            prompt = range(10, 40)
            assert await asking.tokens(client.session, prompt, 24) == whole_model_tokens(
                tiny_model, prompt, 24
            )
    finally:
        for host in started:
            host.end()
