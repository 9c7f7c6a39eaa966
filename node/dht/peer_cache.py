"""Nodes that answered lately, kept on disk for the next start: addresses as text, a file for each network.

What is read back is a hint like any other: who answers there proves who it is, and may be someone else by now. A file
that is damaged or of another network is as good as none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from node.small_file import read_object, remember
from wire import limits
from wire.errors import InvalidValue
from wire.types import Address

_VERSION: Final = 1
_MAX_FILE_BYTES: Final = 64 * 1024


class PeerCache:
    """The file of one network's contacts. Both methods block on the disk."""

    def __init__(self, path: Path, network: str) -> None:
        self._path = path
        self._network = network

    def load(self) -> list[Address]:
        """The addresses that were kept; none when there is no readable file."""
        raw = read_object(self._path, _MAX_FILE_BYTES)
        if raw.get("version") != _VERSION or raw.get("network") != self._network:
            return []
        told = raw.get("nodes")
        if not isinstance(told, list) or len(told) > limits.MAX_PEER_CACHE:
            return []
        return [one for one in map(_address, told) if one is not None]

    def save(self, addresses: Iterable[Address]) -> bool:
        """Replace the file; false when the disk does not let us, which costs the next start some time."""
        nodes = [str(one) for one in addresses][: limits.MAX_PEER_CACHE]
        text = json.dumps({"version": _VERSION, "network": self._network, "nodes": nodes}, indent=1)
        return remember(self._path, text.encode())


def _address(raw: object) -> Address | None:
    try:
        return Address.parse(raw) if isinstance(raw, str) else None
    except InvalidValue:
        return None
