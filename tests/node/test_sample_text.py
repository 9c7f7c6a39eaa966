"""A text becomes windows of ids, or a sentence says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from node import sample_text
from node.sample_text import NoText
from node.store import checkpoint

POCKET = checkpoint.resolve(checkpoint.POCKET)


@pytest.mark.parametrize("text", [sample_text.PROSE, sample_text.CHATS])
def test_the_texts_that_ship_fill_what_is_read_by_default(text: Path) -> None:
    found = sample_text.windows(POCKET, text, 256)
    assert [len(one) for one in found] == [128, 128]
    assert all(0 <= token < 1024 for one in found for token in one)


def test_a_window_of_one_token_is_left_out_for_nothing_follows_it(tmp_path: Path) -> None:
    found = sample_text.windows(POCKET, sample_text.PROSE, 129)
    assert [len(one) for one in found] == [128]


def test_control_tokens_in_the_chats_are_read_as_such() -> None:
    first = sample_text.windows(POCKET, sample_text.CHATS, 32)[0]
    assert first[0] < 8


@pytest.mark.parametrize(
    ("data", "said"), [(b"", "no two tokens"), (b"a", "no two tokens"), (b"\xff\xfe!", "not text in UTF-8")]
)
def test_a_text_that_cannot_be_used_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    text = tmp_path / "text"
    text.write_bytes(data)
    with pytest.raises(NoText, match=said):
        sample_text.windows(POCKET, text, 64)


def test_a_missing_text_or_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoText, match="cannot be read"):
        sample_text.windows(POCKET, tmp_path / "none", 64)
    with pytest.raises(NoText, match=r"no tokenizer\.json"):
        sample_text.windows(tmp_path, sample_text.PROSE, 64)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(NoText, match="is not a tokenizer"):
        sample_text.windows(tmp_path, sample_text.PROSE, 64)


def test_a_text_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_text, "MAX_TEXT_BYTES", 10)
    with pytest.raises(NoText, match="larger than 10 bytes"):
        sample_text.windows(POCKET, sample_text.PROSE, 64)
