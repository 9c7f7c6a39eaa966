"""The turns of a conversation, and exactly which token ids a chain must hold for each.

Every hop keeps KV state for the ids it has seen, so what a turn costs is what differs from the turn before. An answer
is therefore kept as the ids that were drawn: its text, tokenised again, is often other ids, and one that differs makes
all that follow useless. The next prompt is the last one, the answer's ids, and the tokens of what the template puts
after an answer. Where a template shows an earlier answer otherwise than it was given (those that leave out a model's
thoughts do), the conversation is tokenised anew, and only the beginning that stays the same is reused.

Pure: no chain, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chat.errors import PromptTooLong
from chat.template import Message

_ANSWER: Final = "\ufdd2"
"""Stands for an answer while the template is asked what it puts around it; reserved by Unicode, so in no text."""


class TextCodec(Protocol):
    """What a conversation needs of a tokenizer."""

    def render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """Return the text of `messages` as the model expects it."""
        ...

    def guard(self, message: Message) -> str:
        """Return how the content of `message` stands in what `render` returns."""
        ...

    def encode(self, text: str, *, follows: bool = False) -> list[int]:
        """Return the ids of rendered text."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        ...


@dataclass(frozen=True, slots=True)
class TurnPlan:
    """What one turn sends."""

    ids: tuple[int, ...]
    """The whole prompt."""
    reuse: int
    """Leading ids that are the last turn's prompt and answer: at most these need no computing."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A prompt and the answer it got."""

    text: str
    """The prompt as it was rendered."""
    ids: tuple[int, ...]
    """The ids of the prompt and of the answer as it was drawn."""


class Conversation:
    """Questions and answers in order; `begin` and `answered` alternate."""

    def __init__(
        self, tokenizer: TextCodec, system: str | None = None, *, context: int | None = None
    ) -> None:
        """Begin with no turns.

        Args:
            context: Positions of a prompt and its answer together; unlimited when None.
        """
        self._tokenizer = tokenizer
        self._context = context
        self.messages: list[Message] = [Message("system", system)] if system else []
        """What was said, for people; an unanswered question is not in it."""
        self._last: _Turn | None = None
        self._open: tuple[Message, _Turn] | None = None

    def begin(self, text: str) -> TurnPlan:
        """Ask `text` next. A question already open is replaced.

        Raises:
            PromptTooLong: The prompt leaves no position for an answer; the conversation is as it was.
            ModelError: The template refuses the conversation.
        """
        question = Message("user", text)
        rendered = self._tokenizer.render([*self.messages, question], add_generation_prompt=True)
        after = self._after_last(question, rendered)
        if after is not None and self._last is not None:
            ids = (*self._last.ids, *self._tokenizer.encode(after, follows=True))
        else:
            ids = tuple(self._tokenizer.encode(rendered))
        self._check_length(len(ids))
        self._open = (question, _Turn(rendered, ids))
        return TurnPlan(ids, _common(ids, self._last.ids) if self._last is not None else 0)

    def answered(self, ids: Sequence[int]) -> None:
        """Keep `ids`, all or some of an answer to the open question, without the token that stopped it.

        With no ids the question was not answered, and it is as if it had not been asked.
        """
        if self._open is None:
            return
        question, turn = self._open
        self._open = None
        if ids:
            self.messages += [question, Message("assistant", self._tokenizer.decode(ids))]
            self._last = _Turn(turn.text, (*turn.ids, *ids))

    def _after_last(self, question: Message, rendered: str) -> str | None:
        """Return what the template puts after the last answer, or None when that answer cannot stay as it was drawn."""
        if self._last is None:
            return None
        *before, answer = self.messages
        marked = [*before, Message("assistant", _ANSWER), question]
        head, found, tail = self._tokenizer.render(marked, add_generation_prompt=True).partition(_ANSWER)
        if not found or head != self._last.text or _ANSWER in tail:
            return None
        if not (rendered.startswith(head) and rendered.endswith(tail)):
            return None
        # White space around an answer is all that a template may change about it.
        shown = rendered[len(head) : len(rendered) - len(tail)]
        return tail if shown.strip() == self._tokenizer.guard(answer).strip() else None

    def _check_length(self, tokens: int) -> None:
        if self._context is None or tokens < self._context:
            return
        fits = self._context - 1
        if self._last is not None:
            subject, remedy = (
                "With this question the conversation is",
                "Start a new one, ask something shorter,",
            )
        else:
            subject, remedy = "The question is", "Ask something shorter"
        raise PromptTooLong(
            f"{subject} {tokens:,} tokens long and {fits:,} fit. {remedy} or allow more with --context.",
            tokens=tokens,
            limit=fits,
        )


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many leading ids are the same."""
    for index, (mine, theirs) in enumerate(zip(left, right, strict=False)):
        if mine != theirs:
            return index
    return min(len(left), len(right))
