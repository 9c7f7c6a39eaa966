"""An interrupt ends the program in the same way from its first moment."""

from __future__ import annotations

from tests.fakes import starting


def test_an_interrupt_while_its_parts_are_read_is_told_by_the_exit_code_alone() -> None:
    assert starting.interrupted("node") == (130, "", "")


def test_otherwise_it_is_the_program() -> None:
    code, out, err = starting.helping("node")
    assert (code, err) == (0, "")
    assert "exit codes:" in out
