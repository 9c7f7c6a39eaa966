"""Events are values."""

from __future__ import annotations

import dataclasses

import pytest

from wire.codes import Code
from wire.events import Closed


def test_events_compare_by_value_and_cannot_be_changed() -> None:
    event = Closed(code=Code.IDLE, detail="", by_peer=False)
    assert event == Closed(code=Code.IDLE, detail="", by_peer=False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.detail = "x"  # type: ignore[misc]  # that it cannot be assigned is what is tested
