"""A text as token ids, to measure a model on: a file of the person's, or one that ships with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import tokenizers

from node.errors import NodeError

WINDOW_TOKENS: Final = 128
"""A model reads so many tokens before it begins anew with an empty cache."""
MAX_TEXT_BYTES: Final = 16 * 1024 * 1024
_TEXTS: Final = Path(__file__).parent / "texts"
PROSE: Final = _TEXTS / "prose.txt"
CHATS: Final = _TEXTS / "pocket.txt"
"""Of the pocket model's kind: it knows no prose."""


class NoText(NodeError):
    """There is no text to measure with, or no way to read it."""


def windows(folder: Path, text: Path, tokens: int) -> list[list[int]]:
    """The first `tokens` ids of a text in windows of at least two, by the tokenizer of the checkpoint in `folder`.

    Raises:
        NoText: the text or the tokenizer cannot be read, or the text is too short.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise NoText(f"{folder} has no tokenizer.json", "leave measuring out with --no-measure")
    try:
        backend = tokenizers.Tokenizer.from_file(str(file))
    # The library raises a bare `Exception` for a file it cannot read; any other error goes on.
    except BaseException as error:
        if type(error) is Exception:
            raise NoText(f"{file} is not a tokenizer ({error})", "fetch the checkpoint again") from error
        raise
    backend.no_padding()
    backend.no_truncation()
    ids = backend.encode(_read(text), add_special_tokens=False).ids[:tokens]
    pieces = [ids[at : at + WINDOW_TOKENS] for at in range(0, len(ids), WINDOW_TOKENS)]
    found = [list(piece) for piece in pieces if len(piece) > 1]
    if not found:
        raise NoText(f"{text} holds no two tokens", "name a longer text with --text")
    return found


def _read(text: Path) -> str:
    try:
        with text.open("rb") as file:
            data = file.read(MAX_TEXT_BYTES + 1)
        if len(data) > MAX_TEXT_BYTES:
            raise NoText(f"{text} is larger than {MAX_TEXT_BYTES} bytes", "name a shorter one with --text")
        return data.decode("utf-8")
    except OSError as error:
        raise NoText(f"{text} cannot be read ({error.strerror})", "name another with --text") from error
    except UnicodeDecodeError as error:
        raise NoText(f"{text} is not text in UTF-8", "name another with --text") from error
