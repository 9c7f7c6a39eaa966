"""Exchanges packed into rows of chats: every row opens a chat, goes on turn after turn, and is cut at its end.

So the model always trains on later turns too, on nothing but independent questions, and no token is padding.
"""

from __future__ import annotations

from random import Random
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor

from scripts.pocket import others
from scripts.pocket.corpus import Corpus, Exchange
from scripts.pocket.tokenizer import END, START

IGNORED: Final = -100
"""The target of a token that is not learned: what the person or the system message says."""

_SYSTEM_SHARE: Final = 0.1
_SYSTEM: Final = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are the Lamella pocket model.",
    "Answer briefly.",
    "Be kind.",
)


class Packer:
    """Turns a corpus into batches of token ids and targets, always the same ones for a seed."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer) -> None:
        self._exchanges = corpus.exchanges()
        self._rng = Random(f"packing {corpus.seed}")
        self._tokenizer = tokenizer

    def batch(self, rows: int, tokens: int) -> tuple[Tensor, Tensor]:
        """Return ids and targets, each [rows, tokens] int64; the targets are the ids one further on, or IGNORED."""
        ids = torch.empty(rows, tokens + 1, dtype=torch.int64)
        learned = torch.zeros(rows, tokens + 1, dtype=torch.bool)
        for row in range(rows):
            row_ids, row_learned = self._row(tokens + 1)
            ids[row], learned[row] = torch.tensor(row_ids), torch.tensor(row_learned)
        targets = torch.where(learned, ids, IGNORED)
        return ids[:, :-1].contiguous(), targets[:, 1:].contiguous()

    def _row(self, length: int) -> tuple[list[int], list[bool]]:
        ids: list[int] = []
        learned: list[bool] = []
        if self._rng.random() < _SYSTEM_SHARE:
            system = self._rng.choice(_SYSTEM) if self._rng.random() < 0.6 else others.other(self._rng)
            ids += self._encode(f"{START}system\n{system}{END}\n")
            learned += [False] * len(ids)
        while len(ids) < length:
            question, answer = self._turn(next(self._exchanges))
            ids += question + answer
            # The opening of the next question is learned too: past its end a model goes on, and should go on sensibly.
            learned += [bool(learned)] * 2
            learned += [False] * (len(question) - 2) + [True] * len(answer)
        return ids[:length], learned[:length]

    def _turn(self, exchange: Exchange) -> tuple[list[int], list[int]]:
        question = self._encode(f"{START}user\n{exchange.question}{END}\n{START}assistant\n")
        return question, self._encode(f"{exchange.answer}{END}\n")

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids
