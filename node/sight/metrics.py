"""The host's metrics as Prometheus reads them, and by name for the control socket. Collected when asked for.

The text is made by `prometheus_client`, into a registry of our own; its global one is not used, its threads and
servers are not started. Importing it takes some 80 ms, so this module is imported when metrics are first wanted.

Call from the event loop: what is counted is not locked.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from node.sight.declared import Histogram, Kind, Metric, metrics_of, spread
from node.sight.facts import (
    DhtFacts,
    Facts,
    HostingFacts,
    LinkFacts,
    LogFacts,
    MemoryFacts,
    PulseFacts,
    RateFacts,
    RelayFacts,
    SessionFacts,
    WeightFacts,
)
from node.sight.tally import Tally

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
"""The one format that is spoken, which every Prometheus reads; nothing is negotiated."""
AREAS: Final = (
    HostingFacts,
    SessionFacts,
    Tally,
    MemoryFacts,
    LinkFacts,
    DhtFacts,
    WeightFacts,
    RateFacts,
    RelayFacts,
    PulseFacts,
    LogFacts,
)
"""Every kind of fact, in the order in which it is told."""
_DECLARED: Final = {area: metrics_of(area) for area in AREAS}
BUILD: Final = "lamella_build"
"""`_info` is put behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the values come from."""

    facts: Facts
    tally: Tally
    pulse: PulseFacts
    logs: Callable[[], LogFacts]


class Metrics(Collector):
    """All metrics of one host."""

    def __init__(self, sources: Sources, *, version: str, torch: str = "") -> None:
        """`version` is the program's, `torch` that of torch."""
        self._sources = sources
        self._build = {"version": version, "torch": torch, "python": platform.python_version()}
        # Without `auto_describe`: being registered collects nothing.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """All of it as text, of the type `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    def values(self) -> dict[str, float]:
        """Every value by its name, labels included; buckets of histograms are left out."""
        found = {}
        for family in self._registry.collect():
            for sample in family.samples:
                if not sample.name.endswith("_bucket"):
                    labels = ",".join(
                        f'{name}="{_escaped(value)}"' for name, value in sorted(sample.labels.items())
                    )
                    found[f"{sample.name}{{{labels}}}" if labels else sample.name] = float(sample.value)
        return found

    def collect(self) -> Iterator[Family]:
        """Ask for the facts; called by the registry."""
        yield InfoMetricFamily(BUILD, "What runs here.", value=self._build)
        for area in self._areas():
            if area is not None:
                yield from _families(area)

    def _areas(self) -> Iterator[Any]:
        facts = self._sources.facts
        yield from (facts.hosting(), facts.sessions(), self._sources.tally, facts.memory(), facts.links())
        yield from (facts.dht(), facts.weights(), facts.rates(), facts.relay())
        yield from (self._sources.pulse, self._sources.logs())


def _families(area: Any) -> Iterator[Family]:
    for name, metric in _DECLARED[type(area)].items():
        value = getattr(area, name)
        if value is not None:
            yield _histogram(metric, value) if isinstance(value, Histogram) else _plain(metric, value)


def _histogram(metric: Metric, value: Histogram) -> Family:
    buckets = [("+Inf" if bound == float("inf") else repr(bound), count) for bound, count in value.buckets()]
    return HistogramMetricFamily(metric.name, metric.help, buckets=buckets, sum_value=value.sum)


def _plain(metric: Metric, value: object) -> Family:
    labels = [label.name for label in metric.labels]
    family: CounterMetricFamily | GaugeMetricFamily
    if metric.kind is Kind.COUNTER:
        family = CounterMetricFamily(metric.name, metric.help, labels=labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=labels)
    for words, number in spread(metric, value).items():
        family.add_metric(words, number)
    return family


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
