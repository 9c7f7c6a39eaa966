"""Asking peers what they serve, over links that are there or made for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from crypto.identity import PeerId
from node.errors import NodeError
from node.roads import Roads, Somebody
from node.transport.link import Link
from wire.codes import Code
from wire.messages.base import Message
from wire.messages.hosting import Describe, Hosting

ANSWER_S: Final = 5.0
"""How long a peer may take to say what it serves."""


class NoAnswer(NodeError):
    """A peer that is reached does not say what it serves."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one peer said."""

    link: Link
    hosting: Hosting

    @property
    def peer(self) -> PeerId:
        """Who said it."""
        return self.link.peer_id


class Asking:
    """The questions of one process."""

    def __init__(self, roads: Roads) -> None:
        self._roads = roads
        self._waiting: dict[PeerId, asyncio.Future[Hosting]] = {}

    async def ask(self, one: Somebody) -> Said:
        """Ask somebody what it serves. Raises `NodeError` when it cannot be reached or does not say."""
        link = await self._roads.reach(one)
        answer = self._waiting.setdefault(link.peer_id, asyncio.get_running_loop().create_future())
        link.send(Describe())
        try:
            async with asyncio.timeout(ANSWER_S):
                return Said(link, await asyncio.shield(answer))
        except TimeoutError as error:
            raise NoAnswer(
                f"{link.peer_id.short} at {link.remote} gave no answer in {ANSWER_S:g} s", "try again later"
            ) from error

    def on_message(self, link: Link, message: Message) -> bool:
        """Take an answer; whether the message was one."""
        if not isinstance(message, Hosting):
            return False
        waiting = self._waiting.pop(link.peer_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)
        return True

    def on_closed(self, link: Link, code: Code, detail: str) -> None:
        """A peer whose link ends answers nothing any more."""
        waiting = self._waiting.pop(link.peer_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_exception(
                NoAnswer(
                    f"host {link.peer_id.short} ended the link: {detail or code.text}", "try again later"
                )
            )
            # Nobody may be waiting any more, which is no defect.
            waiting.exception()
