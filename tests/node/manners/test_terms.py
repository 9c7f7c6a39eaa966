from __future__ import annotations

from typing import Any

import pytest

from node.manners.errors import TermOutOfBounds
from node.manners.hours import Hours
from node.manners.terms import LEAST_RATE_BYTES_PER_S, MannersTerms


def test_where_nothing_is_said_nothing_is_limited_and_nothing_looked_at() -> None:
    terms = MannersTerms()
    assert not terms.watches
    assert terms.upload_bytes_per_s is terms.download_bytes_per_s is terms.tokens_per_peer_per_hour is None


@pytest.mark.parametrize(
    "given", [{"hours": Hours.parse("22:00-07:00")}, {"pause_on_battery": True}, {"busy_above": 0.5}]
)
def test_what_changes_with_time_is_looked_at(given: dict[str, Any]) -> None:
    assert MannersTerms(**given).watches


@pytest.mark.parametrize(
    ("term", "wrong", "right"),
    [
        (
            "upload_bytes_per_s",
            [0, -1, LEAST_RATE_BYTES_PER_S - 1, float("nan"), float("inf")],
            [LEAST_RATE_BYTES_PER_S, 1e9],
        ),
        ("download_bytes_per_s", [1, 1e12, float("nan")], [1e6, None]),
        ("busy_above", [0, 1.1, 50, float("nan")], [0.05, 0.5, 1, None]),
        ("nice", [-1, 20], [0, 19]),
        ("sessions", [0, 257], [1, 256]),
        ("sessions_per_peer", [0, 1000], [1, 64]),
        ("tokens_per_peer_per_hour", [0, 99, 10**10], [100, 20_000, None]),
    ],
)
def test_a_limit_that_cannot_be_kept_is_refused_by_its_name(
    term: str, wrong: list[Any], right: list[Any]
) -> None:
    for value in right:
        assert getattr(MannersTerms(**{term: value}), term) == value
    for value in wrong:
        with pytest.raises(TermOutOfBounds, match=term) as caught:
            MannersTerms(**{term: value})
        assert caught.value.term == term
        assert "give from" in caught.value.next_step
