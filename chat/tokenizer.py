"""Text to token ids and back, from a checkpoint's own files; neither torch nor transformers is imported.

What a person wrote must never become a control token: a question that contains `<|im_start|>` is a question about
these characters, not a new turn. So `render` puts guards, two characters that Unicode reserves for a program's own
use, around every control token inside a message, and `encode` spells what is guarded as plain text. Control tokens the
template writes itself are not guarded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import tokenizers

from chat.errors import ModelError
from chat.template import PLAIN_TEMPLATE, ChatTemplate, Message

_OPEN: Final = "\ufdd0"
_SHUT: Final = "\ufdd1"
_GUARDS: Final = str.maketrans("", "", _OPEN + _SHUT)


class Tokenizer:
    """A checkpoint's tokenizer and chat template."""

    def __init__(
        self, backend: tokenizers.Tokenizer, template: ChatTemplate, stop_ids: frozenset[int]
    ) -> None:
        """Use `load`; this is for what is already in memory."""
        self.template = template
        self.stop_ids = stop_ids
        """Tokens that end an answer."""
        self._backend = backend
        added = backend.get_added_tokens_decoder().values()
        special = [token.content for token in added if token.special]
        # White space, as Gemma's newlines, is in templates as text.
        written = [
            token.content for token in added if token.content in template.source and token.content.strip()
        ]
        self._in_answers = _any_of(special)
        self._in_questions = _any_of([*special, *written])
        self._guarded = re.compile(f"{_OPEN}({self._in_questions.pattern}){_SHUT}|[{_OPEN}{_SHUT}]")
        self._newline = backend.encode("\n", add_special_tokens=False).ids

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read the tokenizer of the checkpoint in `folder`.

        Raises:
            ModelError: The folder holds no tokenizer that can be used.
        """
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise ModelError(f"{folder} has no tokenizer.json, so its tokenizer cannot be used.")
        try:
            backend = tokenizers.Tokenizer.from_file(str(file))
        # The library raises a bare `Exception` for a file it cannot read; any other error goes on.
        except BaseException as error:
            if type(error) is Exception:
                raise ModelError(f"{file} is not a tokenizer: {error}.") from error
            raise
        backend.no_padding()
        backend.no_truncation()
        settings = _read(folder / "tokenizer_config.json")
        names = _named_tokens({**_read(folder / "special_tokens_map.json"), **settings})
        template = _template_source(folder, settings)
        if template is None:
            template, names = PLAIN_TEMPLATE, {**names, "bos_token": _first_token(backend)}
        return cls(backend, ChatTemplate(template, names), _stop_ids(folder, backend, names))

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """Return the text of `messages` as the model expects it, guarded for `encode`. Raises `ModelError`."""
        guarded = [Message(message.role, self.guard(message)) for message in messages]
        return self.template.render(guarded, add_generation_prompt=add_generation_prompt)

    def guard(self, message: Message) -> str:
        """Return the content of `message` with its control tokens guarded.

        In an answer only special tokens are guarded: marks such as `</think>` are the model's own, and templates look
        for them.
        """
        pattern = self._in_answers if message.role == "assistant" else self._in_questions
        return pattern.sub(rf"{_OPEN}\g<0>{_SHUT}", message.content.translate(_GUARDS))

    def encode(self, text: str, *, follows: bool = False) -> list[int]:
        """Return the ids of `text`: control tokens are parsed unless guarded, and none is added.

        Args:
            follows: Whether other text stands before, so that no space is put before the first word by those
                tokenizers that do.
        """
        # [text, guarded token, text, ...]; None stands for a lone guard, left where a template cut a string there.
        pieces = self._guarded.split(text)
        ids: list[int] = []
        for index, piece in enumerate(pieces):
            if piece:
                ids += self._encode_piece(piece, plain=index % 2 == 1, follows=follows or index > 0)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids` without special tokens."""
        return self._backend.decode(ids, skip_special_tokens=True)

    def stream(self) -> Detokenizer:
        """Return what turns the ids of one answer into text."""
        return Detokenizer(self)

    @property
    def vocab_size(self) -> int:
        """Ids are below this; a model's own vocabulary may be padded beyond it."""
        return self._backend.get_vocab_size(with_added_tokens=True)

    def _encode_piece(self, piece: str, *, plain: bool, follows: bool) -> list[int]:
        encode = self._spell if plain else self._parse
        if follows:
            # SentencePiece puts a space before the first word of a text, not after a newline.
            ids = encode("\n" + piece)
            if ids[: len(self._newline)] == self._newline:
                return ids[len(self._newline) :]
        return encode(piece)

    def _parse(self, text: str) -> list[int]:
        return self._backend.encode(text, add_special_tokens=False).ids

    def _spell(self, text: str) -> list[int]:
        """Return the ids of `text` as plain text, through the tokenizer's stages without its table of added tokens."""
        backend = self._backend
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        words = [text]
        if backend.pre_tokenizer is not None:
            words = [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        ids = [token.id for word in words for token in backend.model.tokenize(word)]
        control = backend.token_to_id(text.removeprefix("\n"))
        if control is not None and control in ids:
            # A unigram vocabulary may hold the control token as a word: spell it letter by letter.
            return [token.id for letter in text for token in backend.model.tokenize(letter)]
        return ids


class Detokenizer:
    """Turns the ids of one answer into text as they come; what it returns never ends inside a character.

    A token may be part of a character or, in SentencePiece, a word whose space depends on what stands before it. So a
    short window of ids is decoded twice, without and with the new ones, and the difference is what is new.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._shown: list[int] = []
        """The ids behind the text returned last."""
        self._waiting: list[int] = []
        """Ids whose text is not whole yet."""

    def feed(self, token: int) -> str:
        """Add an id and return the text that is whole now, which may be none."""
        self._waiting.append(token)
        return self._take(final=False)

    def finish(self) -> str:
        """Return what is left at the end of an answer; broken characters become U+FFFD."""
        return self._take(final=True)

    def _take(self, *, final: bool) -> str:
        before = self._tokenizer.decode(self._shown)
        now = self._tokenizer.decode([*self._shown, *self._waiting])
        if len(now) <= len(before) or (now.endswith("\ufffd") and not final):
            return ""
        self._shown, self._waiting = self._waiting, []
        return now[len(before) :]


def _any_of(words: Sequence[str]) -> re.Pattern[str]:
    """Match any of `words`, the longest first; with none, match nothing."""
    longest_first = sorted({word for word in words if word}, key=lambda word: (-len(word), word))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _read(file: Path) -> dict[str, object]:
    """Return the JSON object in `file`, or nothing when there is no such file."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file} cannot be read as JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ModelError(f"{file} is not a JSON object.")
    return value


def _named_tokens(settings: Mapping[str, object]) -> dict[str, str]:
    """Return `bos_token` and the like, which templates use by name."""
    names: dict[str, str] = {}
    for name, value in settings.items():
        content = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(content, str):
            names[name] = content
    return names


def _template_source(folder: Path, settings: Mapping[str, object]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} cannot be read: {error}.") from error
    value = settings.get("chat_template")
    if isinstance(value, list):
        value = {each.get("name"): each.get("template") for each in value if isinstance(each, dict)}.get(
            "default"
        )
    return value if isinstance(value, str) else None


def _first_token(backend: tokenizers.Tokenizer) -> str:
    """Return the special token that the tokenizer itself puts before every text, or nothing."""
    ids = backend.encode("", add_special_tokens=True).ids
    return (backend.id_to_token(ids[0]) or "") if ids else ""


def _stop_ids(folder: Path, backend: tokenizers.Tokenizer, names: Mapping[str, str]) -> frozenset[int]:
    """Collect every id that any of the checkpoint's files calls the end of a sequence."""
    config = _read(folder / "config.json")
    text_config = config.get("text_config")
    sources = [_read(folder / "generation_config.json"), config]
    if isinstance(text_config, dict):
        sources.append(text_config)
    found: set[int] = set()
    for source in sources:
        value = source.get("eos_token_id")
        listed = value if isinstance(value, list) else [value]
        found |= {each for each in listed if isinstance(each, int) and not isinstance(each, bool)}
    named = backend.token_to_id(names["eos_token"]) if "eos_token" in names else None
    return frozenset(found | ({named} if named is not None else set()))
