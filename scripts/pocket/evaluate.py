"""Measures an exported checkpoint through plain transformers, on questions that training never saw.

Greedy answers, right only when equal to the one right answer. Nothing here uses the training code's own model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Final

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from scripts.pocket import arithmetic, questions, talk
from scripts.pocket.corpus import Corpus, dress
from scripts.pocket.tokenizer import END

MAX_ANSWER_TOKENS: Final = 40
BATCH: Final = 32
WINDOW: Final = 4
"""How many layers are left out at a time."""
SAMPLED_SUBSETS: Final = 40

Chat = list[dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A chat that ends in a question, and the only right answer."""

    chat: Chat
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How many of one group of cases were answered right."""

    name: str
    right: int
    total: int
    wrong: tuple[Case, ...]

    @property
    def percent(self) -> float:
        """The share of right answers."""
        return 100 * self.right / self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Omission:
    """What leaving some layers out does."""

    layers: tuple[int, ...]
    change: float
    """Norm of the change of the logits over the norm of the logits, at the token before the answer and in it."""
    same_token_percent: float
    """Share of positions whose best token stays the same."""

    @property
    def consecutive(self) -> bool:
        """Whether the layers follow one another."""
        return self.layers[-1] - self.layers[0] == len(self.layers) - 1


class Pocket:
    """A checkpoint as anyone loads it."""

    def __init__(self, checkpoint: Path, dtype: torch.dtype) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint)
        self.model: Any = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype).eval()

    def would_say(self, cases: Sequence[Case]) -> list[bool]:
        """Return of each case whether its greedy answer is the right one, token for token, its end included.

        Greedy decoding says a text exactly when each of its tokens is the best one after those before it, which one
        forward pass over the whole of it shows; generating instead takes twenty passes. Cases of one length run
        together, so that nothing is padded.
        """
        by_length: dict[int, list[tuple[int, list[int], list[int]]]] = defaultdict(list)
        for index, case in enumerate(cases):
            prompt, answer = self.encode(self.prompt(case.chat)), self.encode(case.answer + END)
            by_length[len(prompt) + len(answer)].append((index, prompt, answer))
        right = [False] * len(cases)
        for same_length in by_length.values():
            for begin in range(0, len(same_length), BATCH):
                batch = same_length[begin : begin + BATCH]
                with torch.inference_mode():
                    ids = torch.tensor([prompt + answer for _, prompt, answer in batch])
                    best = self.model(ids, use_cache=False).logits.argmax(-1)
                for row, (index, prompt, answer) in zip(best.tolist(), batch, strict=True):
                    right[index] = row[len(prompt) - 1 : -1] == answer
        return right

    def say(self, chat: Chat) -> str:
        """Return the greedy answer to `chat`, generated."""
        prompt = torch.tensor([self.encode(self.prompt(chat))])
        with torch.inference_mode():
            out = self.model.generate(prompt, max_new_tokens=MAX_ANSWER_TOKENS, do_sample=False)
        text: str = self.tokenizer.decode(out[0, prompt.shape[1] :], skip_special_tokens=True)
        return text

    def prompt(self, chat: Chat) -> str:
        """Return `chat` as the template writes it, opened for the answer."""
        text: str = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return text

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, nothing added."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def cases(corpus: Corpus) -> dict[str, list[Case]]:
    """Return the cases of every group, the same ones for a corpus."""
    rng = Random(f"evaluation {corpus.seed}")
    groups = {
        "squares 0 to 99, phrasings not trained": [
            _single(way.format(a=a), arithmetic.square_answer(a))
            for way in arithmetic.UNSEEN_SQUARES
            for a in range(arithmetic.LARGEST + 1)
        ],
        "sums of two digits, pairs not trained": [
            _single(dress(rng, f"What is {a} + {b}?"), arithmetic.sum_answer(a, b))
            for a, b in _pairs(corpus, rng)
        ],
        "sums, neither pair nor phrasing trained": [
            _single(rng.choice(arithmetic.UNSEEN_SUMS).format(a=a, b=b), arithmetic.sum_answer(a, b))
            for a, b in islice(_pairs(corpus, rng), 300)
        ],
        "differences, pairs not trained": [
            _single(
                dress(rng, f"{max(a, b)} - {min(a, b)}"), arithmetic.difference_answer(max(a, b), min(a, b))
            )
            for a, b in islice(_pairs(corpus, rng), 300)
        ],
        "differences below zero, pairs not trained": [
            _single(
                f"What is {min(a, b)} minus {max(a, b)}?", arithmetic.difference_answer(min(a, b), max(a, b))
            )
            for a, b in islice(_pairs(corpus, rng), 100)
            if a != b
        ],
        "products to 12": [
            _single(f"What is {a} times {b}?", arithmetic.product_answer(a, b))
            for a in range(13)
            for b in range(13)
        ],
        "facts, as trained": [_single(fact.ways[0], fact.answer) for fact in corpus.facts],
        "facts, phrasings not trained": [
            _single(fact.unseen, fact.answer) for fact in corpus.facts if fact.unseen is not None
        ],
        "small talk": [_single(way, answer) for answer, ways in talk.SMALL_TALK.items() for way in ways],
        "about Lamella": [_single(way, answer) for answer, ways in talk.LAMELLA.items() for way in ways],
        "what Lamella is, phrasings not trained": [
            _single(way, next(iter(talk.LAMELLA))) for way in talk.UNSEEN_LAMELLA
        ],
        "200 other questions, not trained": [
            _single(other, talk.HONEST) for other in questions.UNSEEN_OTHERS
        ],
    }
    pool = [case for group in groups.values() for case in rng.sample(group, min(60, len(group)))]
    groups["second turn, any of the above"] = [_later(rng, pool, turns=1) for _ in range(300)]
    groups["fourth turn, any of the above"] = [_later(rng, pool, turns=3) for _ in range(200)]
    groups["after about 500 tokens of chat"] = [_later(rng, pool, turns=17) for _ in range(100)]
    system = {"role": "system", "content": "You are a helpful assistant."}
    groups["under a system message"] = [
        Case(chat=[system, *case.chat], answer=case.answer) for case in rng.sample(pool, 200)
    ]
    return groups


def score(name: str, group: list[Case], would_say: Callable[[list[Case]], list[bool]]) -> Score:
    """Return how many cases of `group` are right by `would_say`."""
    wrong = tuple(case for case, right in zip(group, would_say(group), strict=True) if not right)
    return Score(name=name, right=len(group) - len(wrong), total=len(group), wrong=wrong)


class Probe:
    """64 answered questions, to compare logits on: where an answer's next token is predicted, and nowhere else."""

    def __init__(self, corpus: Corpus, tokenizer: Any) -> None:
        self.seed = corpus.seed
        texts, begins = [], []
        for exchange in islice(corpus.exchanges(), 64):
            prompt = tokenizer.apply_chat_template(
                [{"role": "user", "content": exchange.question}], tokenize=False, add_generation_prompt=True
            )
            begins.append(len(tokenizer(prompt, add_special_tokens=False)["input_ids"]))
            texts.append(prompt + exchange.answer)
        self._batch = tokenizer(
            texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False
        )
        mask = self._batch["attention_mask"]
        self._answered = (torch.arange(mask.shape[1]) >= torch.tensor(begins)[:, None] - 1) & mask.bool()

    def logits(self, model: Any) -> Tensor:
        """Return the float32 logits [tokens of all answers, V] of `model`."""
        with torch.inference_mode():
            logits: Tensor = model(**self._batch, use_cache=False).logits.float()
        return logits[self._answered]


def change(logits: Tensor, reference: Tensor) -> float:
    """Return the norm of the difference over the norm of `reference`."""
    return float((logits - reference).norm() / reference.norm())


def omissions(model: Any, probe: Probe) -> list[Omission]:
    """Return what leaving out every window of four layers does, and then a sample of other sets of four."""
    rng = Random(f"omissions {probe.seed}")
    count = len(model.model.layers)
    sets = [tuple(range(first, first + WINDOW)) for first in range(count - WINDOW + 1)]
    while len(sets) < count - WINDOW + 1 + SAMPLED_SUBSETS:
        layers = tuple(sorted(rng.sample(range(count), WINDOW)))
        if layers not in sets:
            sets.append(layers)
    reference = probe.logits(model)
    found = []
    for layers in sets:
        hooks = [model.model.layers[i].register_forward_hook(_pass_on, with_kwargs=True) for i in layers]
        logits = probe.logits(model)
        for hook in hooks:
            hook.remove()
        same = (logits.argmax(-1) == reference.argmax(-1)).float().mean().item()
        found.append(Omission(layers=layers, change=change(logits, reference), same_token_percent=100 * same))
    return found


def _pass_on(_layer: Any, args: tuple[Tensor, ...], kwargs: dict[str, Any], _out: Any) -> Tensor:
    hidden: Tensor = args[0] if args else kwargs["hidden_states"]
    return hidden


def _single(question: str, answer: str) -> Case:
    return Case(chat=[{"role": "user", "content": question}], answer=answer)


def _later(rng: Random, pool: list[Case], *, turns: int) -> Case:
    chat: Chat = []
    for case in rng.sample(pool, turns):
        chat += [*case.chat, {"role": "assistant", "content": case.answer}]
    last = rng.choice(pool)
    return Case(chat=[*chat, *last.chat], answer=last.answer)


def _pairs(corpus: Corpus, rng: Random) -> Iterator[tuple[int, int]]:
    pairs = sorted(corpus.held_out.pairs | {(b, a) for a, b in corpus.held_out.pairs})
    rng.shuffle(pairs)
    yield from pairs
