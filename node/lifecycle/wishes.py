"""What a host may be asked to hold: a range of a model's layers, with its weights kept in some format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wire.errors import InvalidValue
from wire.tensors import WeightFormat
from wire.types import LayerRange

MAX_MODEL_CHARS: Final = 4096
"""As long as the path of a folder may be (Linux, PATH_MAX)."""


@dataclass(frozen=True, slots=True)
class SliceKey:
    """Which slice is spoken of. A host holds one of these once."""

    model: str
    """As the person named it: `pocket`, an absolute folder, a model id, `hf:org/name[@revision]`."""
    layers: LayerRange | None
    """None for all of the model's layers."""

    def __post_init__(self) -> None:
        if not (0 < len(self.model) <= MAX_MODEL_CHARS and self.model.isprintable()):
            raise InvalidValue(
                f"a model is named in one line of up to {MAX_MODEL_CHARS} characters, not {self.model[:60]!r}"
            )

    def __str__(self) -> str:
        return f"{self.model} {self.layers or 'all layers'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One slice that a host is to hold."""

    key: SliceKey
    weights: WeightFormat | None = None
    """As the host is configured when None."""
