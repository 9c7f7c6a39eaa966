"""A packed row is one chat after the template, and only its answers are learned."""

from __future__ import annotations

import pytest

from scripts.pocket import tokenizer as module
from scripts.pocket.corpus import Corpus
from scripts.pocket.packing import IGNORED, Packer


def test_a_batch_learns_answers_and_nothing_of_the_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEARNED_FROM", 1_000)
    corpus = Corpus(1)
    tokenizer = module.train_tokenizer(corpus)
    ids, targets = Packer(corpus, tokenizer).batch(8, 128)
    assert ids.shape == targets.shape == (8, 128)
    learned = targets != IGNORED
    assert (ids[:, 1:][learned[:, :-1]] == targets[:, :-1][learned[:, :-1]]).all()
    for row in range(8):
        text = tokenizer.decode(ids[row].tolist(), skip_special_tokens=False)
        assert text.startswith((f"{module.START}user\n", f"{module.START}system\n"))
        first = text.index(f"{module.START}assistant\n")
        before = len(tokenizer.encode(text[:first]).ids)
        assert not learned[row, :before].any()
        assert learned[row, before + 1 : before + 3].all()
