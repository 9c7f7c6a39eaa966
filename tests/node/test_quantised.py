"""The note of a quantised folder comes back as it was written, and a damaged or lying one is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node import quantised
from node.quantised import BadNote, Measured, Note
from wire.tensors import WeightFormat
from wire.types import ModelId

MODEL = ModelId(bytes(range(32)))
MEASURED = Measured(
    tokens=254, relative_error=0.01, top1_agreement=0.992, perplexity=12.5, native_perplexity=12.25
)
GOOD: dict[str, Any] = {"format": 1, "model": str(MODEL), "weights": "int8"}


@pytest.mark.parametrize("measured", [None, MEASURED])
def test_what_is_written_is_read(tmp_path: Path, measured: Measured | None) -> None:
    note = Note(model=MODEL, weights=WeightFormat.INT4_64, measured=measured)
    (tmp_path / quantised.FILE).write_bytes(quantised.encode(note))
    assert quantised.read(tmp_path) == note


def test_a_folder_without_a_note_is_not_quantised(tmp_path: Path) -> None:
    assert quantised.read(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "has format 2, this program reads 1"),
        ({"format": True}, "has format True"),
        ({"format": None}, "has format None"),
        ({"model": 7}, "names the model 7"),
        ({"model": "bafk"}, "no model id"),
        ({"weights": "native"}, "has weights 'native', not one of int8"),
        ({"weights": ["int8"]}, "has weights"),
        ({"measured": []}, "tokens is None"),
        ({"measured": {"tokens": 3}}, "relative_error is None"),
        ({"measured": {"tokens": "many"}}, "tokens is 'many'"),
        ({"measured": {"tokens": -1}}, "tokens is -1"),
        ({"measured": {"tokens": float("nan")}}, "tokens is nan"),
        ({"measured": {"tokens": float("inf")}}, "tokens is inf"),
    ],
)
def test_a_note_that_cannot_be_true_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    (tmp_path / quantised.FILE).write_text(json.dumps(GOOD | change))
    with pytest.raises(BadNote, match="quantise the model again") as caught:
        quantised.read(tmp_path)
    assert said in str(caught.value)
    assert caught.value.path == tmp_path / "lamella.json"


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "7", '"' + "x" * quantised.MAX_BYTES])
def test_what_is_no_note_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / quantised.FILE).write_text(text)
    with pytest.raises(BadNote, match=r"lamella\.json"):
        quantised.read(tmp_path)


def test_a_note_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / quantised.FILE).mkdir()
    with pytest.raises(BadNote, match="cannot be read"):
        quantised.read(tmp_path)


def test_what_was_measured_is_one_sentence() -> None:
    assert str(MEASURED) == (
        "relative logit error 0.0100, same likeliest token 99.2%, perplexity 12.5 (native 12.25), over 254 tokens"
    )
