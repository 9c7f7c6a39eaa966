"""A model's facts come from its config alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node import quantised
from node.quantised import Measured, Note
from node.slices.errors import BadCheckpoint
from node.slices.facts import read_facts
from tests.node.slices.conftest import TinyModels
from wire.tensors import WeightFormat
from wire.types import LayerRange, ModelId


def test_the_facts_are_those_of_the_config_and_no_weight_is_needed(tiny: TinyModels, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((tiny("gemma2") / "config.json").read_text())
    facts = read_facts(tmp_path)
    assert (facts.model_type, facts.num_layers, facts.hidden_size) == ("gemma2", 5, 64)
    assert (facts.max_positions, facts.dtype) == (512, "float32")


@pytest.mark.parametrize("dtype", [None, "int3", 7])
def test_a_stored_dtype_nobody_serves_reads_as_bfloat16(
    tiny: TinyModels, tmp_path: Path, dtype: object
) -> None:
    config = json.loads((tiny("llama") / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"dtype": dtype}))
    assert read_facts(tmp_path).dtype == "bfloat16"


def test_a_quantised_folder_says_its_format_and_what_it_cost(tiny: TinyModels, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((tiny("llama") / "config.json").read_text())
    assert read_facts(tmp_path).weights is WeightFormat.NATIVE
    measured = Measured(
        tokens=1, relative_error=0.1, top1_agreement=1.0, perplexity=3.0, native_perplexity=2.0
    )
    note = Note(model=ModelId(bytes(32)), weights=WeightFormat.INT8, measured=measured)
    (tmp_path / quantised.FILE).write_bytes(quantised.encode(note))
    facts = read_facts(tmp_path)
    assert (facts.weights, facts.measured) == (note.weights, measured)
    (tmp_path / quantised.FILE).write_text("[")
    with pytest.raises(BadCheckpoint, match=r"lamella\.json: is not JSON; quantise the model again"):
        read_facts(tmp_path)


def test_a_folder_without_a_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"config\.json"):
        read_facts(tmp_path)


def test_what_layers_need_beside_hidden_states_is_a_fact(tiny: TinyModels) -> None:
    facts = read_facts(tiny("gemma3n_text"))
    assert (facts.tokens_until, facts.joined) == (5, (LayerRange(2, 5),))
    facts = read_facts(tiny("llama"))
    assert (facts.tokens_until, facts.joined) == (0, ())
