"""What each layer keeps decides the cache a session gets, and what it may cost."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig

from node.slices.cache import SliceCache, capacity
from node.slices.cache_plan import CachePlan, layer_kinds
from node.slices.errors import UnsupportedModel
from node.slices.families import load_config
from node.slices.state_cache import StateCache
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange


def plan(tiny: TinyModels, family: str) -> CachePlan:
    return CachePlan(load_config(tiny(family))[1].get_text_config(), torch.float32)


def test_keys_and_values_alone_have_our_cache_and_anything_else_transformers_own(tiny: TinyModels) -> None:
    assert type(plan(tiny, "gemma3_text").new(LayerRange(0, 2))) is SliceCache
    assert type(plan(tiny, "jamba").new(LayerRange(0, 2))) is StateCache


def test_the_kinds_and_windows_are_those_of_the_config(tiny: TinyModels) -> None:
    made = plan(tiny, "gemma3_text")
    assert made.kinds[:2] == ("sliding_attention", "full_attention")
    assert made.windows[:2] == (8, None)
    assert made.rows(1, 200) == capacity(200, None)
    mixed = plan(tiny, "jamba")
    assert set(mixed.kinds) == {"linear_attention", "full_attention"}
    assert mixed.rows(0, 200) == 200


@pytest.mark.parametrize("rate", [0, -4, "4", None, True, 1 << 25])
def test_a_number_of_positions_that_cannot_become_one_is_refused(tiny: TinyModels, rate: object) -> None:
    config = load_config(tiny("deepseek_v4"))[1]
    assert layer_kinds(config)[1] == (8,) * 5
    config.compress_rates = {"compressed_sparse_attention": 4, "heavily_compressed_attention": rate}
    with pytest.raises(UnsupportedModel, match="it compresses"):
        layer_kinds(config)


def test_compressed_keys_of_a_family_that_has_none_are_refused() -> None:
    config = LlamaConfig(num_hidden_layers=2)
    config.layer_types = ["full_attention", "heavily_compressed_attention"]
    with pytest.raises(UnsupportedModel):
        layer_kinds(config)


def test_a_kind_of_layer_that_no_cache_knows_is_refused() -> None:
    config = LlamaConfig(num_hidden_layers=2)
    config.layer_types = ["full_attention", "telepathy"]
    with pytest.raises(UnsupportedModel, match="telepathy"):
        layer_kinds(config)
