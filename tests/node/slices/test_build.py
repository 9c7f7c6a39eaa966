"""A model with holes keeps the names, the indexes and the class's identity of the whole one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig

from node.slices import build
from node.slices.errors import UnsupportedModel
from node.slices.families import FAMILIES, causal_class, load_config
from node.slices.names import Parts
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange


def made(
    tiny: TinyModels, family: str, start: int, end: int, *, embed: bool = False, head: bool = False
) -> Any:
    entry, config = load_config(tiny(family))
    parts = Parts(layers=LayerRange(start, end), embed=embed, head=head)
    with torch.device("meta"):
        cls = build.holed_class(causal_class(entry), entry, parts, build.Crossing(), lambda model: None)
        return cls(config)


def test_only_owned_layers_have_parameters_under_their_own_names(tiny: TinyModels) -> None:
    names = [name for name, _ in made(tiny, "llama", 1, 3).named_parameters()]
    assert {name.split(".")[2] for name in names} == {"1", "2"}
    assert "model.layers.2.self_attn.q_proj.weight" in names


def test_the_ends_are_there_when_they_are_owned(tiny: TinyModels) -> None:
    front = dict(made(tiny, "llama", 0, 0, embed=True).named_parameters())
    assert list(front) == ["model.embed_tokens.weight"]
    tail = dict(made(tiny, "llama", 5, 5, head=True).named_parameters())
    assert set(tail) == {"model.norm.weight", "lm_head.weight"}


def test_a_tied_tail_keeps_the_embedding_it_is_tied_to(tiny: TinyModels) -> None:
    tail = dict(made(tiny, "gemma2", 5, 5, head=True).named_parameters())
    assert "model.embed_tokens.weight" in tail


def test_the_class_looks_like_the_familys_own(tiny: TinyModels) -> None:
    model = made(tiny, "qwen3", 1, 2)
    assert type(model).__name__ == "Qwen3ForCausalLM"
    assert not model.is_custom_code()
    assert model.config.num_hidden_layers == 5
    assert len(build.layer_stack(model, FAMILIES["qwen3"])) == 5


def test_a_model_without_one_list_of_layers_is_refused() -> None:
    class Odd(nn.Module):
        base_model_prefix = "model"

        def __init__(self) -> None:
            super().__init__()
            self.config = LlamaConfig(num_hidden_layers=2)

    with pytest.raises(UnsupportedModel, match="one list"):
        build.layer_stack(Odd(), FAMILIES["llama"])


@pytest.mark.parametrize(("start", "end"), [(0, 3), (0, 0), (1, 2), (2, 3), (3, 3), (0, 1)])
def test_hidden_states_enter_and_leave_at_the_boundaries_of_the_range(start: int, end: int) -> None:
    class AddOne(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    crossing = build.Crossing()
    layers = nn.ModuleList(AddOne() for _ in range(3))
    stack = [build.Position(k, layers, crossing, keep=True) for k in range(3)]
    for incoming in (torch.tensor(100.0), None):
        crossing.begin(LayerRange(start, end), incoming)
        x = torch.tensor(0.0)
        for position in stack:
            x = position(x)
        before = 0 if incoming is None else 100
        assert crossing.take().item() == before + end - start
        if end == 3:
            assert x.item() == before + end - start
        crossing.end()
    with pytest.raises(RuntimeError, match="did not pass"):
        crossing.take()


@pytest.mark.parametrize("end", [1, 2, 3])
def test_a_forward_may_stop_where_its_layers_end(end: int) -> None:
    ran = []

    class Noted(nn.Module):
        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            ran.append(self.index)
            return x + 1

    crossing = build.Crossing()
    layers = nn.ModuleList(Noted(k) for k in range(3))
    stack = [build.Position(k, layers, crossing, keep=True) for k in range(3)]
    crossing.begin(LayerRange(0, end), None, stops=True)
    x = torch.tensor(0.0)
    with pytest.raises(build.EndReached):
        for position in stack:
            x = position(x)
    assert crossing.take().item() == end
    assert ran == list(range(end))


def test_a_hole_answers_what_the_familys_forward_reads_off_its_layers() -> None:
    class Layer(nn.Module):
        attention_type = "unused"

        def __init__(self) -> None:
            super().__init__()
            self.attention_type = "sliding_attention"
            self.weight = nn.Parameter(torch.ones(2))

    hole = build.Position(0, nn.ModuleList([Layer(), Layer()]), build.Crossing(), keep=False)
    assert hole.attention_type == "sliding_attention"
    assert not list(hole.parameters())


def test_tied_weights_are_counted_once() -> None:
    a, b = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    model = nn.Sequential(a, b)
    assert build.weight_bytes(model) == 128
    b.weight = a.weight
    assert build.weight_bytes(model) == 64


def test_a_hole_returns_what_the_familys_layers_return() -> None:
    layers = nn.ModuleList([nn.Identity(), nn.Identity()])
    crossing = build.Crossing()
    crossing.begin(LayerRange(0, 0), None)
    x = torch.ones(1, 1, 2)
    assert build.Position(1, layers, crossing, keep=False)(x) is x
    assert build.Position(1, layers, crossing, keep=False, extra_outputs=2)(x) == (x, None, None)


def test_a_layer_that_returns_more_than_hidden_states_hands_it_on_and_crosses_with_the_first() -> None:
    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, str]:
            return x + 1, "weights"

    crossing = build.Crossing()
    crossing.begin(LayerRange(1, 2), torch.tensor(5.0))
    position = build.Position(1, nn.ModuleList([Layer(), Layer()]), crossing, keep=True, extra_outputs=1)
    assert position(torch.tensor(0.0)) == (torch.tensor(6.0), "weights")
    assert crossing.take() == 6


def test_stand_ins_for_tables_give_zeros_where_they_are_asked_from() -> None:
    ids = torch.zeros(1, 3, dtype=torch.int64, device="meta")
    table, embedding = build.NoTable(torch.bfloat16), build.NoEmbedding(torch.bfloat16, 4)
    assert table(ids).is_meta and table(None, position_ids=ids).is_meta
    assert table(7).tolist() == [[[0.0]]]
    assert embedding(ids).is_meta and embedding(ids).shape == (1, 3, 4)


def test_a_stretch_of_the_stack_is_made_once() -> None:
    stack = build.Stack(nn.ModuleList([nn.Identity() for _ in range(4)]))
    assert stack[:3] is stack[:3]
    assert stack[:3] is not stack[1:]
    assert list(stack[1:3]) == [stack[1], stack[2]]
    assert list(stack[::-1]) == [stack[3], stack[2], stack[1], stack[0]]
    assert stack[-1] is list(stack)[3]
    assert len(stack[:9]) == len(stack) == 4
