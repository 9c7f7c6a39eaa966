"""Whether this machine runs on its battery: what Linux says below `/sys/class/power_supply`.

Source: the kernel's `Documentation/ABI/testing/sysfs-class-power`. Firmware is often wrong in details, so several signs
are weighed: a supply that is plugged in decides; without one, a battery that is drained does. Batteries of mice and
headsets (`scope` is `Device`) are not this machine's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from node.manners.small_text import read_number, read_small

SUPPLIES: Final = Path("/sys/class/power_supply")
MAX_SUPPLIES: Final = 64
"""Looked at; a machine has a handful."""
_BATTERIES: Final = frozenset({"Battery", "UPS"})
_PLUGS: Final = frozenset({"Mains", "USB", "Wireless"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How the machine is fed."""

    on_battery: bool = False
    percent: int | None = None
    """What the fullest battery holds; None when there is none, or it does not say."""


def read_power(folder: Path = SUPPLIES) -> Power:
    """Read how the machine is fed; as plugged in when nothing is said. May take milliseconds: firmware is asked."""
    try:
        supplies = list(islice(folder.iterdir(), MAX_SUPPLIES))
    except OSError:
        return Power()
    plugged, drained, batteries, plugs = False, False, 0, 0
    percents: list[int] = []
    for supply in supplies:
        kind = read_small(supply / "type", 64)
        if read_small(supply / "scope", 64) == "Device":
            continue
        if kind in _PLUGS:
            online = read_number(supply / "online")
            plugs += online is not None
            plugged = plugged or bool(online)
        elif kind in _BATTERIES and read_small(supply / "present", 64) != "0":
            batteries += 1
            drained = drained or read_small(supply / "status", 64) == "Discharging"
            percent = read_number(supply / "capacity")
            percents += [percent] if percent is not None and percent <= 100 else []
    # Plugs that are all out feed nothing, whatever the battery says of itself.
    on_battery = not plugged and batteries > 0 and (drained or plugs > 0)
    return Power(on_battery=on_battery, percent=max(percents, default=None))
