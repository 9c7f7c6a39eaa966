"""A disk that is not waited for: what is written is there for every process, and only a loss of power would lose it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def unflushed() -> Iterator[None]:
    """Do not wait for the disk in here; for tests that write hundreds of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield
