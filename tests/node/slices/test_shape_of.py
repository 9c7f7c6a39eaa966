"""What a config says a slice costs is what the slice costs once it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node import quantised
from node.quantised import Note
from node.slices.errors import BadCheckpoint
from node.slices.load import load_slice
from node.slices.shape_of import packed_bytes, read_shape
from node.slices.spec import SliceSpec
from node.store.checkpoint import resolve
from tests.node.slices.conftest import TinyModels
from wire.tensors import WeightFormat
from wire.types import LayerRange, ModelId

FAMILIES = ("llama", "gemma2", "gpt2", "olmoe", "gemma3n_text", "falcon_h1")
"""Plain, sliding windows, turned matrices, experts, embeddings for every layer, recurrent states."""


def test_the_pocket_models_slices_are_told_to_the_byte() -> None:
    folder = resolve("pocket")
    shape = read_shape(folder)
    assert (shape.num_layers, shape.tied, shape.dtype, shape.formats) == (
        24,
        True,
        "bfloat16",
        tuple(WeightFormat),
    )
    assert shape.hidden_bytes == 2 * 128
    for weights in (WeightFormat.NATIVE, WeightFormat.INT8, WeightFormat.INT4_32):
        for layers, head in ((LayerRange(2, 3), False), (LayerRange(23, 24), True)):
            spec = SliceSpec(checkpoint=folder, layers=layers, head=head, weights=weights)
            held = load_slice(spec)
            assert shape.weight_bytes(layers, weights, head=head) == held.weight_bytes
            assert shape.kv_bytes(layers, 500) == held.kv_bytes(layers, 500)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_slices_weigh_what_its_config_says(tiny: TinyModels, family: str) -> None:
    shape = read_shape(tiny(family))
    layers = shape.joined[0] if shape.joined else LayerRange(1, 3)
    held = load_slice(SliceSpec(checkpoint=tiny(family), layers=layers, dtype="float32"))
    assert shape.weight_bytes(layers, WeightFormat.NATIVE) == pytest.approx(held.weight_bytes, rel=0.02)
    assert shape.kv_bytes(layers, 256) == pytest.approx(held.kv_bytes(layers, 256), rel=0.1)


def test_only_the_experts_that_a_token_chooses_are_read(tiny: TinyModels) -> None:
    layer = read_shape(tiny("olmoe")).layers[0]
    assert layer.reads[WeightFormat.INT8] < layer.weights[WeightFormat.INT8]
    dense = read_shape(tiny("llama")).layers[0]
    assert dense.reads == dense.weights


def test_layers_that_share_keys_are_a_stretch_that_no_cut_may_part(tiny: TinyModels) -> None:
    shape = read_shape(tiny("gemma3n_text"))
    assert shape.joined == (LayerRange(2, 5),)
    assert list(shape.cuts()) == [0, 1, 2, 5]


def test_a_config_is_enough_and_a_quantised_folder_has_one_format(tiny: TinyModels, tmp_path: Path) -> None:
    config = json.loads((tiny("llama") / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    note = Note(model=ModelId(bytes(32)), weights=WeightFormat.INT8)
    (tmp_path / quantised.FILE).write_bytes(quantised.encode(note))
    assert read_shape(tmp_path).formats == (WeightFormat.INT8,)


def test_a_folder_without_a_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"config\.json"):
        read_shape(tmp_path)


def test_a_matrix_that_does_not_suit_a_format_keeps_more_bits() -> None:
    assert packed_bytes(128, 64, WeightFormat.NATIVE) == 2 * 128 * 64
    assert packed_bytes(128, 64, WeightFormat.INT8) == 128 * 64 + 2 * 128
    assert packed_bytes(128, 64, WeightFormat.INT4_32) == 128 * 64 // 2 + 4 * 128 * 2
    assert packed_bytes(128, 64, WeightFormat.INT4_128) == packed_bytes(128, 64, WeightFormat.INT8)
    assert packed_bytes(8, 64, WeightFormat.INT8) == 2 * 8 * 64
