"""A tensor on disk goes to the part of the model that it belongs to, whatever the checkpoint calls it."""

from __future__ import annotations

import pytest
import torch

from node.slices.families import FAMILIES, causal_class, load_config
from node.slices.names import Names, Parts, Place, needed, place_of
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange


def names(tiny: TinyModels, family: str) -> Names:
    entry, config = load_config(tiny(family))
    with torch.device("meta"):
        return Names(causal_class(entry)(config), entry)


@pytest.mark.parametrize(
    ("family", "name", "place"),
    [
        ("llama", "model.layers.3.mlp.up_proj.weight", 3),
        ("llama", "model.embed_tokens.weight", Place.EMBED),
        ("llama", "model.norm.weight", Place.AFTER),
        ("llama", "lm_head.weight", Place.HEAD),
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", Place.NOWHERE),
        ("llama", "model.layers.0.self_attn.q_proj.bias", 0),
        ("llama", "something.else", Place.NOWHERE),
        ("mixtral", "model.layers.2.block_sparse_moe.experts.3.w1.weight", 2),
        ("gpt2", "transformer.wpe.weight", Place.BEFORE),
        ("gpt2", "wpe.weight", Place.BEFORE),
        ("gpt2", "h.4.attn.c_attn.weight", 4),
        ("gpt2", "ln_f.bias", Place.AFTER),
        ("gpt_neox", "gpt_neox.embed_in.weight", Place.EMBED),
        ("bloom", "word_embeddings_layernorm.weight", Place.BEFORE),
        ("deepseek_v4", "model.norm.weight", Place.AFTER),
        ("deepseek_v4", "norm.weight", Place.AFTER),
        ("deepseek_v4", "layers.1.attn.indexer.compressor.norm.weight", 1),
    ],
)
def test_each_tensor_has_its_place(tiny: TinyModels, family: str, name: str, place: Place | int) -> None:
    assert names(tiny, family).place(name) == place


def test_a_table_of_integers_is_known_by_the_name_it_has_on_disk(tiny: TinyModels) -> None:
    found = names(tiny, "deepseek_v4")
    assert found.is_table("layers.2.ffn.gate.tid2eid")
    assert not found.is_table("layers.2.ffn.gate.weight")
    assert not found.is_table("layers.4.ffn.gate.tid2eid"), "this layer has none"
    assert not names(tiny, "llama").is_table("model.layers.2.mlp.gate.tid2eid")


def test_a_numbered_module_that_is_no_layer_of_the_stack_is_not_taken_for_one() -> None:
    assert place_of("model.layers.7.norm.weight", FAMILIES["llama"]) == 7
    assert place_of("vision.layers.7.norm.weight", FAMILIES["llama"]) is Place.EVERYWHERE


def test_each_end_takes_what_is_its_own() -> None:
    front = Parts(layers=LayerRange(0, 2), embed=True, head=False)
    middle = Parts(layers=LayerRange(2, 3), embed=False, head=False)
    tail = Parts(layers=LayerRange(3, 5), embed=False, head=True)
    taken = {
        place: [needed(place, parts, tied=False) for parts in (front, middle, tail)]
        for place in (*Place, 1, 2, 4)
    }
    assert taken == {
        Place.EMBED: [True, False, False],
        Place.BEFORE: [True, False, False],
        Place.AFTER: [False, False, True],
        Place.HEAD: [False, False, True],
        Place.EVERYWHERE: [True, True, True],
        Place.NOWHERE: [False, False, False],
        1: [True, False, False],
        2: [False, True, False],
        4: [False, False, True],
    }
    assert needed(Place.EMBED, tail, tied=True)


def test_a_head_that_is_tied_says_so(tiny: TinyModels) -> None:
    assert names(tiny, "gemma2").tied
    assert not names(tiny, "llama").tied


def test_a_tensor_that_the_model_has_no_use_for_is_told_from_one_that_is_converted(tiny: TinyModels) -> None:
    llama, mixtral = names(tiny, "llama"), names(tiny, "mixtral")
    assert llama.is_unknown("model.layers.2.self_attn.q_proj.bias")
    assert not llama.is_unknown("model.layers.2.self_attn.q_proj.weight")
    assert not mixtral.is_unknown("model.layers.2.block_sparse_moe.experts.3.w1.weight")
    assert mixtral.is_unknown("model.layers.2.mlp.up_proj.weight")
