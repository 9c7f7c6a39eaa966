"""Errors say what would help."""

from __future__ import annotations

from node.planning.errors import NoPlan


def test_what_is_missing_is_a_number_where_it_is_known() -> None:
    error = NoPlan("it does not fit", "add a machine", missing_bytes=7)
    assert (str(error), error.missing_bytes) == ("it does not fit; add a machine", 7)
    assert NoPlan("it does not fit", "add a machine").missing_bytes is None
