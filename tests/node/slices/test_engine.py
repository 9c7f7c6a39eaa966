"""The engine computes tokens together and chunks in turn, and what goes wrong with one step stays with it."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
import torch

from node.slices.compute import ComputeThread
from node.slices.engine import MOST_TOGETHER, StepEngine, Ticket
from node.slices.errors import BadInput, ComputeStopped, SliceError
from node.slices.load import load_slice
from node.slices.slice import Slice
from node.slices.spec import SliceSpec, Want
from node.slices.together import Step
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange


class Noting:
    """A slice that notes which steps came together; a step is its name."""

    def __init__(self) -> None:
        self.turns: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fails: dict[str, BaseException] = {}

    def forward_all(self, steps: Sequence[Any]) -> list[Any]:
        self.turns.append(list(steps))
        self.gate.wait(5)
        for one in steps:
            if one in self.fails and not isinstance(self.fails[one], SliceError):
                raise self.fails[one]
        return [self.fails.get(one, f"{one} computed") for one in steps]


class Named:
    """Work with a name."""

    def __init__(
        self, held: Noting, name: str, *, begin: Exception | None = None, end: Exception | None = None
    ):
        self.slice = cast(Slice, held)
        self.name = name
        self._begin = begin
        self._end = end

    def begin(self) -> Step:
        if self._begin is not None:
            raise self._begin
        return cast(Step, self.name)

    def finish(self, result: Any) -> Any:
        if self._end is not None:
            raise self._end
        return f"{result}, finished"


class Desk:
    """An engine, and what it answered."""

    def __init__(self, compute: ComputeThread) -> None:
        self.engine = StepEngine(compute)
        self.held = Noting()
        self.answers: dict[str, Any] = {}

    def submit(self, name: str, *, peer: str = "a", token: bool = True, **faults: Exception) -> Ticket:
        def done(answer: Any, error: BaseException | None) -> None:
            self.answers[name] = answer if error is None else error

        return self.engine.submit(Named(self.held, name, **faults), done, peer=peer, is_token=token)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.answers) < count:  # noqa: ASYNC110 - the answers come from another thread
                await asyncio.sleep(0.001)

    async def begun(self, turns: int) -> None:
        async with asyncio.timeout(5):
            while len(self.held.turns) < turns:  # noqa: ASYNC110 - the turns are on another thread
                await asyncio.sleep(0.001)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    compute = ComputeThread(1)
    compute.start()
    made = Desk(compute)
    try:
        yield made
    finally:
        made.held.gate.set()
        await compute.stop()


async def test_tokens_that_wait_are_computed_together_and_one_that_comes_later_in_the_next_turn(
    desk: Desk,
) -> None:
    desk.held.gate.clear()
    desk.submit("first")
    await desk.begun(1)
    for name in ("x", "y", "z"):
        desk.submit(name)
    desk.held.gate.set()
    await desk.until(4)
    assert desk.held.turns == [["first"], ["x", "y", "z"]]
    assert desk.answers["y"] == "y computed, finished"


async def test_tokens_and_chunks_alternate_and_peers_take_turns_with_chunks(desk: Desk) -> None:
    desk.held.gate.clear()
    desk.submit("first")
    await desk.begun(1)
    for name in ("a1", "a2", "a3"):
        desk.submit(name, peer="a", token=False)
    desk.submit("b1", peer="b", token=False)
    desk.submit("t1")
    desk.submit("t2")
    assert desk.engine.waiting == 6
    desk.held.gate.set()
    await desk.until(7)
    assert desk.held.turns == [["first"], ["a1"], ["t1", "t2"], ["b1"], ["a2"], ["a3"]]


async def test_no_more_than_a_bound_are_computed_together(desk: Desk) -> None:
    desk.held.gate.clear()
    desk.submit("first")
    await desk.begun(1)
    for index in range(MOST_TOGETHER + 3):
        desk.submit(f"{index}")
    desk.held.gate.set()
    await desk.until(MOST_TOGETHER + 4)
    assert [len(turn) for turn in desk.held.turns] == [1, MOST_TOGETHER, 3]


async def test_what_is_dropped_before_it_began_is_never_computed(desk: Desk) -> None:
    desk.held.gate.clear()
    desk.submit("first")
    await desk.begun(1)
    desk.submit("unwanted").drop()
    desk.submit("wanted")
    desk.held.gate.set()
    await desk.until(3)
    assert desk.held.turns == [["first"], ["wanted"]]
    assert isinstance(desk.answers["unwanted"], ComputeStopped)


async def test_an_error_stays_with_its_step(desk: Desk) -> None:
    desk.held.gate.clear()
    desk.submit("first")
    await desk.begun(1)
    desk.held.fails["slice"] = BadInput("its shape")
    desk.submit("begin", begin=ValueError("its bytes"))
    desk.submit("slice")
    desk.submit("finish", end=ValueError("its numbers"))
    desk.submit("fine")
    desk.held.gate.set()
    await desk.until(5)
    assert [str(desk.answers[name]) for name in ("begin", "slice", "finish")] == [
        "its bytes",
        "its shape",
        "its numbers",
    ]
    assert desk.answers["fine"] == "fine computed, finished"


async def test_a_defect_is_told_to_all_of_its_turn_and_the_next_turn_comes(desk: Desk) -> None:
    desk.held.fails["broken"] = ZeroDivisionError("a defect")
    desk.submit("broken")
    await desk.until(1)
    desk.submit("fine")
    await desk.until(2)
    assert isinstance(desk.answers["broken"], ZeroDivisionError)
    assert desk.answers["fine"] == "fine computed, finished"


async def test_steps_that_wait_when_the_thread_stops_are_told_so() -> None:
    compute = ComputeThread(1)
    compute.start()
    desk = Desk(compute)
    desk.held.gate.clear()
    desk.submit("first")
    await desk.begun(1)
    desk.submit("late")
    desk.submit("later", token=False)
    threading.Timer(0.05, desk.held.gate.set).start()
    await compute.stop()
    await desk.until(3)
    assert desk.answers["first"] == "first computed, finished"
    assert isinstance(desk.answers["late"], ComputeStopped)
    assert isinstance(desk.answers["later"], ComputeStopped)
    with pytest.raises(ComputeStopped):
        desk.submit("after")


class Greedy:
    """A session that answers a prompt with its likeliest tokens."""

    def __init__(self, held: Slice, prompt: Sequence[int]) -> None:
        self.slice = held
        self.cache = held.new_cache(held.spec.layers)
        self.prompt = prompt
        self.tokens = list(prompt)
        self.read = 0

    @property
    def made(self) -> list[int]:
        """What was answered."""
        return self.tokens[len(self.prompt) :]

    def begin(self) -> Step:
        ids = torch.tensor([self.tokens[self.read :]])
        return Step(ids, self.cache, self.read, Want.LOGITS)

    def finish(self, result: torch.Tensor) -> int:
        self.read = len(self.tokens)
        self.tokens.append(int(result.argmax()))
        return self.tokens[-1]


RECURRENT = ("jamba", "lfm2", "qwen3_next")
"""Their states carry the rounding of every earlier product, which depends on how many rows it had."""
TIE = 1e-4
"""Two tokens this near to each other, by the largest logit, may change places by that rounding."""


@pytest.mark.parametrize(
    "family", ["llama", "gemma3_text", "gpt_oss", "deepseek_v3", "qwen3_moe", *RECURRENT]
)
async def test_sessions_that_come_and_go_get_the_tokens_they_get_alone(tiny: TinyModels, family: str) -> None:
    folder = tiny(family)
    compute = ComputeThread(1)
    compute.start()
    spec = SliceSpec(checkpoint=folder, layers=LayerRange(0, 5), embed=True, head=True, dtype="float32")
    held = await compute.run(load_slice, spec)
    assert held.steps_together
    engine = StepEngine(compute)
    rng = random.Random(family)
    taken = Taken(compute)
    present: list[Greedy] = []
    ended: list[Greedy] = []
    joined = left = shared = 0
    try:
        while joined < 40 or present:
            while joined < 40 and len(present) < 8 and rng.random() < 0.6:
                present.append(Greedy(held, [rng.randrange(3, 131) for _ in range(rng.randrange(1, 24))]))
                joined += 1
            # Whoever takes part is queued before the engine can choose, so who is computed with whom is this test's.
            with taken:
                steps = [
                    engine_step(engine, one, peer=index % 3)
                    for index, one in enumerate(present)
                    if rng.random() < 0.8
                ]
            await asyncio.gather(*steps)
            shared += held.last_forward_was_shared
            for one in [one for one in present if len(one.made) >= 2 and rng.random() < 0.2]:
                present.remove(one)
                ended.append(one)
                left += 1
        ties = 0
        for one in ended:
            alone = Greedy(held, one.prompt)
            for token in one.made:
                step = alone.begin()
                logits = await compute.run(
                    held.forward, step.x, cache=step.cache, position=step.position, want=step.want
                )
                if alone.finish(logits) != token:
                    assert float(logits.max() - logits[token]) < TIE * float(logits.abs().max())
                    ties += 1
                    break
        assert ties <= (1 if family in RECURRENT else 0)
    finally:
        await compute.stop()
    assert joined == left == 40
    assert shared > 10


class Taken:
    """Keeps the compute thread busy for as long as it is entered."""

    def __init__(self, compute: ComputeThread) -> None:
        self._compute = compute
        self._over = threading.Event()

    def __enter__(self) -> None:
        self._over.clear()
        self._compute.submit(lambda: self._over.wait(30), lambda _answer, _error: None)

    def __exit__(self, *_: object) -> None:
        self._over.set()


def engine_step(engine: StepEngine, session: Greedy, *, peer: int) -> asyncio.Future[int]:
    """Submit the session's next step."""
    answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def done(answer: int, error: BaseException | None) -> None:
        answered.set_exception(error) if error else answered.set_result(answer)

    engine.submit(session, done, peer=peer, is_token=len(session.tokens) - session.read == 1)
    return answered
