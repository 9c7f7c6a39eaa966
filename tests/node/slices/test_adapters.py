"""Families with wishes of their own get them, and no others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.cache_utils import DynamicCache

from node.slices import adapters
from node.slices.errors import BadCheckpoint
from node.slices.load import load_slice
from node.slices.spec import SliceSpec
from tests.node.slices.conftest import TinyModels
from wire.types import LayerRange


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mamba = nn.Module()
        self.mamba.register_buffer("mup_vector", torch.ones(3), persistent=False)


def test_a_hole_of_falcon_h1_has_the_buffer_that_its_initialisation_writes_to() -> None:
    hole, other = nn.Module(), nn.Module()
    adapters.furnish_hole("falcon_h1", Layer(), hole)
    adapters.furnish_hole("llama", Layer(), other)
    assert dict(hole.named_buffers())["mamba.mup_vector"].shape == (3,)
    assert not hole.state_dict()
    assert not list(other.children())


class Gate(nn.Module):
    def __init__(self, table: list[int]) -> None:
        super().__init__()
        self.num_experts = 4
        self.register_buffer("tid2eid", torch.tensor([table]))


@pytest.mark.parametrize(("table", "good"), [([0, 3], True), ([0, 4], False), ([-1, 0], False), ([], True)])
def test_a_table_that_names_experts_that_there_are_not_is_found(table: list[int], good: bool) -> None:
    model = nn.Module()
    model.gate = Gate(table)
    other = nn.Module()
    other.add_module("layer", model)
    other.config = SimpleNamespace(model_type="deepseek_v4")  # type: ignore[assignment]  # as transformers' models have it
    assert adapters.bad_table(other) == (None if good else "layer.gate.tid2eid")
    other.config = SimpleNamespace(model_type="llama")  # type: ignore[assignment]  # the same
    assert adapters.bad_table(other) is None


@pytest.mark.parametrize(
    ("change", "good"), [(lambda table: table.int(), True), (lambda table: table + 3, False)]
)
def test_a_table_on_disk_is_of_integers_of_any_size_and_names_experts(
    tiny: TinyModels, tmp_path: Path, change: Callable[[torch.Tensor], torch.Tensor], good: bool
) -> None:
    folder = Path(shutil.copytree(tiny("deepseek_v4"), tmp_path / "copy"))
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        tables = {
            name: change(tensor) for name, tensor in tensors.items() if name.endswith("1.ffn.gate.tid2eid")
        }
        save_file(tensors | tables, path, metadata={"format": "pt"})
    for layer in (1, 2):
        spec = SliceSpec(checkpoint=folder, layers=LayerRange(layer, layer + 1), dtype="float32")
        if good or layer == 2:
            load_slice(spec)
        else:
            with pytest.raises(BadCheckpoint, match=r"layers\.1\..*tid2eid.*experts"):
                load_slice(spec)


def test_only_a_family_that_insists_gets_a_cache_class_of_its_own() -> None:
    assert adapters.cache_bases("llama") == ()
    (base,) = adapters.cache_bases("minimax")
    assert issubclass(base, DynamicCache)
