"""Freed memory goes back to the system, and a C library that cannot do that is no error."""

from __future__ import annotations

import ctypes
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from node.slices import memory


def test_all_that_is_free_is_asked_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    library: Any = SimpleNamespace(malloc_trim=asked.append)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: library)
    memory._trim.cache_clear()
    memory.give_back()
    memory.give_back()
    assert asked == [0, 0]
    memory._trim.cache_clear()


def test_another_c_library_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: SimpleNamespace())
    memory._trim.cache_clear()
    memory.give_back()
    memory._trim.cache_clear()


def test_what_only_leads_to_itself_is_freed() -> None:
    class Module:
        """Leads to itself, as the modules of a model do."""

        def __init__(self) -> None:
            self.root = self

    gone = weakref.ref(Module())
    memory.free()
    assert gone() is None
