"""Which matrices torchao is given on a GPU, and how; what it makes of them is seen by `pytest -m gpu` alone."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from node.slices.errors import InvalidSlice
from node.slices.kernels import gpu
from tests.fakes.gpu import Torchao
from wire.tensors import WeightFormat

CPU = torch.device("cpu")


class Model(nn.Module):
    """An embedding, a few linear modules, and a head."""

    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(128, 256)
        self.wide = nn.Linear(256, 192)
        self.narrow = nn.Linear(96, 64)
        self.router = nn.Linear(256, 8)
        self.precise = nn.Linear(256, 64)
        self.head = nn.Linear(256, 128, bias=False)
        if tied:
            self.head.weight = self.embedding.weight
        self.bfloat16()
        self.precise.float()

    def get_input_embeddings(self) -> nn.Module:
        return self.embedding

    def get_output_embeddings(self) -> nn.Module:
        return self.head


@pytest.fixture
def torchao(monkeypatch: pytest.MonkeyPatch) -> Torchao:
    stand_in = Torchao()
    stand_in.install(monkeypatch)
    return stand_in


def test_native_weights_need_no_torchao(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    model = Model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gpu.quantise(model, WeightFormat.NATIVE, CPU, embed=True)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_without_torchao_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(InvalidSlice, match=r"need torchao .*pip install lamella\[cuda\]"):
        gpu.quantise(Model(), WeightFormat.INT8, CPU, embed=True)


def test_int8_is_asked_for_what_the_cpu_keeps_in_int8_and_without_settings_of_the_whole_process(
    torchao: Torchao,
) -> None:
    gpu.quantise(Model(), WeightFormat.INT8, CPU, embed=True)
    options = {"set_inductor_config": False}
    assert torchao.asked == [
        ((192, 256), "Int8WeightOnlyConfig", options),
        ((64, 96), "Int8WeightOnlyConfig", options),
        ((128, 256), "Int8WeightOnlyConfig", options),
    ]


def test_int4_leaves_the_head_and_rows_that_do_not_divide_in_int8(torchao: Torchao) -> None:
    gpu.quantise(Model(), WeightFormat.INT4_128, CPU, embed=True)
    assert [(shape, name) for shape, name, _ in torchao.asked] == [
        ((192, 256), "Int4WeightOnlyConfig"),
        ((64, 96), "Int8WeightOnlyConfig"),
        ((128, 256), "Int8WeightOnlyConfig"),
    ]
    assert torchao.asked[0][2] == {
        "group_size": 128,
        "int4_packing_format": "tile_packed_to_4d",
        "set_inductor_config": False,
    }


@pytest.mark.parametrize("embed", [True, False])
def test_an_embedding_that_only_the_head_needed_is_let_go(torchao: Torchao, embed: bool) -> None:
    model = Model(tied=True)
    gpu.quantise(model, WeightFormat.INT8, CPU, embed=embed)
    assert model.embedding.weight.numel() == (128 * 256 if embed else 0)
    assert model.head.weight.shape == (128, 256)


def test_what_torchao_cannot_do_is_told(torchao: Torchao, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("Cannot use tinygemm int4 kernel with a device of compute capability (7, 5)")

    monkeypatch.setattr(sys.modules["torchao.quantization"], "quantize_", fail)
    with pytest.raises(InvalidSlice, match=r"in int4-128 on this GPU .*\(7, 5\).*serve in int8 or native"):
        gpu.quantise(Model(), WeightFormat.INT4_128, CPU, embed=True)


def test_parts_are_those_that_have_memory() -> None:
    class Wrapped:
        def __init__(self) -> None:
            self.codes, self.scale = torch.zeros(3, dtype=torch.int8), torch.zeros(1)

        def __tensor_flatten__(self) -> tuple[list[str], object]:
            return ["codes", "scale"], None

    plain, wrapped = torch.ones(2), Wrapped()
    assert gpu.parts(plain)[0] is plain
    # Acts as torchao's tensor.
    assert [part.nbytes for part in gpu.parts(wrapped)] == [3, 4]  # type: ignore[arg-type]
