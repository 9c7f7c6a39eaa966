"""What can go wrong between a question and its answer; each message is the sentence the person reads.

ChatError
├── UsageError           the command line, a file or an option asks for something that cannot be
├── ModelError           the model here cannot be used: unknown, unreadable, not allowed
├── PromptTooLong        the conversation does not fit the model's context
├── NoRoute              the hosts that answer do not cover the layers needed (lists which are missing)
├── Refused              a host would not open the session (its code)
├── HostUnreachable      no contact answered
├── ChainBroken          a host or link failed in mid-answer (its code)
└── TokensNotAllowed     the model's layers need the tokens themselves, and nobody allowed that hosts see them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wire.codes import Code
    from wire.types import LayerRange


class ChatError(Exception):
    """An answer could not be given. `exit_code` is what the command line ends with."""

    exit_code = 1


class UsageError(ChatError):
    """The command line, a file or an option asks for something that cannot be."""

    exit_code = 2


class ModelError(ChatError):
    """The model cannot be used on this machine."""

    exit_code = 3


class PromptTooLong(ChatError):
    """The conversation does not fit the model's context."""

    exit_code = 4

    def __init__(self, detail: str, *, tokens: int, limit: int) -> None:
        super().__init__(detail)
        self.tokens = tokens
        self.limit = limit


class NoRoute(ChatError):
    """The hosts that answered do not hold every layer that is needed."""

    exit_code = 5

    def __init__(self, detail: str, *, missing: tuple[LayerRange, ...] = ()) -> None:
        super().__init__(detail)
        self.missing = missing
        """Stretches of layers that no usable host holds; empty when something else is in the way."""


class HostUnreachable(ChatError):
    """None of the contacts answered."""

    exit_code = 6


class Refused(ChatError):
    """A host would not open the session."""

    exit_code = 7

    def __init__(self, detail: str, *, code: Code | None) -> None:
        super().__init__(detail)
        self.code = code


class ChainBroken(ChatError):
    """A host or a link failed while the answer was being made."""

    exit_code = 8

    def __init__(self, detail: str, *, code: Code | None) -> None:
        super().__init__(detail)
        self.code = code


class TokensNotAllowed(ChatError):
    """The model's layers need the tokens themselves, and --allow-tokens was not given."""

    exit_code = 9


def sentence(error: ChatError) -> str:
    """Return the message of `error` as one sentence: a capital at its beginning and a full stop at its end."""
    words = " ".join(str(error).split())
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "?", "!")) else ".")
