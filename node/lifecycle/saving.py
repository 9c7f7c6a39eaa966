"""Puts what was asked on disk from a loop that must not wait for disks: one write after the other, in time or not."""

from __future__ import annotations

import asyncio
from typing import Final

from node.lifecycle.errors import IntentsUnwritable
from node.lifecycle.happenings import Intent
from node.lifecycle.intents import IntentFile
from node.lifecycle.wishes import SliceKey

SAVE_TIMEOUT_S: Final = 10.0
"""A disk that takes longer than this for a few kilobytes is not one to promise anything on."""


class Saving:
    """The one writer of a file of intents."""

    def __init__(self, file: IntentFile) -> None:
        self._file = file
        self._writing: asyncio.Task[None] | None = None

    async def put(self, key: SliceKey, intent: Intent | None) -> None:
        """Keep what was asked about a slice, or forget it, after all writes before, those included that nobody waits
        for any more.

        Raises:
            IntentsUnwritable: the disk did not take it, or not in time; then it may be there later or not.
        """
        try:
            async with asyncio.timeout(SAVE_TIMEOUT_S):
                while self._writing is not None and not self._writing.done():
                    await asyncio.wait({self._writing})
                writing = asyncio.create_task(asyncio.to_thread(self._file.put, key, intent))
                writing.add_done_callback(lambda one: one.cancelled() or one.exception())
                self._writing = writing
                await asyncio.shield(writing)
        except TimeoutError as error:
            raise IntentsUnwritable(
                self._file.path,
                f"the disk of {self._file.path} has not taken a small file in {SAVE_TIMEOUT_S:g} s",
                "look what keeps that disk busy, and ask again",
            ) from error

    async def close(self) -> None:
        """Wait for a write that is under way, though not for ever."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=SAVE_TIMEOUT_S)
