"""What a checkpoint's config says of the model, as plain values for those who plan; loads no weight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.slices.beside import joined_layers, tokens_until
from node.slices.families import load_config, max_positions
from node.slices.spec import DTYPES
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


def read_facts(folder: Path) -> ModelFacts:
    """Read and check a checkpoint's config. Imports torch: call it on the compute thread.

    Raises `BadCheckpoint` or `UnsupportedModel`.
    """
    family, config = load_config(folder)
    stored = _stored_dtype(folder)
    text = config.get_text_config()
    return ModelFacts(
        model_type=config.model_type,
        num_layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        max_positions=max_positions(text),
        tokens_until=tokens_until(family.tokens, text),
        joined=joined_layers(text),
        dtype=stored if stored in DTYPES else "bfloat16",
    )


def _stored_dtype(folder: Path) -> str:
    from node.slices.families import MAX_CONFIG_BYTES
    from node.slices.weights import read_json

    raw = read_json(folder / "config.json", MAX_CONFIG_BYTES)
    return str(raw.get("dtype") or raw.get("torch_dtype"))
