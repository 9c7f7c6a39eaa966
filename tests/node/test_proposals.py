"""What fits is proposed with a command that a host takes; measured speed goes before an estimate."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from node import cli
from node.planning.cost import PROCESS_BYTES, Costs, Load
from node.planning.machines import Machine
from node.proposals import Device, Timed, best, propose, sentence
from tests.fakes.shapes import MB, shape
from wire.tensors import WeightFormat
from wire.types import LayerRange

RATES = {WeightFormat.NATIVE: 10.0, WeightFormat.INT8: 6.2, WeightFormat.INT4_32: 6.0}
LOAD = Load(context=1024)


def device(budget_mb: float, name: str = "cpu") -> Device:
    return Device(name=name, budget_bytes=PROCESS_BYTES + round(budget_mb * MB), gb_per_s=RATES)


def test_a_model_that_fits_is_served_whole_in_the_most_bits() -> None:
    found = propose("m", shape(10, 100), device(1500), LOAD)
    assert [(one.weights, one.layers, one.whole) for one in found] == [
        (form, 10, True) for form in (WeightFormat.NATIVE, WeightFormat.INT8, WeightFormat.INT4_32)
    ]
    advised = best(found)
    assert advised is not None
    assert advised.weights is WeightFormat.NATIVE
    assert advised.memory_bytes <= device(1500).budget_bytes


def test_one_that_fits_in_fewer_bits_only_is_served_in_those() -> None:
    advised = best(propose("m", shape(10, 100), device(600), LOAD))
    assert advised is not None
    assert (advised.weights, advised.whole) == (WeightFormat.INT8, True)


def test_of_one_that_does_not_fit_the_swarm_chooses_as_many_layers_as_do() -> None:
    found = propose("m", shape(100, 100), device(1000), LOAD)
    assert [one.layers for one in found] == [10, 20, 32]
    advised = best(found)
    assert advised is not None
    assert advised.layers == 32
    assert "--auto" in (advised.command or "")


def test_where_not_one_layer_fits_nothing_is_proposed() -> None:
    found = propose("m", shape(10, 100), device(10), LOAD)
    assert best(found) is None
    assert {one.command for one in found} == {None}
    assert "not one layer" in sentence(found[0])


@pytest.mark.parametrize("budget_mb", [300, 600, 1500, 5000])
def test_every_command_is_one_that_a_host_takes_and_fits(budget_mb: float) -> None:
    wide = replace(shape(10, 100, position_bytes=1000), dtype="float32")
    for one in propose("/a b/m", wide, device(budget_mb), LOAD):
        if one.command is None:
            continue
        program, *words = shlex.split(one.command)
        config = cli.parse(words)
        assert program == "lamella-node"
        assert config.slices[0].model == "/a b/m"
        assert (config.weights or WeightFormat.NATIVE) is one.weights
        assert config.dtype == (None if one.weights is WeightFormat.NATIVE else "bfloat16")
        assert config.auto is not one.whole
        if one.whole:
            held = one.memory_bytes - wide.kv_bytes(LayerRange(0, 10), LOAD.context)
            assert held + (config.kv_bytes or 0) <= device(budget_mb).budget_bytes
        else:
            assert config.memory_bytes is not None
            assert config.memory_bytes >= one.memory_bytes


def test_without_a_timing_the_planners_estimate_is_told_as_one() -> None:
    model = shape(10, 100)
    one = propose("m", model, device(1500), LOAD)[0]
    planned = Costs(model, WeightFormat.NATIVE, LOAD).stage_s(
        Machine(name="m", memory=0, bandwidth=10.0), LayerRange(0, 10), head=True
    )
    assert one.tokens_per_s == pytest.approx(1 / planned)
    assert not one.measured
    assert "estimated" in sentence(one)


def test_a_timed_layer_goes_before_the_estimate_and_a_timed_whole_is_taken_as_it_is() -> None:
    form = WeightFormat.NATIVE
    slow = propose("m", shape(10, 100), device(1500), LOAD, {form: Timed(layers=1, head=False, seconds=0.1)})[
        0
    ]
    assert slow.measured
    assert slow.tokens_per_s == pytest.approx(1 / (10 * 0.1 + 100 * MB / 10e9))
    whole = propose(
        "m", shape(10, 100), device(1500), LOAD, {form: Timed(layers=10, head=True, seconds=0.5)}
    )[0]
    assert whole.tokens_per_s == pytest.approx(2.0)
    assert "timed here" in sentence(whole)


def test_a_gpu_that_holds_it_in_the_same_format_and_is_faster_is_advised() -> None:
    gpu = Device(name="cuda:0", budget_bytes=device(1500).budget_bytes, gb_per_s={WeightFormat.NATIVE: 500.0})
    found = [*propose("m", shape(10, 100), device(1500), LOAD), *propose("m", shape(10, 100), gpu, LOAD)]
    advised = best(found)
    assert advised is not None
    assert "--device cuda:0" in (advised.command or "")


def test_a_script_gets_every_figure() -> None:
    facts = propose("m", shape(10, 100), device(1500), LOAD)[0].facts()
    assert facts["whole"] is True
    assert facts["measured"] is False
    assert facts["command"].startswith("lamella-node --model m --kv-memory")
