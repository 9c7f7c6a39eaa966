"""What each command of the control socket can be told. A field is an argument: its name, kind, bounds and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Final

from node.control.kinds import Flag, Layers, Number, OneOf, Text, Whole
from node.control.limits import MAX_GRACE_S, MAX_LOG_RECORDS, MAX_MODEL_CHARS, MAX_SLICE_CHARS
from node.control.shapes import Argument
from wire.types import LayerRange


class LogLevel(Enum):
    """How grave a log record is at the least."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


_MODEL: Final = Argument(
    Text(MAX_MODEL_CHARS), "`pocket`, the folder of a checkpoint, a model id, or hf:org/name[@revision]"
)
_LAYERS: Final = Argument(Layers(), "layers to serve; all of the model's when left out")
_SLICE: Final = Argument(Text(MAX_SLICE_CHARS), "a slice as `hosting` names it; all of them when left out")
_GRACE: Final = Argument(
    Number(0, MAX_GRACE_S), "seconds that sessions may still take; as configured when left out"
)
_FOLLOW: Final = Argument(Flag(), "go on with new records until cancelled")
_LINES: Final = Argument(
    Whole(0, MAX_LOG_RECORDS), "how many past records, as far as they were kept; 100 when left out"
)
_LEVEL: Final = Argument(OneOf(LogLevel), "records at least so grave; `info` when left out")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoArguments:
    """Of commands that need to be told nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinArguments:
    """What to load."""

    model: Annotated[str, _MODEL]
    layers: Annotated[LayerRange | None, _LAYERS] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceArguments:
    """Which slice."""

    slice: Annotated[str | None, _SLICE] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainArguments:
    """Which slice, and how long its sessions may still take."""

    slice: Annotated[str | None, _SLICE] = None
    grace_s: Annotated[float | None, _GRACE] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsArguments:
    """Which records of the log."""

    follow: Annotated[bool, _FOLLOW] = False
    lines: Annotated[int, _LINES] = 100
    level: Annotated[LogLevel, _LEVEL] = LogLevel.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class StopArguments:
    """How to end."""

    grace_s: Annotated[float | None, _GRACE] = None
