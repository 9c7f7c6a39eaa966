"""Compares a chain of real processes with the whole model in this one, token for token.

    python -m scripts.bench.exact                       # pocket model, 200 prompts x 64 tokens, greedy and T=0.8
    python -m scripts.bench.exact --prompts 20 --json

Hosts are `lamella-node` processes on loopback, in float32; several clients ask at once, so sessions interleave at every
host. Prompts are questions the pocket model was and was not trained on, cut and mixed from a fixed seed; the model's
own end of an answer is ignored, so that every answer has all its tokens. Exits with 1 when any token differs.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

from chat.client import Client
from chat.driver import ClientOptions
from chat.session import AnswerOptions, AnswerSession
from node.slices import threads
from node.store import checkpoint
from scripts.bench import daemons, options
from wire.contacts import Contact
from wire.types import LayerRange, Sampling

RANGES = ("2:9", "9:17", "17:24")
"""Uneven on purpose; the client keeps the layers before."""
FRONT_LAYERS = 2
SEEDED = Sampling(temperature=0.8, seed=20_261_120)
GREEDY = Sampling()
_CLIENTS = 3
_WORDS = (
    "what is the capital of", "squared", "plus", "minus", "times", "hello", "who are you", "lamella", "why",
    "tell me about", "the colour of", "france", "snow", "monday", "12", "7", "93", "45", "green", "a poem on",
    "days in a week", "thanks", "=", "?",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was compared, and what differed."""

    prompts: int
    tokens_each: int
    tokens_compared: int
    answers_that_differ: int
    first_difference: str
    chain_s: float
    whole_s: float


class _NoText:
    """Only ids are compared."""

    def feed(self, token: int) -> str:
        return ""

    def finish(self) -> str:
        return ""


def questions(count: int, seed: int = 7) -> list[str]:
    """Questions of many lengths, from a fixed seed."""
    source = random.Random(seed)
    return [" ".join(source.choices(_WORDS, k=source.randint(1, 24))) for _ in range(count)]


async def chain_answers(
    contacts: tuple[Contact, ...],
    prompts: Sequence[list[int]],
    tokens: int,
    sampling: Sampling,
    scratch: Path,
) -> list[list[int]]:
    """Answer every prompt over the chain, `_CLIENTS` at a time."""
    answers: list[list[int]] = [[] for _ in prompts]
    todo = list(range(len(prompts)))[::-1]

    async def work(number: int) -> None:
        client = Client(
            ClientOptions(
                model=checkpoint.POCKET,
                contacts=contacts,
                front_layers=FRONT_LAYERS,
                sampling=sampling,
                dtype="float32",
                threads=1,
                identity_file=scratch / f"client-{number}",
            )
        )
        try:
            await client.start(lambda _: None)
            while todo:
                index = todo.pop()
                answers[index] = await _ask(client.session, prompts[index], tokens, sampling)
        finally:
            await client.close()

    async with asyncio.TaskGroup() as group:
        for number in range(_CLIENTS):
            group.create_task(work(number))
    return answers


async def _ask(session: AnswerSession, ids: list[int], tokens: int, sampling: Sampling) -> list[int]:
    await session.close()
    options = AnswerOptions(
        stop_ids=frozenset(), max_tokens=tokens, positions=len(ids) + tokens, sampling=sampling
    )
    async for _ in session.answer(ids, _NoText(), options):
        pass
    return list(session.answered)


def whole_answers(prompts: Sequence[list[int]], tokens: int, sampling: Sampling) -> list[list[int]]:
    """Answer every prompt with the whole model in this process."""
    from node.slices import sampling as sampler
    from node.slices import tensors
    from node.slices.facts import read_facts
    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec, Want

    folder = checkpoint.resolve(checkpoint.POCKET)
    layers = LayerRange(0, read_facts(folder).num_layers)
    whole = load_slice(SliceSpec(checkpoint=folder, layers=layers, embed=True, head=True, dtype="float32"))
    answers = []
    for prompt in prompts:
        cache = whole.new_cache(layers)
        given: list[int] = prompt
        answer: list[int] = []
        while len(answer) < tokens:
            logits = whole.forward(
                tensors.from_ids(given), cache=cache, position=cache.length, want=Want.LOGITS
            )
            answer.append(sampler.draw(tensors.to_numpy(logits), sampling, cache.length))
            given = [answer[-1]]
        answers.append(answer)
    return answers


def compare(count: int, tokens: int, *, progress: bool = False) -> Comparison:
    """Run both sides over `count` prompts, greedy and seeded."""
    threads.prepare(1)
    import uvloop

    from chat.template import Message
    from chat.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(checkpoint.resolve(checkpoint.POCKET))
    asked = questions(count)
    prompts = [
        tokenizer.encode(tokenizer.render([Message("user", text)], add_generation_prompt=True))
        for text in asked
    ]
    chain_s = whole_s = 0.0
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="lamella-exact-") as scratch:
        hosts = daemons.running(checkpoint.POCKET, RANGES, dtype="float32", threads=1)
        with hosts as contacts, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            for sampling in (GREEDY, SEEDED):
                started = perf_counter()
                got = runner.run(chain_answers(contacts, prompts, tokens, sampling, Path(scratch)))
                chain_s += perf_counter() - started
                started = perf_counter()
                want = whole_answers(prompts, tokens, sampling)
                whole_s += perf_counter() - started
                for text, ours, theirs in zip(asked, got, want, strict=True):
                    if ours != theirs:
                        at = next(
                            (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), -1
                        )
                        wrong.append(f"T={sampling.temperature:g}, {text!r}: token {at} of {len(theirs)}")
                if progress:
                    print(f"T={sampling.temperature:g}: {count} answers compared", file=sys.stderr)
    return Comparison(
        prompts=count,
        tokens_each=tokens,
        tokens_compared=2 * count * tokens,
        answers_that_differ=len(wrong),
        first_difference=wrong[0] if wrong else "",
        chain_s=chain_s,
        whole_s=whole_s,
    )


def main() -> int:
    """Compare and print. Returns the exit code."""
    parser = options.parser(__doc__)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=64)
    arguments = parser.parse_args()
    result = compare(arguments.prompts, arguments.tokens, progress=True)
    if arguments.json:
        print(json.dumps(asdict(result)))
    else:
        print(
            f"{result.prompts} prompts x {result.tokens_each} tokens, greedy and T={SEEDED.temperature:g}: "
            f"{result.tokens_compared} tokens compared, {result.answers_that_differ} answers differ "
            f"(chain {result.chain_s:.0f} s, whole {result.whole_s:.0f} s)"
        )
        if result.first_difference:
            print(f"first difference: {result.first_difference}")
    return 1 if result.answers_that_differ else 0


if __name__ == "__main__":
    sys.exit(main())
