"""What is not on the proven list is refused by name, and a config is checked before anything is built from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.slices.errors import BadCheckpoint, UnsupportedModel
from node.slices.families import FAMILIES, REFUSED, causal_class, family_of, load_config, read_table
from node.slices.load import load_slice
from node.slices.spec import SliceSpec
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange


def with_config(folder: Path, **fields: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(fields))
    return folder


@pytest.mark.parametrize("model_type", ["zaya", "rwkv", "hy_v4", "llama9000"])
def test_a_family_off_the_list_is_refused_by_name_with_a_reason(model_type: str) -> None:
    with pytest.raises(UnsupportedModel, match=model_type) as caught:
        family_of({"model_type": model_type})
    assert "llama" in caught.value.reason


@pytest.mark.parametrize("model_type", sorted(REFUSED))
def test_each_refused_family_is_refused_for_its_reason_before_its_files_are_looked_at(
    model_type: str, tmp_path: Path
) -> None:
    folder = with_config(tmp_path, model_type=model_type)
    spec = SliceSpec(checkpoint=folder, layers=LayerRange(0, 1))
    with pytest.raises(UnsupportedModel) as caught:
        load_slice(spec)
    assert caught.value.model_type == model_type
    assert caught.value.reason.startswith(REFUSED[model_type])
    assert len(REFUSED[model_type]) < 120


def test_the_table_is_sorted_data_and_nothing_else() -> None:
    table = read_table()
    assert list(table) == sorted(table)
    assert len(FAMILIES) + len(REFUSED) == len(table)
    assert {row["verdict"] for row in table.values()} == {"exact", "refused"}


def test_layers_that_need_tokens_or_share_keys_are_refused_in_a_family_not_proven_with_them(
    tiny: TinyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = json.loads((tiny("gemma4_text") / "config.json").read_text())
    folder = with_config(tmp_path, **fields)
    family, _ = load_config(folder)
    assert family.tokens == "embedded"
    monkeypatch.setitem(FAMILIES, "gemma4_text", replace(family, tokens=""))
    with pytest.raises(UnsupportedModel, match="need the tokens"):
        load_config(folder)
    monkeypatch.setitem(FAMILIES, "gemma4_text", replace(family, state=("full_attention",)))
    with pytest.raises(UnsupportedModel, match="share keys"):
        load_config(folder)


def test_a_checkpoint_that_does_not_use_what_its_family_may_need_is_run_without(
    tiny: TinyModels, tmp_path: Path
) -> None:
    fields = json.loads((tiny("gemma4_text") / "config.json").read_text())
    fields |= {"hidden_size_per_layer_input": 0}
    with pytest.raises(UnsupportedModel, match="share keys"):
        load_config(with_config(tmp_path, **fields))
    family, _ = load_config(with_config(tmp_path, **(fields | {"num_kv_shared_layers": 0})))
    assert family.tokens == ""


@pytest.mark.parametrize("change", [{"num_kv_shared_layers": 5}, {"altup_num_inputs": 1 << 20}])
def test_streams_and_sharing_beyond_the_layers_are_no_config(
    tiny: TinyModels, tmp_path: Path, change: dict[str, int]
) -> None:
    fields = json.loads((tiny("gemma3n_text") / "config.json").read_text())
    with pytest.raises(BadCheckpoint, match=next(iter(change))):
        load_config(with_config(tmp_path, **(fields | change)))


def test_a_layer_cannot_be_made_to_repeat_itself_without_end(tiny: TinyModels, tmp_path: Path) -> None:
    fields = json.loads((tiny("deepseek_v4") / "config.json").read_text())
    with pytest.raises(BadCheckpoint, match="hc_sinkhorn_iters"):
        load_config(with_config(tmp_path, **(fields | {"hc_sinkhorn_iters": 1 << 20})))


def test_numbers_that_json_lacks_are_read(tiny: TinyModels) -> None:
    _, config = load_config(tiny("bamba"))
    assert config.time_step_limit == (0.0, float("inf"))


def test_the_text_part_of_a_model_that_sees_is_what_is_run(tiny: TinyModels) -> None:
    family, config = load_config(tiny("qwen3_5"))
    assert family.class_name == "Qwen3_5ForCausalLM"
    assert config.model_type == "qwen3_5_text"


def test_a_config_within_the_config_is_checked_and_cleaned_too(tiny: TinyModels, tmp_path: Path) -> None:
    fields = json.loads((tiny("mistral3") / "config.json").read_text())
    fields["text_config"] |= {"attn_implementation": "stranger/kernels"}
    _, config = load_config(with_config(tmp_path, **fields))
    assert "kernels" not in str(config.text_config._attn_implementation)
    fields["text_config"] |= {"num_hidden_layers": 10**9}
    with pytest.raises(BadCheckpoint, match="num_hidden_layers"):
        load_config(with_config(tmp_path, **fields))


def test_no_family_is_both_supported_and_refused() -> None:
    assert not set(FAMILIES) & set(REFUSED)


def test_every_family_on_the_list_has_its_class() -> None:
    assert causal_class(FAMILIES["gemma3_text"]).__name__ == "Gemma3ForCausalLM"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "no model_type"),
        ({"model_type": 5}, "no model_type"),
        ({"model_type": "llama", "quantization_config": {"bits": 4}}, "quantised"),
        ({"model_type": "llama", "rope_scaling": {"type": "dynamic", "factor": 2.0}}, "sessions"),
        ({"model_type": "llama", "rope_parameters": {"rope_type": "dynamic"}}, "sessions"),
        ({"model_type": "deepseek_v4", "rope_parameters": {"main": {"rope_type": "dynamic"}}}, "sessions"),
    ],
)
def test_what_a_supported_family_may_not_ask_for_is_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        family_of(fields)


def test_a_missing_folder_or_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"nothing.*not a folder"):
        load_config(tmp_path / "nothing")
    with pytest.raises(BadCheckpoint, match=r"config\.json.*is missing"):
        load_config(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '"llama"'])
def test_garbage_for_a_config_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(BadCheckpoint, match=r"config\.json"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": "five"},
        {"hidden_size": 0},
        {"vocab_size": True},
        {"max_position_embeddings": None},
        {"num_attention_heads": "many"},
        {"num_attention_heads": 4, "num_key_value_heads": 3},
        {"num_experts": 10**9},
        {"num_experts": 4, "num_experts_per_tok": 5},
        {"moe_intermediate_size": 1 << 40},
        {"sliding_window": -8},
        {"layer_types": ["full_attention"] * 3, "num_hidden_layers": 2},
        {"layer_types": 3, "num_hidden_layers": 2},
    ],
)
def test_a_config_with_impossible_numbers_is_refused_before_it_is_used(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    with pytest.raises(BadCheckpoint, match=r"config\.json"):
        load_config(with_config(tmp_path, model_type="qwen2", **fields))


def test_a_config_cannot_choose_code_kernels_or_files(tiny: TinyModels, tmp_path: Path) -> None:
    fields = json.loads((tiny("llama") / "config.json").read_text())
    fields |= {
        "auto_map": {"AutoModelForCausalLM": "evil.py--Evil"},
        "attn_implementation": "stranger/kernels",
        "_attn_implementation": "stranger/kernels",
        "transformers_weights": "../../elsewhere.safetensors",
    }
    _, config = load_config(with_config(tmp_path, **fields))
    assert "kernels" not in str(config._attn_implementation)
    assert not hasattr(config, "auto_map")
    assert getattr(config, "transformers_weights", None) is None
