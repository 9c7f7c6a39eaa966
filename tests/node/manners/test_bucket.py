from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.manners.bucket import Bucket


def test_a_burst_is_there_at_once_and_the_rate_afterwards() -> None:
    bucket = Bucket(10, 50, now=0.0)
    assert bucket.level(0.0) == 50
    bucket.spend(50, 0.0)
    assert bucket.level(0.0) == 0
    assert bucket.level(2.0) == pytest.approx(20)
    assert bucket.level(1000.0) == 50


def test_debt_is_paid_back_first() -> None:
    bucket = Bucket(10, 50, now=0.0)
    bucket.spend(150, 0.0)
    assert bucket.level(0.0) == -100
    assert bucket.wait_s(0, 0.0) == pytest.approx(10)
    assert bucket.wait_s(1_000_000, 0.0) == pytest.approx(15), "no more than the burst is ever there"
    assert bucket.level(10.0) == pytest.approx(0)


def test_a_clock_that_goes_back_gives_nothing_twice() -> None:
    bucket = Bucket(10, 50, now=100.0)
    bucket.spend(50, 100.0)
    assert bucket.level(50.0) == 0
    assert bucket.level(101.0) == pytest.approx(10)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (1, 0), (-1, 1)])
def test_a_bucket_of_nothing_cannot_be(rate: float, burst: float) -> None:
    with pytest.raises(ValueError, match="more than nothing"):
        Bucket(rate, burst, 0.0)


def test_other_terms_keep_debts_and_the_share_that_is_left() -> None:
    bucket = Bucket(10, 50, now=0.0)
    bucket.spend(25, 0.0)
    assert bucket.scaled(100, 500, 0.0).level(0.0) == pytest.approx(250)
    bucket.spend(125, 0.0)
    assert bucket.scaled(100, 500, 0.0).level(0.0) == pytest.approx(-100)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 100)), max_size=40))
def test_who_waits_for_a_level_never_gets_more_than_the_rate_and_a_burst(
    steps: list[tuple[float, float]],
) -> None:
    bucket, now, taken = Bucket(7, 30, now=0.0), 0.0, 0.0
    for pause, amount in steps:
        now += pause
        now += bucket.wait_s(amount, now)
        bucket.spend(amount, now)
        taken += amount
        # What was taken last may be more than there ever is at once; it is owed then.
        assert taken <= 30 + 7 * now + max(0.0, amount - 30) + 1e-6
