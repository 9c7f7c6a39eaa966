"""Takes secrets, and who somebody is, out of text that is to be shown to others. Pure; what is secret is an argument.

Two ways at once. What is known to be secret is replaced wherever it stands: the identity's seed, values of variables
that are called secrets, tokens in files. And what looks like a secret is replaced by its form: tokens of known
services, keys, passwords in addresses, long codes, texts that somebody may have asked. `leaks` then looks whether
anything known is left.

A model's id stays, since it is public and says what was served; ids of peers, which have the form of a seed, do not.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

REMOVED: Final = "<removed>"
LEAST_SECRET_CHARS: Final = 6
"""Shorter values, such as `yes`, are words of every text."""
_MOST_DEPTH: Final = 12
_MOST_CHARS: Final = 2_000
"""Of one text; longer ones are no message of a log."""

_CODE_CHARS: Final = 40
"""As long as a digest in hexadecimal; names of files are shorter."""
_SECRET_NAME: Final = re.compile(
    r"token(?![a-z])|secret|passw|passphrase|api[-_]?key|private|credential|authorization|cookie|seed|\bkey$|[-_]key$",
    re.IGNORECASE,
)
_TEXT_NAME: Final = re.compile(
    r"^(prompt|prompts|message_text|messages|content|question|answer|completion|text|input|output|system|chat|tokens)$",
    re.IGNORECASE,
)
_MODEL_ID: Final = re.compile(r"bafkrei[a-z2-7]{52}(?![a-z2-7])")


def _sentence(found: re.Match[str]) -> str:
    """A text in quotes without its words, where it has three or more."""
    quote = found[0][0]
    return f"{quote}<text>{quote}" if len(found[0].split()) > 2 else found[0]


def _code(found: re.Match[str]) -> str:
    """A long code; an absolute path of shorter names is none."""
    text = found[0]
    is_path = text.startswith("/") and all(len(part) < _CODE_CHARS for part in text.split("/"))
    return text if is_path else "<code>"


_FORMS: Final[Sequence[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]] = (
    (re.compile(r"-----BEGIN [^-]{1,40}-----.*?(-----END [^-]{1,40}-----|\Z)", re.DOTALL), "<key>"),
    (re.compile(r"lamella-identity-\S*(\s+\S+)?"), "<identity>"),
    (re.compile(r"lamella:[^\s\"']+"), "<join string>"),
    (re.compile(r"\b(hf|sk|pk|gh[pousr]|glpat|xox[a-z]|AKIA|npm)[-_]?[A-Za-z0-9_-]{12,}"), "<token>"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(\.[\w-]*)?"), "<token>"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{6,}"), r"\1 <token>"),
    (re.compile(r"(?i)(://)[^/\s@\"']+@"), r"\1<login>@"),
    (re.compile(r"(https?://[^\s?#\"']+)[?#][^\s\"']+"), r"\1?<query>"),
    (
        re.compile(
            r"(?i)((?:token(?!s|iz)|secret|passw|passphrase|api[-_]?key|private[-_]?key|credential|authorization|cookie|"
            r"seed)[\w.-]{0,40}[\"']?\s{0,3}[=:]\s{0,3})(\"[^\"]*\"|'[^']*'|[^\s,;&}]+)"
        ),
        rf"\1{REMOVED}",
    ),
    (
        re.compile(
            r"(?i)(\b(?:prompts?|messages|content|question|answer|completion|text)[\"']?\s{0,3}[=:]\s{0,3})"
            r"(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^\s,;}].*)"
        ),
        r"\1<text>",
    ),
    # A sentence in quotes may be what somebody asked; names of files, models and options hold fewer blanks.
    (re.compile(r"\"[^\"\n]{24,}\""), _sentence),
    (re.compile(r"(?<!\w)'[^'\n]{24,}'(?!\w)"), _sentence),
    (re.compile(r"\b[0-9a-fA-F]{48,}\b"), "<code>"),
    (re.compile(r"(?<![a-z0-9])[a-z2-7]{52,}(?![a-z0-9])"), "<id>"),
    (re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{40,}={0,2}(?![A-Za-z0-9+/=_-])"), _code),
)
_HOMES: Final = re.compile(r"(/home/|/Users/)(?!user\b)[^/\s\"':,;]+")
_V4: Final = re.compile(r"(?<![\w.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\w.]*\.\d|\d)")
_V6: Final = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}(?:[0-9A-Fa-f]{1,4}|:|\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What must not be told."""

    secrets: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    """Paths of the home directory, as they may be written."""
    users: tuple[str, ...] = ()
    """Names of the person at this machine."""
    hosts: tuple[str, ...] = ()
    """Names of this machine."""


class Redactor:
    """Makes text and values of JSON fit to be shown to others."""

    def __init__(self, known: Known) -> None:
        secrets = {one for one in known.secrets if len(one) >= LEAST_SECRET_CHARS}
        self._secrets = sorted(secrets, key=len, reverse=True)
        self._homes = [re.compile(re.escape(one) + r"(?![\w.-])") for one in _longest_first(known.homes)]
        names = [(one, "user") for one in known.users if len(one) > 1]
        names += [(one, "machine") for one in known.hosts if len(one) > 1]
        self._names = [
            (re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"), shown)
            for name, shown in sorted(names, key=lambda one: -len(one[0]))
        ]

    def text(self, given: str) -> str:
        """The text without secrets, names and the ends of addresses; cut off where it is very long."""
        text = given if len(given) <= _MOST_CHARS else given[:_MOST_CHARS] + " <cut off>"
        for secret in self._secrets:
            text = text.replace(secret, REMOVED)
            # Where the text was cut in the middle of a secret, its beginning is left.
            text = _without_cut(text, secret) if len(given) > _MOST_CHARS else text
        models = list(dict.fromkeys(_MODEL_ID.findall(text)))
        for number, model in enumerate(models):
            text = text.replace(model, f"\0{number}\0")
        for home in self._homes:
            text = home.sub("~", text)
        for form, shown in _FORMS:
            text = form.sub(shown, text)
        text = _HOMES.sub(r"\1user", text)
        text = _V6.sub(_short_v6, _V4.sub(_short_v4, text))
        for name, shown in self._names:
            text = name.sub(shown, text)
        for number, model in enumerate(models):
            text = text.replace(f"\0{number}\0", model)
        return text

    def line(self, given: str) -> str:
        """A line of a log: of one that is, or ends with, an object of JSON, each value by itself."""
        start = given.find("{")
        if start >= 0:
            try:
                record = json.loads(given[start:])
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict):
                return self.text(given[:start]) + json.dumps(self.value(record), ensure_ascii=False)
        return self.text(given)

    def value(self, given: Any, name: str = "", depth: int = 0) -> Any:
        """A value of JSON, each text in it redacted; what is called a secret, or a person's text, is left out whole."""
        if _SECRET_NAME.search(name) and not isinstance(given, bool | None):
            return REMOVED
        if _TEXT_NAME.match(name) and isinstance(given, str | list | dict):
            return "<text>"
        if depth > _MOST_DEPTH:
            return "<too deep>"
        if isinstance(given, str):
            return self.text(given)
        if isinstance(given, Mapping):
            return {self.text(str(key)): self.value(one, str(key), depth + 1) for key, one in given.items()}
        if isinstance(given, list | tuple):
            return [self.value(one, name, depth + 1) for one in given]
        return given if isinstance(given, int | float | None) else self.text(str(given))

    def leaks(self, text: str) -> bool:
        """Whether a known secret is in a text."""
        return any(secret in text for secret in self._secrets)


def is_secret_name(name: str) -> bool:
    """Whether a name of a variable or a key calls its value a secret."""
    return _SECRET_NAME.search(name) is not None


def _longest_first(texts: Sequence[str]) -> list[str]:
    return sorted({one.rstrip("/") for one in texts if len(one) > 1}, key=len, reverse=True)


def _without_cut(text: str, secret: str) -> str:
    mark = text.find(" <cut off>")
    for length in range(min(len(secret), max(0, mark)), LEAST_SECRET_CHARS - 1, -1):
        if text[:mark].endswith(secret[:length]):
            return text[: mark - length] + REMOVED + text[mark:]
    return text


def _short_v4(found: re.Match[str]) -> str:
    try:
        address = ipaddress.IPv4Address(found[0])
    except ValueError:
        return found[0]
    return found[0] if _is_here(address) else f"{found[1]}.{found[2]}.x.x"


def _short_v6(found: re.Match[str]) -> str:
    try:
        address = ipaddress.IPv6Address(found[0])
    except ValueError:
        return found[0]
    if _is_here(address):
        return found[0]
    first, second = address.exploded.split(":")[:2]
    return f"{first.lstrip('0') or '0'}:{second.lstrip('0') or '0'}:x"


def _is_here(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address is the same on every machine."""
    return address.is_loopback or address.is_unspecified
