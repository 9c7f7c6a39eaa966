"""What became of a configuration that was read again: which values hold now, and which after a restart.

A pure decision; `node.reloading` acts on it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from node import sizes
from node.config import NodeConfig
from node.settings import RELOADABLE, SETTINGS, SLICE, Reload, Setting

_KEPT: Final = "not shown"
_SIZE: Final = "SIZE"

Plain = bool | int | float | str | list[str] | None


class Effect(Enum):
    """When a value holds."""

    NOW = "now"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One key whose value is another than before."""

    key: str
    """As it is written in the file."""
    effect: Effect
    old: Plain
    new: Plain
    """For JSON; None for the default, and for what is not shown."""
    was: str
    becomes: str
    """For a person."""

    @property
    def sentence(self) -> str:
        """What happened, for a person."""
        when = "" if self.effect is Effect.NOW else " after a restart"
        return f"{self.key} is {self.becomes}{when} (was {self.was})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Everything that is other than before, and what holds now."""

    changes: tuple[Change, ...]
    """In the order of the settings. A list of peers may stand twice: for what was added, and for what is gone."""
    config: NodeConfig
    """The old configuration, with those values of the new one that hold at once."""

    @property
    def applied(self) -> tuple[str, ...]:
        """Keys whose new values hold now."""
        return tuple(one.key for one in self.changes if one.effect is Effect.NOW)

    @property
    def needs_restart(self) -> tuple[str, ...]:
        """Keys whose new values hold after a restart."""
        return tuple(one.key for one in self.changes if one.effect is Effect.RESTART)

    @property
    def sentences(self) -> tuple[str, ...]:
        """The same for a person; one that says so where nothing has changed."""
        return tuple(one.sentence for one in self.changes) or ("nothing has changed",)

    def as_json(self) -> list[dict[str, object]]:
        """Return the changes as plain values."""
        return [
            {"key": one.key, "effect": one.effect.value, "old": one.old, "new": one.new}
            for one in self.changes
        ]


def changes(old: NodeConfig, new: NodeConfig, *, can: Collection[str] = RELOADABLE) -> Changes:
    """Compare what holds with what the configuration says by now.

    Args:
        can: names of the settings that the running host knows how to apply; what it does not needs a restart, whatever
            the table says.
    """
    found: list[Change] = []
    holds: dict[str, Any] = {}
    # Peers of another swarm are nobody to be met from within this one.
    moves = old.network != new.network
    for setting in (SLICE, *SETTINGS):
        before, after = setting.of(old), setting.of(new)
        if before == after or _same_peers(setting, before, after):
            continue
        if setting.name not in can or setting.reload is Reload.RESTART:
            found.append(_change(setting, Effect.RESTART, before, after))
        elif setting.reload is Reload.NOW:
            found.append(_change(setting, Effect.NOW, before, after))
            holds |= setting.fields(after)
        elif isinstance(before, tuple) and isinstance(after, tuple):
            added = () if moves else tuple(one for one in after if one not in before)
            between = (*before, *added)
            if added:
                found.append(_change(setting, Effect.NOW, before, between))
                holds |= setting.fields(between)
            if set(after) != set(between):
                found.append(_change(setting, Effect.RESTART, between, after))
    return Changes(changes=tuple(found), config=replace(old, **holds))


def _same_peers(setting: Setting, old: object, new: object) -> bool:
    """Whether a list whose order says nothing holds the same."""
    if setting.reload is not Reload.ADDED:
        return False
    return isinstance(old, tuple) and isinstance(new, tuple) and set(old) == set(new)


def _change(setting: Setting, effect: Effect, old: object, new: object) -> Change:
    return Change(
        key=setting.key,
        effect=effect,
        old=None if setting.secret else plain(old),
        new=None if setting.secret else plain(new),
        was=_words(setting, old),
        becomes=_words(setting, new),
    )


def plain(value: object) -> Plain:
    """Return the value of a setting as JSON has it; what is off is false."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return [str(plain(one)) for one in value]
    if isinstance(value, Enum):
        return str(value.value)
    return value.hex() if isinstance(value, bytes) else str(value)


def _words(setting: Setting, value: object) -> str:
    if setting.secret:
        return _KEPT
    if value is None or value == ():
        return f"the default, {setting.default}"
    if value is False:
        return "off"
    if value is True:
        return "on"
    if setting.metavar == _SIZE and isinstance(value, int):
        return sizes.written(value)
    shown = plain(value)
    if isinstance(shown, list):
        return ", ".join(shown)
    return f"{shown:g}" if isinstance(shown, float) else str(shown)
