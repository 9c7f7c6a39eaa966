from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.throttle import Throttle


class Clock:
    """A clock that moves when somebody sleeps by it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_bytes_take_the_time_that_the_rate_gives_them() -> None:
    clock = Clock()
    throttle = Throttle(1000, clock=clock, sleep=clock.sleep)
    for _ in range(50):
        await throttle.take(100)
    assert clock.now - 100 == pytest.approx(5.0, abs=0.11)


async def test_time_that_was_not_used_is_not_saved_up() -> None:
    clock = Clock()
    throttle = Throttle(1000, clock=clock, sleep=clock.sleep)
    clock.now += 3600
    await throttle.take(1100)
    assert clock.now - 3700 == pytest.approx(1.0)


async def test_without_a_cap_nobody_waits() -> None:
    clock = Clock()
    await Throttle(clock=clock, sleep=clock.sleep).take(1 << 40)
    assert clock.now == 100.0


@given(st.lists(st.integers(1, 10_000), max_size=50), st.lists(st.floats(0, 5), min_size=50, max_size=50))
async def test_over_any_time_no_more_than_the_rate_comes_through(
    sizes: list[int], pauses: list[float]
) -> None:
    clock = Clock()
    throttle = Throttle(1000, clock=clock, sleep=clock.sleep)
    for size, pause in zip(sizes, pauses, strict=False):
        clock.now += pause
        await throttle.take(size)
    assert sum(sizes) <= 1000 * (clock.now - 100 + 0.1) + 1e-3
