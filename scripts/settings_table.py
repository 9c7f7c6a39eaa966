"""The table of `docs/configuration.md`, made from `node/settings.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.settings import LAYERS, MODEL, SETTINGS, Setting
from scripts.spec_tables import markdown

_HEADER: Final = ("key", "value", "flag", "variable", "default", "after a reload", "meaning")


def tables() -> dict[str, Callable[[], str]]:
    """Every table: its name in the markers, and what renders it."""
    return {"configuration/keys": keys}


def keys() -> str:
    """A row for each key of the file, those of a slice first."""
    rows = [_row(setting, f"`{setting.key}` of `[[slice]]`") for setting in (MODEL, LAYERS)]
    rows += [_row(setting, f"`{setting.key}`") for setting in SETTINGS]
    return markdown(_HEADER, rows)


def _row(setting: Setting, key: str) -> tuple[str, ...]:
    value = setting.metavar or "true or false"
    return (
        key,
        f"list of {value}" if setting.repeats or setting is LAYERS else value,
        ", ".join(f"`{flag}`" for flag in setting.flags),
        ", ".join(f"`{variable}`" for variable in reversed(setting.variables)),
        setting.default,
        setting.reload.value,
        setting.help,
    )
