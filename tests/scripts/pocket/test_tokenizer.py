"""Any text survives the tokenizer, digits stand alone, and the shipped template is what training packs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from scripts.pocket import tokenizer as module
from scripts.pocket.corpus import Corpus
from scripts.pocket.packing import IGNORED, Packer


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(1)


@pytest.fixture(scope="module")
def tokenizer(corpus: Corpus) -> Tokenizer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "LEARNED_FROM", 4_000)
        return module.train_tokenizer(corpus)


@given(st.text())
def test_any_text_comes_back_unchanged(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


def test_every_digit_is_a_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("289").tokens == ["2", "8", "9"]
    assert tokenizer.encode("x 17").tokens[-2:] == ["Ġ1", "7"]


def test_a_batch_learns_answers_and_nothing_of_the_questions(corpus: Corpus, tokenizer: Tokenizer) -> None:
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
