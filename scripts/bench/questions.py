"""Questions in token ids and what the whole model answers them, against which answers of a swarm are compared."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scripts.bench.forked import Tell
from wire.types import LayerRange, Sampling

if TYPE_CHECKING:
    from node.slices.slice import Slice

GREEDY: Final = Sampling()
SEEDED: Final = Sampling(temperature=0.8, seed=20_261_121)
DTYPE: Final = "float32"
"""Of hosts, clients and the whole model: in fewer bits, two tokens may be equally likely."""
_IDS: Final = range(3, 250)
"""Ids that every model here has, and that end nothing."""


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, how its answer is drawn, and the tokens it has to be answered with."""

    ids: tuple[int, ...]
    sampling: Sampling
    expected: tuple[int, ...]


def prompts(count: int, *, most_tokens: int, seed: int = 11) -> list[tuple[int, ...]]:
    """Prompts of many lengths, of which some begin alike, so that a part of them is held already."""
    source = random.Random(seed)
    common = source.choices(_IDS, k=most_tokens // 2)
    found = []
    for index in range(count):
        begins = common[: source.randrange(len(common))] if index % 2 else []
        found.append((*begins, *source.choices(_IDS, k=source.randint(1, most_tokens // 2))))
    return found


def answered(model: str, asked: Sequence[tuple[int, ...]], tokens: int) -> list[Question]:
    """Answer prompts by the whole model in this process: one after the other greedily and by a seed."""
    from node.slices import threads

    threads.prepare(1)
    threads.apply()
    from node.slices.facts import read_facts
    from node.slices.load import load_slice
    from node.slices.spec import SliceSpec
    from node.store import checkpoint

    folder = checkpoint.resolve(model)
    layers = LayerRange(0, read_facts(folder).num_layers)
    whole = load_slice(SliceSpec(checkpoint=folder, layers=layers, embed=True, head=True, dtype=DTYPE))
    found = []
    for index, ids in enumerate(asked):
        sampling = SEEDED if index % 2 else GREEDY
        found.append(Question(ids, sampling, _tokens(whole, ids, tokens, sampling)))
    return found


def tell_answered(tell: Tell, model: str, asked: Sequence[tuple[int, ...]], tokens: int) -> None:
    """The same in a process of its own, so that nothing of the model stays in this one."""
    tell("questions", answered(model, asked, tokens))


def _tokens(whole: Slice, ids: Sequence[int], count: int, sampling: Sampling) -> tuple[int, ...]:
    from chat.prefill import PIPELINED_TOKENS
    from node.slices import sampling as sampler
    from node.slices import tensors
    from node.slices.spec import Want

    cache = whole.new_cache(whole.spec.layers)
    drawn: list[int] = []
    fresh: Sequence[int] = ids
    while len(drawn) < count:
        for at in range(0, len(fresh), PIPELINED_TOKENS):
            part = tensors.from_ids(fresh[at : at + PIPELINED_TOKENS])
            logits = whole.forward(part, cache=cache, position=cache.length, want=Want.LOGITS)
        drawn.append(sampler.draw(tensors.to_numpy(logits), sampling, cache.length))
        fresh = drawn[-1:]
    return tuple(drawn)
