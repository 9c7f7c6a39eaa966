from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.patience import Patience, patiently
from node.store.source import SourceFailed


class Naps:
    """Sleeps that take no time and are counted."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


class Work:
    """Fails as often as it is told, then answers."""

    def __init__(self, *asked: float | None) -> None:
        self.asked = list(asked)
        self.attempts = 0

    async def __call__(self) -> str:
        self.attempts += 1
        if self.asked:
            raise SourceFailed("it failed", "wait", retry_after_s=self.asked.pop(0))
        return "done"


async def test_what_passes_by_itself_is_asked_again_after_waits_that_double() -> None:
    naps = Naps()
    work = Work(0, 0, 0)
    assert await patiently(work, Patience(jitter=lambda: 1.0, sleep=naps)) == "done"
    assert (work.attempts, naps.taken) == (4, [1.0, 2.0, 4.0])


async def test_a_longer_wait_that_was_asked_for_is_kept() -> None:
    naps = Naps()
    await patiently(Work(7.0, 1.5), Patience(jitter=lambda: 1.0, sleep=naps))
    assert naps.taken == [7.0, 2.0]


async def test_what_will_not_pass_is_told_at_once() -> None:
    naps = Naps()
    work = Work(None)
    with pytest.raises(SourceFailed):
        await patiently(work, Patience(sleep=naps))
    assert (work.attempts, naps.taken) == (1, [])


async def test_there_is_an_end_to_it() -> None:
    naps = Naps()
    work = Work(*[0.0] * 9)
    with pytest.raises(SourceFailed):
        await patiently(work, Patience(attempts=3, sleep=naps))
    assert (work.attempts, len(naps.taken)) == (3, 2)


@given(st.integers(1, 10_000), st.floats(0, 1), st.floats(0, 300))
def test_a_wait_is_never_shorter_than_asked_nor_longer_than_its_bound(
    failures: int, chance: float, asked: float
) -> None:
    wait = Patience(jitter=lambda: chance).wait_s(failures, asked)
    assert max(asked, 0.5) <= wait <= max(asked, 30.0)
