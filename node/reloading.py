"""Takes a changed configuration while the host runs, for SIGHUP and for `lamella-node ctl reload`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from node.changes import Changes, changes
from node.config import NodeConfig
from node.settings import RELOADABLE

Applier = Callable[[NodeConfig], None]
"""Makes one setting of a configuration hold, at once; must not fail."""


class Reloading:
    """What a running host holds to be its configuration."""

    def __init__(
        self, config: NodeConfig, *, read: Callable[[], NodeConfig], appliers: Mapping[str, Applier]
    ) -> None:
        """
        Args:
            config: what the host was started with.
            read: reads all places again, as `node.cli.parse_again` does; on another thread; raises `NodeError`.
            appliers: by the names of settings; one that has none needs a restart.

        Raises:
            ValueError: an applier is for no setting that the table calls reloadable.
        """
        if not appliers.keys() <= RELOADABLE:
            raise ValueError(f"not reloadable: {', '.join(sorted(appliers.keys() - RELOADABLE))}")
        self.config = config
        """What holds now."""
        self._read = read
        self._appliers = appliers
        self._turn = asyncio.Lock()

    async def reload(self) -> Changes:
        """Read again, and apply what can be applied; all of it, or nothing.

        Raises:
            NodeError: what is written cannot be used; everything is as before.
        """
        async with self._turn:
            new = await asyncio.to_thread(self._read)
            found = changes(self.config, new, can=self._appliers.keys())
            names = {key.replace("-", "_") for key in found.applied}
            for name in sorted(names):
                self._appliers[name](found.config)
            self.config = found.config
            return found
