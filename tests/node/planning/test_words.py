"""The sentences of a plan."""

from __future__ import annotations

import math

from node.planning import words
from wire.tensors import WeightFormat


def test_sizes_are_in_the_units_of_the_file_of_machines() -> None:
    assert [words.gb(size) for size in (3 << 29, 640 << 20, 1)] == ["1.5G", "640M", "1M"]


def test_the_format_is_told_with_those_that_do_not_fit() -> None:
    native, int8, int4 = WeightFormat.NATIVE, WeightFormat.INT8, WeightFormat.INT4_32
    assert words.format_reason(native, [], None) == "native weights fit"
    assert words.format_reason(int4, [native, int8], None) == (
        "int4-32 weights, since native and int8 do not fit"
    )
    assert words.format_reason(int8, [], int8) == "int8 weights were asked for and fit"


def test_a_choice_says_whether_everything_was_looked_at() -> None:
    assert words.choice_reason(2, 3, exact=True).startswith("2 of 3 hosts: the least time a token over every")
    assert "search of the likeliest" in words.choice_reason(2, 30, exact=False)
    assert words.choice_reason(1, 1, exact=True).startswith("the one host")
    assert "client alone" in words.choice_reason(0, 2, exact=True)


def test_a_machine_that_is_left_out_learns_why() -> None:
    assert words.left_out(0.05, 0.0612, holds_any=True) == (
        "with it a token would take 61.2 ms instead of 50.0"
    )
    assert "one layer" in words.left_out(0.05, None, holds_any=False)
    assert "no faster way" in words.left_out(0.05, None, holds_any=True)
    assert "too little to do" in words.left_out(0.05, math.inf, holds_any=True)
