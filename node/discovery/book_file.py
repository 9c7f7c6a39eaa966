"""Contacts that answered, kept on disk for the next start.

A small JSON file for each network, replaced as a whole. A file that is damaged is as good as none: losing it costs a
slower start. Ages are kept by the wall clock; one that was set back makes an entry young, never eternal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from node.discovery.entries import KEPT_S, PLACES, Known, Met, Road
from node.discovery.scope import Scope, scope_of
from node.small_file import read_object, remember
from wire.contacts import Contact
from wire.errors import InvalidValue
from wire.networks import network_tag

MAX_KEPT: Final = PLACES[Road.REMEMBERED]
"""As many as are taken back."""
_MAX_FILE_BYTES: Final = 128 * 1024
_VERSION: Final = 1
_MAX_TIME: Final = 1 << 40


class BookFile:
    """The contacts of one network on disk."""

    def __init__(self, folder: Path, network: str) -> None:
        """Name the file of a network in `folder`; neither needs to exist. Raises `InvalidValue` for a bad name."""
        self._tag = network_tag(network).hex()
        self.path = folder / f"contacts-{self._tag[:16]}.json"

    def load(self, now: float) -> list[Met]:
        """Return what the file holds, latest first; nothing when it is missing or damaged. Blocks on the disk.

        Args:
            now: Unix time in seconds.
        """
        raw = read_object(self.path, _MAX_FILE_BYTES)
        if raw.get("version") != _VERSION or raw.get("network") != self._tag:
            return []
        rows = raw.get("contacts")
        if not isinstance(rows, list) or len(rows) > MAX_KEPT:
            return []
        found = [one for one in (_met(row, now) for row in rows) if one is not None]
        return sorted(found, key=lambda one: one.age_s)

    def save(self, known: Iterable[Known], now: float) -> bool:
        """Keep the contacts that answered, the latest ones; return whether the disk took them. Blocks on the disk.

        Args:
            now: Unix time in seconds.
        """
        ages = sorted(
            (one.answered_s, str(one.contact))
            for one in known
            if one.answered_s is not None and scope_of(one.contact.address) is not Scope.LINK
        )
        rows = [{"contact": text, "answered": round(now - age)} for age, text in ages[:MAX_KEPT]]
        text = json.dumps({"version": _VERSION, "network": self._tag, "contacts": rows}, indent=1)
        return remember(self.path, text.encode())


def _met(row: Any, now: float) -> Met | None:
    """Read one row; None when it is not one, or too old."""
    if not isinstance(row, dict):
        return None
    text, answered = row.get("contact"), row.get("answered")
    if not isinstance(text, str) or not isinstance(answered, int | float) or not 0 <= answered < _MAX_TIME:
        return None
    try:
        contact = Contact.parse(text)
    except InvalidValue:
        return None
    age_s = max(0.0, now - answered)
    return Met(contact=contact, age_s=age_s) if age_s < KEPT_S else None
