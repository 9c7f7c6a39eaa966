"""What a checkpoint's config says of the model, as plain values for those who plan; loads no weight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node import quantised
from node.quantised import Measured
from node.slices.beside import joined_layers, tokens_until
from node.slices.errors import BadCheckpoint
from node.slices.families import load_config, max_positions
from node.slices.spec import DTYPES
from wire.tensors import WeightFormat
from wire.types import LayerRange


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """A model in a few numbers."""

    model_type: str
    num_layers: int
    hidden_size: int
    max_positions: int
    tokens_until: int = 0
    """The layers before this one need their tokens' ids beside the hidden states; 0 where none does."""
    joined: tuple[LayerRange, ...] = ()
    """Stretches of layers that no cut may part."""
    dtype: str
    """What the weights are stored in, one of `DTYPES`; bfloat16 when the config does not say."""
    weights: WeightFormat = WeightFormat.NATIVE
    """What its folder keeps the matrices in."""
    measured: Measured | None = None
    """What that cost, where it was measured when the folder was made."""


def read_facts(folder: Path) -> ModelFacts:
    """Read and check a checkpoint's config. Imports torch: call it on the compute thread.

    Raises `BadCheckpoint` or `UnsupportedModel`.
    """
    family, config = load_config(folder)
    stored = _stored_dtype(folder)
    note = read_note(folder)
    text = config.get_text_config()
    return ModelFacts(
        model_type=config.model_type,
        num_layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        max_positions=max_positions(text),
        tokens_until=tokens_until(family.tokens, text),
        joined=joined_layers(text),
        dtype=stored if stored in DTYPES else "bfloat16",
        weights=note.weights if note is not None else WeightFormat.NATIVE,
        measured=note.measured if note is not None else None,
    )


def _stored_dtype(folder: Path) -> str:
    from node.slices.families import MAX_CONFIG_BYTES
    from node.slices.weights import read_json

    raw = read_json(folder / "config.json", MAX_CONFIG_BYTES)
    return str(raw.get("dtype") or raw.get("torch_dtype"))


def read_note(folder: Path) -> quantised.Note | None:
    """What a folder says of its quantised weights, None where it has none. Raises `BadCheckpoint`."""
    try:
        return quantised.read(folder)
    except quantised.BadNote as error:
        raise BadCheckpoint(error.path, error.problem, next_step=error.next_step) from error
