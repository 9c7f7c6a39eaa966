"""A metric's series are known before anything is counted, and values fall where Prometheus looks for them."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.sight.declared import (
    OTHER,
    Histogram,
    Kind,
    Label,
    Metric,
    combinations,
    metrics_of,
    spread,
)

PLAIN = Metric("plain", Kind.GAUGE, "One number.")
COLOURED = Metric("coloured", Kind.COUNTER, "By colour.", (Label("colour", ("red", "blue")),))
BOTH = Metric("both", Kind.GAUGE, "By two.", (Label("colour", ("red", "blue")), Label("size", ("s", "l"))))
BOUNDS = (0.1, 1.0, 10.0)


@given(st.lists(st.floats(min_value=0, max_value=100)))
def test_a_bucket_counts_what_is_not_above_its_bound(values: list[float]) -> None:
    histogram = Histogram(BOUNDS)
    for value in values:
        histogram.observe(value)
    expected = [(bound, sum(value <= bound for value in values)) for bound in (*BOUNDS, math.inf)]
    assert histogram.buckets() == expected
    assert histogram.count == len(values)
    assert histogram.sum == pytest.approx(math.fsum(values))


def test_a_value_at_a_bound_is_in_its_bucket() -> None:
    histogram = Histogram(BOUNDS)
    histogram.observe(1.0)
    assert histogram.buckets()[bisect_left(BOUNDS, 1.0)] == (1.0, 1)
    assert histogram.buckets()[0] == (0.1, 0)


def test_what_is_no_number_is_passed_over_and_a_negative_time_is_nought() -> None:
    histogram = Histogram(BOUNDS)
    for value in (math.nan, math.inf, -math.inf):
        histogram.observe(value)
    assert histogram.count == 0
    histogram.observe(-5.0)
    assert (histogram.count, histogram.sum) == (1, 0.0)


def test_a_number_without_labels_stands_alone_and_only_if_it_is_finite() -> None:
    assert spread(PLAIN, 3) == {(): 3.0}
    assert spread(PLAIN, True) == {(): 1.0}
    assert spread(PLAIN, math.nan) == {}


def test_every_listed_value_is_there_from_the_start() -> None:
    assert spread(COLOURED, {}) == {("red",): 0.0, ("blue",): 0.0}
    assert spread(COLOURED, {"red": 2}) == {("red",): 2.0, ("blue",): 0.0}
    assert set(spread(BOTH, {("red", "l"): 1})) == set(combinations(BOTH.labels))


def test_one_word_is_the_one_that_is_true_now() -> None:
    assert spread(COLOURED, "blue") == {("red",): 0.0, ("blue",): 1.0}


@given(st.dictionaries(st.sampled_from(["red", "blue", "Red", "", "green\n", OTHER]), st.integers(0, 9)))
def test_whatever_is_counted_adds_one_series_at_the_most(counted: dict[str, int]) -> None:
    found = spread(COLOURED, counted)
    assert set(found) <= {("red",), ("blue",), (OTHER,)}
    assert sum(found.values()) == sum(counted.values())


def test_fields_without_a_metric_are_no_metrics() -> None:
    @dataclass
    class Area:
        number: Annotated[int, PLAIN]
        words: str = ""
        other: Annotated[int, "no metric"] = 0

    # Names of this function are not seen from outside it.
    Area.__annotations__ = {
        "number": Annotated[int, PLAIN],
        "words": str,
        "other": Annotated[int, "no metric"],
    }
    assert metrics_of(Area) == {"number": PLAIN}
