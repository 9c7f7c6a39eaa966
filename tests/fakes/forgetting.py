"""Clients and hosts remember who answered; tests that need a fresh start forget it."""

from __future__ import annotations

import shutil

from node import paths


def forget_contacts() -> None:
    """Remove what earlier programs of this home have written down of others."""
    for name in ("contacts", "contacts-client", "dht", "dht-client"):
        shutil.rmtree(paths.cache_dir() / name, ignore_errors=True)
