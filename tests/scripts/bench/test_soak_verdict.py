"""A soak is passed only when nothing is wrong, nothing is kept and memory has stopped to grow."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from scripts.bench.sampling import Sample
from scripts.bench.soak_verdict import Found, as_record, as_text, growth, missed

MB = 1 << 20
REST = Sample(
    at_s=0.0,
    resident_bytes=300 * MB,
    own_bytes=200 * MB,
    files=20,
    threads=8,
    tasks=30,
    links=1,
    sessions=0,
    kv_bytes=0,
)
PASSED = Found(
    seconds=100.0,
    counts=Counter(answered=50, came=9),
    wrong=(),
    failed=(),
    baseline=(REST, REST),
    samples=((REST,) * 100, (REST,) * 100),
    after=(REST, replace(REST, threads=9, resident_bytes=310 * MB)),
)


def rising(count: int, share: float) -> tuple[Sample, ...]:
    return tuple(
        replace(REST, own_bytes=int(REST.own_bytes * (1 + share * index / count))) for index in range(count)
    )


def test_a_soak_that_leaves_nothing_is_passed() -> None:
    assert missed(PASSED) == []
    assert as_record(PASSED)["missed"] == []
    assert "MISSED" not in as_text(PASSED)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (replace(PASSED, wrong=("[1] instead of [2]",)), "an answer was wrong"),
        (replace(PASSED, failed=("Refused: full", "Refused: full")), "2 answers failed: Refused: full"),
        (replace(PASSED, counts=Counter(came=1)), "no answer was finished"),
        (replace(PASSED, after=(replace(REST, sessions=1), REST)), "host 0 kept 1 sessions"),
        (replace(PASSED, after=(REST, replace(REST, files=21))), "host 1 kept 21 files where there were 20"),
        (replace(PASSED, after=(REST, replace(REST, tasks=31))), "31 tasks"),
        (replace(PASSED, after=(REST, replace(REST, links=2))), "2 links"),
        (replace(PASSED, after=(REST, replace(REST, kv_bytes=4))), "4 kv_bytes"),
        (replace(PASSED, samples=((REST,) * 100, rising(100, 0.1))), "host 1's memory of its own grew"),
    ],
)
def test_whatever_is_amiss_is_told(found: Found, words: str) -> None:
    (told,) = missed(found)
    assert words in told
    assert f"MISSED: {told}" in as_text(found)
    assert as_record(found)["missed"] == [told]


def test_growth_while_warming_up_and_single_peaks_do_not_count() -> None:
    assert growth([1, 50, 100, 100, 100, 100, 900, 100, 100, 100]) == 0.0
    assert growth([100] * 60 + [103] * 40) == pytest.approx(0.03)
    assert growth([1, 2, 3]) is None


def test_growth_is_no_bar_where_it_is_not_judged_or_seen_too_rarely() -> None:
    grown = replace(PASSED, samples=((REST,) * 100, rising(100, 0.5)))
    assert missed(grown)
    assert missed(replace(grown, judges_growth=False)) == []
    assert missed(replace(PASSED, samples=((REST,) * 20, rising(20, 0.5)))) == []
