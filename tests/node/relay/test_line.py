"""A link is a line, to the type checker and at work."""

from __future__ import annotations

from node.relay.line import Line
from tests.fakes.pools import posts


async def test_a_link_is_a_line() -> None:
    async with posts("a", "b") as [a, b]:
        line: Line = await a.link_with(b)
        assert line.via is None
        assert line.peer_id == b.peer_id
        assert line.remote == b.address
        assert {line: 1}[line] == 1
