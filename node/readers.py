"""Readers of what a person wrote, for `lamella-node` and for `lamella`.

Each takes a value as a TOML file holds it, or as the text of a variable or a flag, and returns it as it is used.
What it cannot use raises `ValueError`, whose words are what was expected ("a whole number from 1 to 256"), or
`InvalidValue` where a whole sentence says more; those of the host alone may also raise `NodeError`, with a next step
of its own. Help must come at once, so what takes long to import is imported late.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from node import sizes
from wire import limits
from wire.errors import InvalidValue

if TYPE_CHECKING:
    from wire.contacts import Contact
    from wire.tensors import WeightFormat
    from wire.types import Address, LayerRange

Reader = Callable[[object], object]

DTYPES: Final = ("float32", "bfloat16", "float16")
OFF: Final = "off"
MOST_THREADS: Final = 256
_SWITCHES: Final = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,30}")
"""Bounded, since Python refuses to read numbers of thousands of digits with an error of its own."""
_MOST_SHOWN: Final = 60
"""Characters of a wrong value that are repeated to the person who wrote it."""
_MOST_ADDRESS_CHARS: Final = 200
"""The longest contact has 120."""


def complaint(error: ValueError, value: object, where: str) -> str:
    """Return what is wrong with `value`, which stood at `where`, when a reader raised `error`."""
    if isinstance(error, InvalidValue):
        return f"{where}: {error}"
    shown = repr(value)
    return f"{where} must be {error}, not {shown if len(shown) <= _MOST_SHOWN else shown[:_MOST_SHOWN] + '…'}"


def text(value: object) -> str:
    """Read a text that is not blank."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("text")
    return value


def path(value: object) -> Path:
    """Read the path of a file; `~` is this user's home."""
    found = text(value)
    if "\0" in found:
        raise ValueError("a path")
    try:
        return Path(found).expanduser()
    except RuntimeError as error:
        raise ValueError("a path whose home directory is known") from error


def texts(value: object) -> list[str]:
    """Read a list of texts, or one text that holds several between commas or spaces."""
    parts = [part for part in re.split(r"[,\s]+", value) if part] if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError("a list of texts")
    return parts


def several(one: Reader) -> Reader:
    """Read a list of texts, each as `one` reads it."""
    return lambda value: tuple(one(part) for part in texts(value))


def switch(value: object) -> bool:
    """Read true or false, in the words that are usual for it."""
    read = _SWITCHES.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(read, bool):
        raise ValueError("true or false")
    return read


def whole(low: int, high: int | None = None) -> Reader:
    """Read a whole number from `low` to `high`, both included."""
    expected = f"a whole number of {low} or more" if high is None else f"a whole number from {low} to {high}"

    def read(value: object) -> int:
        if isinstance(value, str):
            value = int(value) if _WHOLE.fullmatch(value.strip()) else None
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(expected)
        if high is not None and value > high:
            raise ValueError(expected)
        return value

    return read


def number(low: float, high: float) -> Reader:
    """Read a number from `low` to `high`, both included."""

    def read(value: object) -> float:
        try:
            given = isinstance(value, str | int | float) and not isinstance(value, bool)
            found = float(value) if given else math.nan  # type: ignore[arg-type]  # `given` says that it is one
        except (ValueError, OverflowError):
            found = math.nan
        if not low <= found <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return found

    return read


def size(value: object) -> int:
    """Read a number of bytes, as in `512M`."""
    return sizes.size(str(value))


def rate(least: int, why: str) -> Reader:
    """Read bytes a second, as in `10M`, of which fewer than `least` are of no use; `why` says so."""

    def read(value: object) -> int:
        found = size(value)
        if found < least:
            raise InvalidValue(
                f"{sizes.written(found)} bytes a second are too few: {why}; write {sizes.written(least)} or more"
            )
        return found

    return read


def one_of(*words: str) -> Reader:
    """Read one of these words."""

    def read(value: object) -> object:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return value

    return read


dtype: Final = one_of(*DTYPES)


def or_off(reader: Reader) -> Reader:
    """Read `off`, or false, as None, and anything else by `reader`."""
    return lambda value: None if value is False or value == OFF else reader(value)


def weights(value: object) -> WeightFormat:
    """Read how weights are kept."""
    from wire.tensors import WeightFormat

    try:
        return WeightFormat(value)
    except ValueError as error:
        raise ValueError(f"one of {', '.join(one.value for one in WeightFormat)}") from error


def network(value: object) -> str:
    """Read the name of a swarm."""
    found = value if isinstance(value, str) else ""
    if not found or len(found) > limits.MAX_AGENT_CHARS or not found.isprintable():
        raise InvalidValue(f"a network name is 1 to {limits.MAX_AGENT_CHARS} printable characters")
    return found


def address(value: object) -> Address:
    """Read a place on the network."""
    from wire.types import Address

    return Address.parse(_short(value))


def loopback(value: object) -> Address:
    """Read a place that only this machine reaches."""
    found = address(value)
    if not ipaddress.ip_address(found.ip).is_loopback:
        raise InvalidValue(f"{found} is open to other machines; write 127.0.0.1:PORT or [::1]:PORT")
    return found


def contact(value: object) -> Contact:
    """Read a peer and where it is."""
    from wire.contacts import Contact

    return Contact.parse(_short(value))


def signer(value: object) -> bytes:
    """Read whose bootstrap list is believed. Raises `DiscoveryError` too."""
    from node.discovery.bootstrap import bootstrap_key

    return bootstrap_key(text(value))


def device(value: object) -> str:
    """Read where layers are computed."""
    from node.slices.spec import is_device

    if not isinstance(value, str) or not is_device(value):
        raise InvalidValue(f"{str(value)[:_MOST_SHOWN]!r} is not a device; write cpu, cuda, or cuda:0")
    return value


def layers(value: object) -> LayerRange:
    """Read a range of layers that holds at least one."""
    from wire.types import LayerRange

    found = LayerRange.parse(_short(value))
    if not len(found):
        raise InvalidValue(f"{value} holds no layer")
    return found


def _short(value: object) -> str:
    """A text that is not longer than any address, contact or range; their own readers repeat it whole."""
    found = text(value)
    if len(found) > _MOST_ADDRESS_CHARS:
        raise InvalidValue(f"{found[:_MOST_SHOWN]!r}… is too long")
    return found
