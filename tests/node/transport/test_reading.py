"""How much is read at once, and when nothing is."""

from __future__ import annotations

import asyncio

from node.transport.reading import BITE_BYTES, CROWD_MESSAGES, READ_BUFFER_BYTES, Reading
from tests.node.transport.test_pace import HandGate


class Held(asyncio.Transport):
    """A transport that remembers when it was told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")


def reading(gate: HandGate | None = None) -> tuple[Reading, Held]:
    made, transport = Reading(gate), Held()
    made.begin(transport)
    return made, transport


def test_a_read_is_as_large_as_the_buffer_and_lands_in_it() -> None:
    made, transport = reading()
    space = made.space()
    assert len(space) == READ_BUFFER_BYTES
    space[:3] = b"abc"
    assert bytes(made.filled(3)) == b"abc"
    made.count(3, CROWD_MESSAGES)
    assert len(made.space()) == READ_BUFFER_BYTES
    assert transport.told == []


def test_who_sends_crowds_is_read_in_bites_until_they_end() -> None:
    made, _ = reading()
    made.count(READ_BUFFER_BYTES, CROWD_MESSAGES + 1)
    assert len(made.space()) == BITE_BYTES
    sizes = []
    while len(made.space()) < READ_BUFFER_BYTES:
        made.count(1, 1)
        sizes.append(len(made.space()))
    assert sizes == [BITE_BYTES << n for n in range(1, len(sizes) + 1)]
    made.count(BITE_BYTES, CROWD_MESSAGES + 1)
    assert len(made.space()) == BITE_BYTES


def test_a_link_that_is_behind_is_not_read_and_is_told_so_once() -> None:
    made, transport = reading()
    made.hold(behind=False)
    made.hold(behind=True)
    made.hold(behind=True)
    assert transport.told == ["pause"]
    made.hold(behind=False)
    made.hold(behind=False)
    assert transport.told == ["pause", "resume"]


def test_both_a_limit_and_the_link_must_let_it_go_on() -> None:
    gate = HandGate()
    made, transport = reading(gate)
    assert len(made.space()) == gate.quantum_bytes
    gate.open = False
    made.count(gate.quantum_bytes, 1)
    made.hold(behind=True)
    (turn,) = gate.turns
    turn()
    assert transport.told == ["pause"]
    made.hold(behind=False)
    assert transport.told == ["pause", "resume"]
    assert gate.spent == [gate.quantum_bytes]
    made.count(gate.quantum_bytes, 1)
    made.hold(behind=True)
    made.hold(behind=False)
    assert transport.told == ["pause", "resume", "pause"]


def test_nothing_is_asked_of_a_transport_that_closes_or_is_gone() -> None:
    made, transport = reading()
    transport.closing = True
    made.hold(behind=True)
    transport.closing = False
    made.end()
    made.hold(behind=True)
    made.hold(behind=False)
    assert transport.told == []
