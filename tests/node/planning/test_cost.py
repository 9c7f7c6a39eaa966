"""The estimate, and how near it is to what was measured."""

from __future__ import annotations

import json

import pytest

from node.planning.cost import PROCESS_BYTES, Costs, Load
from node.planning.machines import Machine
from node.planning.shape import ModelShape
from node.slices.shape_of import read_shape
from scripts.make_model import SHAPES
from tests.fakes.shapes import MB, shape
from wire.tensors import WeightFormat
from wire.types import LayerRange

MEASURED_BANDWIDTH = 12.8
"""GB/s; what README's 11.9 tokens/s of native weights come to on the machine they were measured on."""


def test_memory_is_the_process_the_weights_and_all_sessions() -> None:
    model = shape(4, 10, head_mb=7, embed_mb=3, position_bytes=100)
    costs = Costs(model, WeightFormat.NATIVE, Load(sessions=3, context=1_280))
    two = PROCESS_BYTES + 2 * (10 * MB + 3 * 128_000)
    assert costs.host_bytes(LayerRange(1, 3), head=False) == two
    assert costs.host_bytes(LayerRange(2, 4), head=True) == two + 7 * MB
    assert costs.client_bytes(2, head=False) == two + 3 * MB


def test_a_stage_takes_its_bytes_over_what_the_machine_reads() -> None:
    costs = Costs(shape(4, 100, head_mb=200), WeightFormat.NATIVE, Load(context=0))
    slow, fast = (Machine(name="a", memory=1, bandwidth=rate) for rate in (10, 20))
    assert costs.stage_s(slow, LayerRange(0, 2), head=False) == pytest.approx(0.0206)
    assert costs.stage_s(fast, LayerRange(0, 2), head=False) == pytest.approx(0.0106)
    assert costs.stage_s(slow, LayerRange(3, 4), head=True) == pytest.approx(0.0303)


def test_a_longer_context_takes_longer() -> None:
    model = shape(4, 1, position_bytes=10_000)
    machine = Machine(name="a", memory=1)
    times = [
        Costs(model, WeightFormat.NATIVE, Load(context=context)).stage_s(
            machine, LayerRange(0, 4), head=False
        )
        for context in (256, 8_192)
    ]
    assert times[0] < times[1]


@pytest.fixture(scope="module")
def half_a_billion(tmp_path_factory: pytest.TempPathFactory) -> ModelShape:
    folder = tmp_path_factory.mktemp("half-a-billion")
    model_type, fields = SHAPES["qwen2.5-0.5b"]
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "dtype": "bfloat16", **fields}))
    return read_shape(folder)


@pytest.mark.parametrize(
    ("weights", "measured"),
    [(WeightFormat.NATIVE, 11.9), (WeightFormat.INT8, 14.4), (WeightFormat.INT4_32, 18.7)],
)
def test_the_measured_speed_of_half_a_billion_parameters_is_estimated_within_a_tenth(
    half_a_billion: ModelShape, weights: WeightFormat, measured: float
) -> None:
    costs = Costs(half_a_billion, weights, Load(context=1_024))
    machine = Machine(name="a", memory=1, bandwidth=MEASURED_BANDWIDTH)
    assert 1 / costs.stage_s(machine, LayerRange(0, 24), head=True) == pytest.approx(measured, rel=0.1)
