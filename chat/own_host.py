"""The host that runs on this machine, as the chat looks at it and tells it what to do: over its control socket.

Nothing of the host is imported but the client of that socket. The chat goes on whatever becomes of the host; that none
runs, or that it cannot be asked, is something to show like anything else that is seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from node import own_socket
from node.control.arguments import NoArguments
from node.control.client import ControlClient, connected
from node.control.commands import SESSIONS, STATUS, Command
from node.control.results import SessionLine, Status
from node.errors import NodeError

EVERY_S: Final = 1.0
"""Between two looks: a person sees progress move, and the host has two small questions a second to answer."""

PATIENCE_S: Final = 5.0
"""For an answer; then the host is said not to give one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the host was doing a moment ago."""

    status: Status
    sessions: tuple[SessionLine, ...] = ()


class OwnHost:
    """This machine's host, whether it runs or not."""

    def __init__(self, socket: Path | None = None, *, every_s: float = EVERY_S) -> None:
        """Connect to nothing yet.

        Args:
            socket: where its control socket is; where its own settings say when None.
            every_s: time between two looks.
        """
        self._socket = socket
        self._every_s = every_s

    async def watch(self, told: Callable[[Seen | NodeError], None]) -> NoReturn:
        """Look again and again until this is cancelled; tell what is seen, or why nothing is.

        One connection serves while it lasts; when it ends, because the host did, another is tried at the same pace.
        """
        while True:
            try:
                async with connected(await self._where()) as client:
                    while True:
                        told(await _look(client))
                        await asyncio.sleep(self._every_s)
            except NodeError as error:
                told(error)
            await asyncio.sleep(self._every_s)

    async def tell(
        self, command: Command[Any, Any, Any], arguments: Any, told: Callable[[Any], None]
    ) -> object:
        """Have the host do something and return its result; being cancelled gives the request up.

        Args:
            told: is given the progress of a long command.

        Raises:
            NodeError: it did not, or could not be asked.
        """
        async with connected(await self._where()) as client:
            result: object = await client.call(command, arguments, told=told)
            return result

    async def _where(self) -> Path | None:
        return self._socket or await asyncio.to_thread(own_socket.named)


async def _look(client: ControlClient) -> Seen:
    status = await client.call(STATUS, NoArguments(), timeout_s=PATIENCE_S)
    if not status.sessions:
        return Seen(status=status)
    served = await client.call(SESSIONS, NoArguments(), timeout_s=PATIENCE_S)
    return Seen(status=status, sessions=served.sessions)
