"""Nodes that answered lately, kept on disk for the next start: addresses as text, a file for each network.

What is read back is a hint like any other: who answers there proves who it is, and may be someone else by now. A file
that is damaged or of another network is as good as none.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from node.paths import make_private
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
        try:
            with self._path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
            raw: Any = json.loads(data) if len(data) <= _MAX_FILE_BYTES else None
        except (OSError, ValueError, RecursionError):
            return []
        if not isinstance(raw, dict) or raw.get("version") != _VERSION or raw.get("network") != self._network:
            return []
        told = raw.get("nodes")
        if not isinstance(told, list) or len(told) > limits.MAX_PEER_CACHE:
            return []
        return [one for one in map(_address, told) if one is not None]

    def save(self, addresses: Iterable[Address]) -> bool:
        """Replace the file; false when the disk does not let us, which costs the next start some time."""
        nodes = [str(one) for one in addresses][: limits.MAX_PEER_CACHE]
        text = json.dumps({"version": _VERSION, "network": self._network, "nodes": nodes}, indent=1)
        try:
            make_private(self._path.parent)
            handle, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}.")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(text)
                Path(temporary).replace(self._path)
            except OSError:
                Path(temporary).unlink(missing_ok=True)
                return False
        except OSError:
            return False
        return True


def _address(raw: object) -> Address | None:
    try:
        return Address.parse(raw) if isinstance(raw, str) else None
    except InvalidValue:
        return None
