"""Metrics are text that Prometheus' own parser reads, with a number of series that nothing a peer does can change."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import threading

import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from node.sight.declared import Kind, metrics_of
from node.sight.facts import LinkFacts, LogFacts, PulseFacts
from node.sight.metrics import AREAS, Metrics, Sources
from node.sight.tally import Tally
from tests.fakes.host_facts import HostFacts
from wire.codes import Code


class Scrape:
    """A host that was asked, and what it said."""

    def __init__(self) -> None:
        self.facts = HostFacts()
        self.tally = Tally()
        self.pulse = PulseFacts()
        self.log_facts = LogFacts(records={"info": 2})
        sources = Sources(facts=self.facts, tally=self.tally, pulse=self.pulse, logs=lambda: self.log_facts)
        self.metrics = Metrics(sources, version="0.1.0", torch='2.13"\\')

    def samples(self) -> dict[str, float]:
        """Every sample, read by the parser of Prometheus' client."""
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.metrics.render().decode()):
            for one in family.samples:
                name = one.name + "".join(f" {key}={value}" for key, value in sorted(one.labels.items()))
                assert name not in found, "each series is told once"
                found[name] = one.value
        return found


@pytest.fixture
def scrape() -> Scrape:
    return Scrape()


def test_what_the_host_says_is_told(scrape: Scrape) -> None:
    scrape.tally.session_opened()
    scrape.tally.session_refused(Code.NO_MEMORY)
    scrape.tally.step(is_prefill=False, positions=1, queue_us=0, compute_us=20_000)
    found = scrape.samples()
    expected = {
        "lamella_uptime_seconds": 12.5,
        "lamella_state state=serving": 1.0,
        "lamella_state state=paused": 0.0,
        "lamella_slices state=serving": 1.0,
        "lamella_sessions_open": 4.0,
        "lamella_sessions_opened_total": 1.0,
        f"lamella_sessions_refused_total code={Code.NO_MEMORY.text}": 1.0,
        f"lamella_sessions_refused_total code={Code.DRAINING.text}": 0.0,
        "lamella_tokens_total phase=decode": 1.0,
        "lamella_step_compute_seconds_count": 1.0,
        "lamella_step_compute_seconds_sum": 0.02,
        "lamella_step_compute_seconds_bucket le=0.01": 0.0,
        "lamella_step_compute_seconds_bucket le=0.025": 1.0,
        "lamella_step_compute_seconds_bucket le=+Inf": 1.0,
        "lamella_weight_bytes": float(1 << 33),
        "lamella_links direction=inbound road=direct": 3.0,
        "lamella_links direction=outbound road=direct": 0.0,
        "lamella_dht_requests_lost_total": 2.0,
        "lamella_weights_fetched_bytes_total source=hub": 20.0,
        "lamella_healthy": 1.0,
        "lamella_log_records_total level=info": 2.0,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_what_runs_is_told_with_any_characters(scrape: Scrape) -> None:
    (build,) = (name for name in scrape.samples() if name.startswith("lamella_build_info"))
    assert "version=0.1.0" in build
    assert 'torch=2.13"\\' in build


def test_the_process_is_told(scrape: Scrape) -> None:
    found = scrape.samples()
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert found["process_cpu_seconds_total"] > 0
    before = found["process_open_fds"]
    read, write = os.pipe()
    try:
        assert scrape.samples()["process_open_fds"] == before + 2
    finally:
        os.close(read)
        os.close(write)


def test_parts_that_are_off_are_left_out(scrape: Scrape) -> None:
    assert "lamella_dht_contacts" in scrape.samples()
    scrape.facts.dht_facts = None
    found = scrape.samples()
    assert not [name for name in found if name.startswith(("lamella_dht", "lamella_relay"))]
    assert "lamella_link_round_trip_max_seconds" not in found


def test_the_number_of_series_does_not_depend_on_what_happens(scrape: Scrape) -> None:
    before = set(scrape.samples())
    for code in Code:
        scrape.tally.session_refused(code)
        scrape.tally.session_ended(code)
        scrape.tally.link_ended(code, established=True)
        scrape.tally.link_ended(code, established=False)
    scrape.facts.link_facts = LinkFacts(open={(f"peer {number}", "direct"): 1 for number in range(500)})
    scrape.facts.slices = {f"slice {number}": 1 for number in range(500)}
    new = set(scrape.samples()) - before
    assert len(before) < 400
    assert all("=other" in name for name in new)
    assert len(new) <= 8


def test_a_value_that_is_no_number_is_left_out(scrape: Scrape) -> None:
    scrape.facts.link_facts = LinkFacts(round_trip_max_s=math.nan, round_trip_median_s=0.5)
    found = scrape.samples()
    assert found["lamella_link_round_trip_median_seconds"] == 0.5
    assert "lamella_link_round_trip_max_seconds" not in found
    assert all(math.isfinite(value) for value in scrape.metrics.values().values())


def test_values_are_those_of_the_text_without_buckets(scrape: Scrape) -> None:
    values = scrape.metrics.values()
    assert values['lamella_state{state="serving"}'] == 1.0
    assert values['lamella_links{direction="inbound",road="direct"}'] == 3.0
    assert values["lamella_step_compute_seconds_count"] == 0.0
    assert not [name for name in values if "_bucket" in name]
    text = scrape.metrics.render().decode()
    steady = [name for name in values if not name.startswith("process_")]
    assert [name for name in steady if f"\n{name} " not in text] == []


def test_names_follow_the_conventions_and_each_has_a_help() -> None:
    seen = set()
    for area in AREAS:
        for metric in metrics_of(area).values():
            assert re.fullmatch(r"lamella_[a-z]+(_[a-z]+)*", metric.name)
            assert metric.name not in seen
            assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
            assert not metric.name.endswith(("_us", "_ms", "_s", "_kib", "_mib")), metric.name
            assert metric.help.endswith(".")
            assert "\n" not in metric.help
            seen.add(metric.name)


def test_nothing_enters_the_registry_of_the_process_and_no_thread_is_started() -> None:
    threads = threading.active_count()
    before = {family.name for family in REGISTRY.collect()}
    Scrape().samples()
    assert {family.name for family in REGISTRY.collect()} == before
    assert threading.active_count() == threads


def test_the_rest_of_sight_does_not_import_the_library() -> None:
    code = (
        "import sys, node.sight.http, node.sight.logs, node.sight.watch, node.sight.tally;"
        "sys.exit('prometheus_client' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
