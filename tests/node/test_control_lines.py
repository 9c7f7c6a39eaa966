"""What is told of links and sessions: short ids and figures."""

from __future__ import annotations

from typing import cast

from node.control_lines import peer_line, session_line
from node.transport.link import Link
from tests.fakes.pools import posts
from tests.fakes.serving import ALICE, Table
from wire.types import LayerRange


async def test_a_link_is_told_with_its_program_and_its_way() -> None:
    async with posts("a", "b") as [a, b]:
        line = peer_line(await a.link_with(b), 2)
        assert (line.peer, line.agent, line.address) == (b.peer_id.short, "b", str(b.address))
        assert (line.dialled, line.relayed, line.sessions) == (True, False, 2)
        assert line.linked_s >= 0
        (back,) = b.links.values()
        assert not peer_line(back, 0).dialled


async def test_a_session_is_told_by_what_it_holds_and_not_by_what_is_said() -> None:
    table = Table()
    opened = await table.open_tail()
    (run,) = table.host.running
    line = session_line(run, "m@2:4")
    assert (line.client, line.layers, line.slice) == (ALICE.short, LayerRange(2, 4), "m@2:4")
    assert (line.positions, line.max_positions, line.tokens) == (0, opened.positions, 0)
    assert cast(Link, table.alice).peer_id == ALICE
    await table.host.finish(0.0)
