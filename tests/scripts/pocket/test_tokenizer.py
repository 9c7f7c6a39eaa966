"""Any text survives the tokenizer, and digits stand alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from scripts.pocket import tokenizer as module
from scripts.pocket.corpus import Corpus


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
