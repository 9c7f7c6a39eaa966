from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.rates import RateMeter, Throttle, TokenBucket


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


def test_a_burst_passes_at_once_and_then_the_rate_holds() -> None:
    bucket = TokenBucket(100, 50, now=0.0)
    assert bucket.wait_s(50, 0.0) == 0
    bucket.spend(50, 0.0)
    assert bucket.wait_s(10, 0.0) == pytest.approx(0.1)
    assert bucket.wait_s(10, 0.1) == pytest.approx(0.0)


def test_what_is_larger_than_the_burst_passes_and_is_paid_back() -> None:
    bucket = TokenBucket(100, 50, now=0.0)
    assert bucket.wait_s(500, 0.0) == 0
    bucket.spend(500, 0.0)
    assert bucket.wait_s(1, 0.0) == pytest.approx(4.51)


def test_idle_time_saves_up_no_more_than_the_burst() -> None:
    bucket = TokenBucket(100, 50, now=0.0)
    bucket.spend(50, 1000.0)
    assert bucket.wait_s(1, 1000.0) > 0


def test_what_was_not_used_is_given_back() -> None:
    bucket = TokenBucket(100, 50, now=0.0)
    bucket.spend(50, 0.0)
    bucket.spend(-50, 0.0)
    assert bucket.wait_s(50, 0.0) == 0


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_a_rate_of_nothing_is_refused(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="more than nothing"):
        TokenBucket(rate, burst, now=0.0)


@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 5)), min_size=1, max_size=50))
def test_no_order_of_requests_gets_more_than_rate_and_burst_and_one_request(
    asked: list[tuple[int, float]],
) -> None:
    bucket = TokenBucket(100, 50, now=0.0)
    now, passed = 0.0, 0
    for nbytes, pause_s in asked:
        now += pause_s + bucket.wait_s(nbytes, now + pause_s)
        bucket.spend(nbytes, now)
        passed += nbytes
        assert passed <= 50 + 100 * now + nbytes + 1e-6


async def test_waiters_pass_in_the_order_they_came_and_at_the_rate() -> None:
    loop = asyncio.get_running_loop()
    throttle = Throttle(10_000, 100, clock=loop.time)
    passed: list[int] = []

    async def take(number: int) -> None:
        await throttle.take(100)
        passed.append(number)

    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        for number in range(11):
            tasks.create_task(take(number))
    assert passed == list(range(11))
    assert loop.time() - began >= 0.09


async def test_a_waiter_that_is_cancelled_takes_nothing_and_blocks_nobody() -> None:
    clock = asyncio.get_running_loop().time
    throttle = Throttle(1, 100, clock=clock)
    await throttle.take(100)
    waiting = asyncio.create_task(throttle.take(100))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(20):
        # Of the second that the bucket needs for one byte, nothing went to who was cancelled.
        await throttle.take(1)
