"""No check stops the others: not one that raises, not one that hangs, not one that blocks its thread for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest

from node.doctor.examining import aside, examine, has_problem
from node.doctor.finding import Check, Examined, Finding, Verdict, ok
from node.errors import NodeError


async def fine() -> Finding:
    return ok("fine")


async def told() -> Finding:
    raise NodeError("it is broken", "mend it")


async def crashes() -> Finding:
    raise KeyError("x")


async def hangs() -> Finding:
    await asyncio.Event().wait()
    raise AssertionError


async def test_every_check_is_made_whatever_the_others_do() -> None:
    made = [
        Check(name="a", look=told),
        Check(name="b", look=crashes),
        Check(name="c", look=hangs, timeout_s=0.05),
        Check(name="d", look=fine),
    ]
    found = await examine(made)
    verdicts = [(one.name, one.finding.verdict) for one in found]
    assert verdicts == [
        ("a", Verdict.PROBLEM), ("b", Verdict.WARNING), ("c", Verdict.WARNING), ("d", Verdict.OK)
    ]  # fmt: skip
    assert (found[0].finding.found, found[0].finding.fix) == ("it is broken", "mend it")
    assert "KeyError" in found[1].finding.found
    assert "within 0.05 s" in found[2].finding.found
    assert all(one.finding.fix for one in found[:3])
    assert has_problem(found)
    assert not has_problem(found[1:])


async def test_progress_is_told_before_and_after_each_check() -> None:
    said: list[tuple[str, float, bool]] = []

    def note(name: str, part: float, done: Examined | None) -> None:
        said.append((name, part, done is not None))

    await examine([Check(name="a", look=fine), Check(name="b", look=fine)], note)
    assert said == [("a", 0.0, False), ("a", 0.5, True), ("b", 0.5, False), ("b", 1.0, True)]


async def test_a_thread_that_blocks_is_left_behind_in_time() -> None:
    stuck = threading.Event()

    async def blocked() -> Finding:
        await aside(lambda: stuck.wait(60))
        return ok("late")

    try:
        async with asyncio.timeout(10):
            (found,) = await examine([Check(name="disk", look=blocked, timeout_s=0.05)])
        assert found.finding.verdict is Verdict.WARNING
        (left,) = [one for one in threading.enumerate() if one.name == "lamella-check"]
        assert left.daemon
    finally:
        stuck.set()


async def test_what_a_thread_raises_reaches_whoever_waits() -> None:
    def fail() -> None:
        raise OSError(5, "no disk")

    with pytest.raises(OSError, match="no disk"):
        await aside(fail)
    assert await aside(lambda: 7) == 7


async def test_a_cancelled_examination_makes_no_further_check() -> None:
    begun = asyncio.Event()
    made: list[str] = []

    async def long() -> Finding:
        begun.set()
        return await hangs()

    async def next_one() -> Finding:
        made.append("next")
        return ok("")

    task = asyncio.create_task(examine([Check(name="a", look=long), Check(name="b", look=next_one)]))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made == []
