"""Numbers of bytes as people write them: `512M`, `20G`, powers of 1,024."""

from __future__ import annotations

from typing import Final

from wire.errors import InvalidValue

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_MOST: Final = 1 << 50


def size(text: str) -> int:
    """Read a number of bytes. Raises `InvalidValue`."""
    number, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    try:
        found = int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError) as error:
        raise InvalidValue(f"{text!r} is not a size; write 512M or 4G") from error
    if not 0 < found < _MOST:
        raise InvalidValue(f"{text!r} is not a size between 1 byte and 1 PB")
    return found


def written(size_bytes: int) -> str:
    """Write a number of bytes so that `size` reads the same: in the largest unit that divides it."""
    unit = max((one for one in _UNITS if size_bytes % _UNITS[one] == 0), key=_UNITS.__getitem__)
    return f"{size_bytes // _UNITS[unit]}{unit}"
