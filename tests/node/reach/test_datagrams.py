"""A question over UDP: repeated, bounded, and deaf to strangers."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import cast

import pytest

from node.reach import datagrams
from node.reach.datagrams import Question, ask
from tests.fakes.router import _Answering

QUESTION = Question(
    own_ip="127.0.0.1", router="127.0.0.1", port=9, datagrams=[b"ask"], is_answer=lambda data: data == b"yes"
)


async def listening(
    answers: list[bytes | None], *, ip: str = "127.0.0.1"
) -> tuple[asyncio.BaseTransport, int, list[bytes]]:
    """A socket that gives these answers, one for each datagram; the port and what came."""
    heard: list[bytes] = []

    def answer(data: bytes) -> bytes | None:
        heard.append(data)
        return answers.pop(0) if answers else None

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Answering(answer), local_addr=(ip, 0)
    )
    return transport, transport.get_extra_info("sockname")[1], heard


async def test_a_question_is_repeated_until_it_is_answered() -> None:
    transport, port, heard = await listening([None, b"no", b"yes"])
    assert await ask(replace(QUESTION, port=port), (0.01, 0.01, 5.0)) == b"yes"
    assert heard == [b"ask"] * 3
    transport.close()


async def test_a_router_that_never_answers_costs_a_bounded_time() -> None:
    transport, port, heard = await listening([])
    assert await ask(replace(QUESTION, port=port), (0.01, 0.01)) is None
    assert heard == [b"ask"] * 2
    transport.close()


async def test_a_closed_port_is_no_answer() -> None:
    assert await ask(replace(QUESTION, port=1), (0.01, 0.01)) is None


async def test_an_address_that_is_not_ours_is_no_answer() -> None:
    assert await ask(replace(QUESTION, own_ip="203.0.113.1"), (0.01,)) is None


@pytest.mark.parametrize("group", [None, "127.0.0.1"])
async def test_only_the_router_is_heard(group: str | None) -> None:
    """The same answer comes from another address, at the right port, and from another port of the router."""
    strangers: list[socket.socket] = []
    asked: list[object] = []

    class Router(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
            for stranger in strangers:
                stranger.sendto(b"yes", addr)
            asked.append(addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Router, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    # Whoever answers a search may do so from any port; other answers come from the one that was asked.
    for ip, other in (("127.0.0.2", port), *((("127.0.0.1", 0),) if group is None else ())):
        strangers.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        strangers[-1].bind((ip, other))
    assert await ask(replace(QUESTION, port=port, group=group), (0.02, 0.02)) is None
    assert len(asked) >= 2
    transport.close()
    for stranger in strangers:
        stranger.close()


async def test_a_flood_of_nonsense_is_not_read_to_its_end() -> None:
    looked = 0

    def is_answer(data: bytes) -> bool:
        nonlocal looked
        looked += 1
        return False

    class Flood(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
            for _ in range(3 * datagrams.MOST_DATAGRAMS):
                self.transport.sendto(b"no", addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        Flood, local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]
    assert await ask(replace(QUESTION, port=port, is_answer=is_answer), (0.2,)) is None
    assert looked == datagrams.MOST_DATAGRAMS
    transport.close()
