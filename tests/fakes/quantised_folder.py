"""Quantised folders for tests, made as `lamella-node quantise` makes them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from node.quantise_cli import QuantiseConfig
from node.status import StatusLine
from wire.tensors import WeightFormat


def make(model: Path | str, weights: WeightFormat, out: Path, **options: Any) -> Path:
    """Quantise a checkpoint into `out`, in shards of 200 kB, without measuring unless asked; returns `out`."""
    from node import quantising

    config = QuantiseConfig(
        model=str(model), weights=weights, out=out, **({"measure": False, "threads": 1} | options)
    )
    quantising.run(config, quiet(), shard_bytes=200_000)
    return out


def quiet(out: io.StringIO | None = None) -> StatusLine:
    """A status line that nobody reads, or that is read from `out` as JSON."""
    return StatusLine(as_json=True, out=out or io.StringIO(), err=io.StringIO())
