"""Parts that fail, hang, end and are cancelled, and others that must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest

from node import supervising
from node.errors import NodeError
from node.supervising import Part, PartGaveUp, PartState, PartStatus, RestartTerms, Supervisor
from tests.fakes.pools import until

QUICK = RestartTerms(first_pause_s=0.001, most_pause_s=0.002, failures=4, window_s=60.0)


class Worker:
    """A part that ends as it is told to, and otherwise runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.starts = 0
        self.ends = 0
        self.errors: list[BaseException] = []
        self.finish = asyncio.Event()
        self.stubborn = False
        self.let_go = asyncio.Event()

    @property
    def part(self) -> Part:
        return Part(name=self.name, run=self.run)

    async def run(self) -> None:
        self.starts += 1
        try:
            if self.errors:
                raise self.errors.pop(0)
            await self.finish.wait()
        finally:
            self.ends += 1
            while self.stubborn and not self.let_go.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.let_go.wait()


@contextlib.asynccontextmanager
async def running(supervisor: Supervisor) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(supervisor.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


def states(supervisor: Supervisor) -> list[PartState]:
    return [one.state for one in supervisor.status()]


async def test_a_part_that_fails_is_started_again_and_the_others_do_not_notice() -> None:
    weak, strong = Worker("link server"), Worker("dht")
    weak.errors = [NodeError("the port is gone", "wait"), ValueError("a defect")]
    supervisor = Supervisor([weak.part, strong.part], terms=QUICK)
    assert states(supervisor) == [PartState.STOPPED] * 2
    async with running(supervisor):
        await until(lambda: weak.starts == 3 and states(supervisor) == [PartState.RUNNING] * 2)
        assert (strong.starts, strong.ends) == (1, 0)
        assert supervisor.status()[0] == PartStatus(
            name="link server", state=PartState.RUNNING, failures=2, trouble="ValueError"
        )
    assert states(supervisor) == [PartState.STOPPED] * 2
    assert (weak.ends, strong.ends) == (3, 1)


async def test_a_part_that_fails_too_often_ends_the_process_with_the_cause() -> None:
    weak, strong = Worker("dht"), Worker("link server")
    last = NodeError("the network is gone", "plug it in")
    weak.errors = [ValueError(), ValueError(), ValueError(), last]
    supervisor = Supervisor([weak.part, strong.part], terms=QUICK)
    with pytest.raises(
        PartGaveUp, match=r"dht failed 4 times within 60 s.*the network is gone; plug it in"
    ) as caught:
        await supervisor.run()
    assert caught.value.__cause__ is last
    assert caught.value.part == "dht"
    assert states(supervisor) == [PartState.FAILED, PartState.STOPPED]
    assert strong.ends == strong.starts == 1


async def test_a_part_that_fails_now_and_then_is_no_reason_to_end() -> None:
    now = 0.0
    weak = Worker("dht")
    weak.errors = [ValueError() for _ in range(40)]

    def later() -> float:
        nonlocal now
        now += 11.0
        return now

    supervisor = Supervisor([weak.part], terms=QUICK, clock=later)
    async with running(supervisor) as task:
        await until(lambda: weak.starts == 41)
        assert not task.done()
        assert supervisor.status()[0].failures == 40


async def test_pauses_double_up_to_a_bound_and_begin_anew_after_a_good_while() -> None:
    now = 0.0
    weak = Worker("dht")
    terms = RestartTerms(first_pause_s=1, most_pause_s=5, failures=100, window_s=300)
    supervisor = Supervisor([weak.part], terms=terms, clock=lambda: now)
    one = supervisor._tended["dht"]
    pauses = []
    for _ in range(5):
        supervisor._note(one, ValueError(), 0.1)
        pauses.append(supervisor._pause_s(one))
    assert pauses == [1, 2, 4, 5, 5]
    supervisor._note(one, ValueError(), 301.0)
    assert supervisor._pause_s(one) == 1


async def test_parts_that_have_done_what_they_were_for_end_the_run() -> None:
    one, other = Worker("a"), Worker("b")
    supervisor = Supervisor([one.part, other.part], terms=QUICK)
    async with running(supervisor) as task:
        one.finish.set()
        await until(lambda: states(supervisor) == [PartState.DONE, PartState.RUNNING])
        assert not task.done()
        other.finish.set()
        async with asyncio.timeout(5):
            await task
    assert states(supervisor) == [PartState.DONE] * 2
    assert (one.starts, other.starts) == (1, 1)
    async with asyncio.timeout(5):
        await Supervisor([]).run()


async def test_a_part_that_cancels_itself_has_failed() -> None:
    weak = Worker("a")
    weak.errors = [asyncio.CancelledError()]
    supervisor = Supervisor([weak.part], terms=QUICK)
    async with running(supervisor) as task:
        await until(lambda: weak.starts == 2)
        assert not task.done()
        assert supervisor.status()[0].trouble == "CancelledError"


async def test_cancelling_ends_every_part_wherever_it_is() -> None:
    runs, waits = Worker("runs"), Worker("waits")
    waits.errors = [ValueError()]
    slow = RestartTerms(first_pause_s=1000, most_pause_s=1000)
    supervisor = Supervisor([runs.part, waits.part], terms=slow)
    async with running(supervisor) as task:
        await until(lambda: states(supervisor) == [PartState.RUNNING, PartState.RESTARTING])
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait({task})
        assert task.cancelled()
    assert states(supervisor) == [PartState.STOPPED] * 2
    assert runs.ends == 1
    assert waits.starts == 1


async def test_a_part_that_does_not_end_is_left_behind_and_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervising, "END_TIMEOUT_S", 0.01)
    stuck, other = Worker("stuck"), Worker("other")
    stuck.stubborn = True
    supervisor = Supervisor([stuck.part, other.part], terms=QUICK)
    async with running(supervisor) as task:
        await until(lambda: stuck.starts == other.starts == 1)
        task.cancel()
        async with asyncio.timeout(5):
            await asyncio.wait({task})
    assert "stuck does not end" in caplog.text
    assert other.ends == 1
    stuck.let_go.set()
    await until(lambda: not supervisor._left_behind)


async def test_a_part_that_fails_while_it_ends_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    class Untidy(Worker):
        async def run(self) -> None:
            try:
                await super().run()
            finally:
                raise ValueError("spilled")

    untidy = Untidy("untidy")
    supervisor = Supervisor([untidy.part], terms=QUICK)
    async with running(supervisor):
        await until(lambda: untidy.starts == 1)
    assert "untidy failed while it ended" in caplog.text


async def test_a_defect_is_logged_once_with_its_place_and_later_in_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    weak = Worker("dht")
    weak.errors = [ValueError("secret words") for _ in range(3)]
    changes: list[PartState] = []
    supervisor = Supervisor([weak.part], terms=QUICK, on_change=lambda one: changes.append(one.state))
    with caplog.at_level(logging.ERROR):
        async with running(supervisor):
            await until(lambda: weak.starts == 4)
    assert [record.exc_info is not None for record in caplog.records] == [True, False, False]
    assert "secret words" not in "".join(record.getMessage() for record in caplog.records)
    assert changes[:3] == [PartState.RUNNING, PartState.RESTARTING, PartState.RUNNING]
    assert changes[-1] is PartState.STOPPED


async def test_an_error_for_people_is_logged_in_its_words(caplog: pytest.LogCaptureFixture) -> None:
    weak = Worker("dht")
    weak.errors = [NodeError("the port is gone", "choose another")]
    supervisor = Supervisor([weak.part], terms=QUICK)
    async with running(supervisor):
        await until(lambda: weak.starts == 2)
    assert [record.getMessage() for record in caplog.records] == [
        "dht failed: the port is gone; choose another"
    ]
    assert supervisor.status()[0].trouble == "the port is gone"


async def test_known_defects_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "MAX_KNOWN_DEFECTS", 1)
    supervisor = Supervisor([])
    for error in (ValueError(), TypeError(), ValueError()):
        supervisor._report("a", "failed", error)
        assert len(supervisor._known_defects) == 1


async def test_two_parts_of_one_name_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="one name"):
        Supervisor([Worker("a").part, Worker("a").part])
