"""Each refusal keeps its code and says what to do next."""

from __future__ import annotations

from node.relay.errors import CircuitRefused, ReservationRefused
from wire.codes import Code


def test_a_refusal_keeps_its_code() -> None:
    for kind in (CircuitRefused, ReservationRefused):
        error = kind(Code.RELAY_FULL, "the relay is full", "choose another relay")
        assert error.code == Code.RELAY_FULL
        assert str(error) == "the relay is full; choose another relay"
