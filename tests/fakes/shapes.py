"""Shapes of models that nobody has trained, for planners."""

from __future__ import annotations

from node.planning.shape import LayerShape, ModelShape
from wire.tensors import WeightFormat
from wire.types import LayerRange

MB = 1_000_000
_PART_OF_NATIVE = {
    WeightFormat.NATIVE: 1.0,
    WeightFormat.INT8: 0.5,
    WeightFormat.INT4_32: 0.3125,
    WeightFormat.INT4_64: 0.28125,
    WeightFormat.INT4_128: 0.265625,
}


def layer(mb: float, position_bytes: int = 0) -> LayerShape:
    """A layer of so many MB in its native format."""
    weights = {form: round(part * mb * MB) for form, part in _PART_OF_NATIVE.items()}
    return LayerShape(weights=weights, reads=weights, position_bytes=position_bytes)


def shape(
    count: int,
    mb: float = 100.0,
    *,
    head_mb: float = 100.0,
    embed_mb: float = 100.0,
    position_bytes: int = 0,
    joined: tuple[LayerRange, ...] = (),
) -> ModelShape:
    """A model of `count` layers that are all alike."""
    return ModelShape(
        layers=tuple(layer(mb, position_bytes) for _ in range(count)),
        formats=tuple(WeightFormat),
        dtype="bfloat16",
        embed_bytes=round(embed_mb * MB),
        head={
            form: round((1.0 if form is WeightFormat.NATIVE else 0.5) * head_mb * MB) for form in WeightFormat
        },
        tied=False,
        hidden_bytes=8_192,
        joined=joined,
        max_positions=32_768,
    )
