"""What of a log record is told: when, how grave, by whom, one line of text, and which session it is about.

Here is the one place that every record passes, so here is the rule that keeps prompts, tokens and keys out of every
log:

- of the values put into a message only words, numbers, and what has a text of its own meant for people are shown.
  Sequences, bytes, tensors and messages of the protocol, which is how tokens and keys are held, are named by their
  type;
- what an exception says is shown only if its class is ours, whose texts obey the same rule. Any other is named by its
  type and the lines it passed; for an error of the system also by the system's words;
- of what asyncio logs, which quotes arguments of callbacks, only the first words are shown;
- what looks like a credential or a key is cut out, wherever it stands.

What a peer wrote may be in a message: characters that are not printable are spelt out, so that it cannot begin a line
of its own or command a terminal.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from typing import Any, Final

MAX_CHARS: Final = 4096
"""Of a message, unless told otherwise."""
_MAX_FRAMES: Final = 12
"""Of an exception's way; the innermost are told."""
_MAX_CAUSES: Final = 3
_SESSION_CHARS: Final = 12
_SET_BACK_S: Final = 10.0
"""A clock that is set back by less is waited for; by more, it is believed."""
_OURS: Final = ("crypto", "wire", "node", "chat")
_ROOT: Final = Path(__file__).resolve().parents[2]
_QUOTING: Final = "asyncio"
_CUT_OUT: Final = "[cut out]"
_CREDENTIALS: Final = (
    (re.compile(r"-----BEGIN [A-Z ]{1,40}-----.*", re.DOTALL), _CUT_OUT),
    (re.compile(r"\bhf_\w{8,}"), _CUT_OUT),
    (re.compile(r"\b(Bearer|Basic|Lamella-Ed25519)\s+[^\s,;]+", re.IGNORECASE), rf"\1 {_CUT_OUT}"),
    (re.compile(r"(://)[^/\s@]+@"), rf"\1{_CUT_OUT}@"),
    (
        re.compile(
            # Bounded on both sides of the word: otherwise a text of such words takes the square of its length.
            r"([?&;][^?=&;\s]{0,40}(?:token|key|sig|secret|credential|policy|password)[^?=&;\s]{0,40}=)[^&;\s]+",
            re.IGNORECASE,
        ),
        rf"\1{_CUT_OUT}",
    ),
    # A key in hexadecimal has 64 digits; so has a digest, of which the first ones are enough.
    (re.compile(r"(?<![0-9A-Za-z])([0-9a-f]{12})[0-9a-f]{28,}(?![0-9A-Za-z])", re.IGNORECASE), r"\1…"),
    (re.compile(r"(?<![0-9A-Za-z+/_-])[0-9A-Za-z+/_-]{42,86}={1,2}"), _CUT_OUT),
)

_session: ContextVar[str | None] = ContextVar("session", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as it is told."""

    time: float
    """Unix time, in seconds; never less than that of the record before, unless the clock was set back far."""
    level: str
    """`debug`, `info`, `warning`, `error` or `critical`."""
    number: int
    """The level as `logging` counts it."""
    logger: str
    message: str
    """One line."""
    session: str | None = None
    """The short id of the session it is about."""


@contextmanager
def about(session: object) -> Iterator[None]:
    """Name the session that everything logged within is about, also by what is called and by tasks that are begun."""
    token = _session.set(str(session)[:_SESSION_CHARS])
    try:
        yield
    finally:
        _session.reset(token)


class _Named(dict[Any, object]):
    """Values that a message names: what is not asked for by its name is not shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<dict>"


class Stamps:
    """Times of records."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._last = 0.0

    def next(self) -> float:
        """Now; the last time again while a clock that was set back a little catches up."""
        now = self._wall()
        if not 0 < self._last - now <= _SET_BACK_S:
            self._last = now
        return self._last


def told(record: logging.LogRecord, *, at: float, max_chars: int = MAX_CHARS) -> Record:
    """Make of a record what is told of it."""
    session = getattr(record, "session", None) or _session.get()
    text = _message(record)
    if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
        text = f"{text}: {said(record.exc_info[1])}"
    return Record(
        time=at,
        level=_level(record.levelno),
        number=record.levelno,
        logger=record.name,
        message=cleaned(text, max_chars=max_chars),
        session=None if session is None else cleaned(str(session), max_chars=_SESSION_CHARS),
    )


def cleaned(text: str, *, max_chars: int = MAX_CHARS) -> str:
    """Text on one line, of at most so many characters, without credentials and keys."""
    # First to a length that is quick to search: four times what is kept, since what is cut out makes it shorter.
    text = text[: 4 * max_chars]
    for pattern, instead in _CREDENTIALS:
        text = pattern.sub(instead, text)
    if not text.isprintable():
        text = "".join(one if one.isprintable() else _spelt(one) for one in text)
    return text if len(text) <= max_chars else text[: max(0, max_chars - 1)] + "…"


def said(error: BaseException) -> str:
    """An exception in one line: its type, its words where they are ours or the system's, the lines it passed."""
    parts: list[str] = []
    one: BaseException | None = error
    while one is not None and len(parts) < _MAX_CAUSES:
        parts.append(_in_words(one) + _way(one))
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "; caused by ".join(parts)


def _message(record: logging.LogRecord) -> str:
    if record.name.split(".")[0] == _QUOTING:
        return re.split(r"[\n(<]", str(record.msg), maxsplit=1)[0].strip() + "…"
    args: Any = record.args
    template = record.msg if isinstance(record.msg, str) else str(_value(record.msg))
    if not args:
        return template
    try:
        if isinstance(args, Mapping):
            return template % _Named({name: _value(one) for name, one in args.items()})
        return template % tuple(_value(one) for one in args)
    except (TypeError, ValueError, KeyError):
        return f"{template} (its values do not fit)"


def _value(value: object) -> object:
    """What stands for a value in a message: itself, or its type's name when it may hold what must not be told."""
    if value is None or isinstance(value, str | int | float | PurePath):
        return value
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str | int) else value.name
    if isinstance(value, BaseException):
        return _in_words(value)
    if isinstance(value, type):
        return value.__name__
    is_ours = type(value).__module__.split(".")[0] in _OURS
    # A dataclass without a text of its own would show every field, and a tuple everything in it.
    if is_ours and type(value).__str__ is not object.__str__:
        return str(value)
    return f"<{type(value).__name__}>"


def _in_words(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, BaseExceptionGroup):
        inner = ", ".join(_in_words(one) for one in error.exceptions[:_MAX_CAUSES])
        return f"{name} of {len(error.exceptions)}: {inner}"
    if type(error).__module__.split(".")[0] in _OURS:
        return str(error) or name
    if isinstance(error, OSError) and error.strerror:
        return f"{name}: {error.strerror}"
    return name


def _way(error: BaseException) -> str:
    # Not `extract_tb`, which reads the sources from the disk.
    frames = deque(traceback.walk_tb(error.__traceback__), maxlen=_MAX_FRAMES)
    if not frames:
        return ""
    passed = (
        f"{_short(frame.f_code.co_filename)}:{line} {frame.f_code.co_name}"
        for frame, line in reversed(frames)
    )
    return f" [{' < '.join(passed)}]"


def _short(filename: str) -> str:
    path = Path(filename)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else "/".join(path.parts[-2:])


def _spelt(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _level(number: int) -> str:
    for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO):
        if number >= level:
            return logging.getLevelName(level).lower()
    return "debug"
