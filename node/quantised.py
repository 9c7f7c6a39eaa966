"""`lamella.json`: what a folder of quantised weights says of itself. Layout: `docs/quantised-folders.md`.

A checkpoint without this file is not quantised. Read by those who name models and by those who load them, who do not
know each other; so it stands here.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from node.errors import NodeError
from wire.tensors import WeightFormat
from wire.types import ModelId

FILE: Final = "lamella.json"
FORMAT: Final = 1
"""The version of the folder's layout that is written, and the only one that is read."""
MAX_BYTES: Final = 64 * 1024
"""Security limit."""
_LARGEST: Final = 1e308


class BadNote(NodeError):
    """The file that says what a folder of quantised weights is cannot be used."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}", "quantise the model again with `lamella-node quantise`")
        self.path = path
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What quantising cost, on a text: the format against native weights in bfloat16."""

    tokens: int
    """Positions compared."""
    relative_error: float
    """The norm of the difference of all logits over the norm of the native ones."""
    top1_agreement: float
    """The part of positions at which both think the same token the likeliest."""
    perplexity: float
    native_perplexity: float

    def __str__(self) -> str:
        return (
            f"relative logit error {self.relative_error:.4f}, same likeliest token {self.top1_agreement:.1%}, "
            f"perplexity {self.perplexity:.4g} (native {self.native_perplexity:.4g}), over {self.tokens} tokens"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What stands in the file."""

    model: ModelId
    """Of the checkpoint that was quantised: who serves either serves the same model."""
    weights: WeightFormat
    measured: Measured | None = None


def read(folder: Path) -> Note | None:
    """Read a folder's note; None where there is none. Raises `BadNote`."""
    path = folder / FILE
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadNote(path, f"cannot be read ({error.strerror})") from error
    return decode(path, text)


def decode(path: Path, text: bytes) -> Note:
    """Read the contents of the file, which is called `path`. Raises `BadNote`."""
    if len(text) > MAX_BYTES:
        raise BadNote(path, f"is larger than {MAX_BYTES} bytes")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadNote(path, "is not JSON") from error
    if not isinstance(value, dict):
        raise BadNote(path, "is not a JSON object")
    if value.get("format") != FORMAT or type(value["format"]) is not int:
        raise BadNote(path, f"has format {value.get('format')!r}, this program reads {FORMAT}")
    return Note(
        model=_model(path, value.get("model")),
        weights=_weights(path, value.get("weights")),
        measured=_measured(path, value["measured"]) if value.get("measured") is not None else None,
    )


def encode(note: Note) -> bytes:
    """The contents of the file."""
    value: dict[str, Any] = {"format": FORMAT, "model": str(note.model), "weights": note.weights.value}
    if note.measured is not None:
        value["measured"] = asdict(note.measured)
    return (json.dumps(value, indent=2) + "\n").encode()


def _model(path: Path, value: object) -> ModelId:
    try:
        return ModelId.parse(value if isinstance(value, str) else "")
    except ValueError as error:
        raise BadNote(path, f"names the model {value!r}, which is no model id") from error


def _weights(path: Path, value: object) -> WeightFormat:
    quantised = [one for one in WeightFormat if one is not WeightFormat.NATIVE]
    for one in quantised:
        if value == one.value:
            return one
    raise BadNote(path, f"has weights {value!r}, not one of {', '.join(one.value for one in quantised)}")


def _measured(path: Path, value: object) -> Measured:
    found: dict[str, float] = {}
    for field in fields(Measured):
        number = value.get(field.name) if isinstance(value, dict) else None
        if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number <= _LARGEST:
            raise BadNote(path, f"says that {field.name} is {number!r}, which is not what is measured")
        found[field.name] = number
    return Measured(
        tokens=int(found["tokens"]),
        relative_error=found["relative_error"],
        top1_agreement=found["top1_agreement"],
        perplexity=found["perplexity"],
        native_perplexity=found["native_perplexity"],
    )
