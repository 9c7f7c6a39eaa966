"""What a metric is: a name, a kind and a meaning, declared beside the value it is read from.

A field of a dataclass is a metric when it is annotated with a `Metric`. Names follow Prometheus: a prefix, base
units, `_total` for what only grows. The values of a label are listed here, never taken from what a peer says, so the
number of series is known before the first one is counted.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

OTHER: Final = "other"
"""Stands for every value of a label that is not listed."""


class Kind(Enum):
    """How a value behaves."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Label:
    """A way in which a value is split."""

    name: str
    values: tuple[str, ...]
    """All that can be; whatever else is counted goes to `OTHER`."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured value."""

    name: str
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()


class Histogram:
    """How often a value fell into each bucket. For one thread: the event loop's."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        """`bounds` are the upper ends of the buckets, rising; what is above the last is counted too."""
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    @property
    def sum(self) -> float:
        """Of all values."""
        return self._sum

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self._counts)

    def observe(self, value: float) -> None:
        """Count a value. One that is no number is passed over; a negative one, of a clock that was set, is nought."""
        if math.isfinite(value):
            value = max(0.0, value)
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def buckets(self) -> list[tuple[float, int]]:
        """For each bound, and infinity, how many values were not above it."""
        reached = 0
        found = []
        for bound, count in zip((*self._bounds, math.inf), self._counts, strict=True):
            reached += count
            found.append((bound, reached))
        return found


Key = str | tuple[str, ...]
Counted = Mapping[Key, float] | Mapping[str, int] | Mapping[tuple[str, ...], int]
"""Values by their labels: by a word where there is one label, by a tuple where there are more."""


def metrics_of(area: type[Any]) -> dict[str, Metric]:
    """The metrics of a dataclass, by field."""
    hints = get_type_hints(area, include_extras=True)
    found = {}
    for field in fields(area):
        hint = hints[field.name]
        if get_origin(hint) is Annotated:
            metric = next((one for one in get_args(hint)[1:] if isinstance(one, Metric)), None)
            if metric is not None:
                found[field.name] = metric
    return found


def combinations(labels: tuple[Label, ...]) -> Iterator[tuple[str, ...]]:
    """Every listed combination of the labels' values."""
    if not labels:
        yield ()
        return
    for value in labels[0].values:
        for rest in combinations(labels[1:]):
            yield (value, *rest)


def spread(metric: Metric, value: object) -> dict[tuple[str, ...], float]:
    """The values of a gauge or counter by their labels, listed combinations first and nought where nothing was counted.

    `value` is a number; for a metric with labels `Counted`, or the one word that is true now. Numbers that are not
    finite are left out.
    """
    if not metric.labels:
        return {(): float(value)} if isinstance(value, int | float) and math.isfinite(value) else {}
    found = dict.fromkeys(combinations(metric.labels), 0.0)
    counted: Mapping[Any, Any] = value if isinstance(value, Mapping) else {value: 1.0}
    for key, number in counted.items():
        words = key if isinstance(key, tuple) else (key,)
        if len(words) == len(metric.labels) and math.isfinite(number):
            named = tuple(
                word if word in label.values else OTHER
                for word, label in zip(words, metric.labels, strict=True)
            )
            found[named] = found.get(named, 0.0) + number
    return found
