from __future__ import annotations

import pytest

from node.store.rates import RateMeter


def test_a_meter_knows_nothing_until_bytes_have_come() -> None:
    meter = RateMeter()
    meter.busy(0.0, busy=True)
    assert meter.rate(5.0) is None


def test_a_steady_stream_is_measured_as_what_it_is() -> None:
    meter = RateMeter()
    meter.busy(0.0, busy=True)
    for tick in range(1, 200):
        meter.add(100, tick / 10)
    assert meter.rate(19.9) == pytest.approx(1000, rel=0.05)


def test_idle_time_does_not_count() -> None:
    meter = RateMeter()
    meter.busy(0.0, busy=True)
    meter.add(1000, 1.0)
    meter.busy(1.0, busy=False)
    before = meter.rate(1.0)
    assert meter.rate(1000.0) == before


def test_a_source_that_slows_down_is_soon_measured_as_slow() -> None:
    meter = RateMeter(memory_s=3.0)
    meter.busy(0.0, busy=True)
    for tick in range(1, 101):
        meter.add(1000, tick / 10)
    for tick in range(1, 101):
        meter.add(10, 10 + tick / 10)
    rate = meter.rate(20.0)
    assert rate is not None
    assert rate < 500


def test_silence_lowers_a_rate() -> None:
    meter = RateMeter()
    meter.busy(0.0, busy=True)
    meter.add(1000, 1.0)
    before, after = meter.rate(1.0), meter.rate(10.0)
    assert before is not None
    assert after is not None
    assert after < before / 5
