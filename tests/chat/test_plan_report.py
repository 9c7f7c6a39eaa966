"""A plan in words: narrow, complete, and with commands that can be pasted."""

from __future__ import annotations

import json
import shlex

import pytest

from chat.plan_report import WIDTH, Told, as_json, lines
from node.cli import parse
from node.config import NodeConfig
from node.planning.advice import advise
from node.planning.machines import Fleet
from node.planning.partition import Ask, plan
from tests.fakes.fleets import fleet, host
from tests.fakes.shapes import shape
from wire.tensors import WeightFormat

SWARM = fleet(
    host("desk", 1.6, 40.0),
    host("a machine with a very long name indeed", 1.6),
    host("x", 0.4),
    host("spare", 0.8),
)


def told(swarm: Fleet = SWARM, ask: Ask | None = None, layers: int = 22) -> Told:
    ask = ask or Ask(front_layers=1)
    model = shape(layers, position_bytes=1_024)
    found = plan(model, swarm, ask)
    return Told(
        model="models/my model",
        shape=model,
        load=ask.load,
        plan=found,
        advice=advise(model, swarm, ask, found),
        assumed_client=True,
    )


def commands(text: str) -> list[list[str]]:
    """The commands of the text, as a shell would read them."""
    joined = text.replace("\\\n", " ")
    return [shlex.split(line) for line in joined.splitlines() if line.startswith("lamella")]


def test_everything_is_said_within_eighty_columns() -> None:
    text = lines(told())
    assert max(map(len, text)) <= WIDTH
    said = "\n".join(text)
    for word in ("expected", "a token", "weights", "because", "left out", "stands by", "note", "back to me"):
        assert word in said
    assert "desk" in said
    assert "a machine with a ve…" in said
    assert "does not hold one layer" in " ".join(said.split())


def test_the_commands_can_be_pasted() -> None:
    one = told()
    *hosts, asking = commands("\n".join(lines(one)))
    parsed: list[NodeConfig] = [parse(words[1:]) for words in hosts]
    served = [(config.slices[0].model, config.slices[0].layers) for config in parsed]
    expected = [stage.layers for stage in one.plan.stages] + [copy.layers for copy in one.plan.replicas]
    assert served == [("models/my model", layers) for layers in expected]
    for config, layers in zip(parsed, expected, strict=True):
        assert (config.kv_bytes or 0) >= one.shape.kv_bytes(layers, one.load.context)
    assert asking[:2] == ["lamella", "ask"]
    assert asking.count("--peer") == len(one.plan.stages)


def test_the_format_is_in_every_command_where_the_folder_has_another() -> None:
    one = told(ask=Ask(weights=WeightFormat.INT8))
    assert all("--weights" in words for words in commands("\n".join(lines(one))))
    assert not any("--weights" in words for words in commands("\n".join(lines(told()))))


def test_without_hosts_there_is_one_command() -> None:
    one = told(fleet(client_gib=8), Ask(private_ends=True))
    (asking,) = commands("\n".join(lines(one)))
    assert "--private-ends" in asking
    assert "back to" not in "\n".join(lines(one))


def test_the_object_for_scripts_adds_up_and_is_json() -> None:
    one = told()
    found = json.loads(json.dumps(as_json(one)))
    estimate = found["estimate"]
    parts = estimate["layers_ms"] + estimate["links_ms"] + estimate["hops_ms"]
    assert parts == pytest.approx(estimate["step_ms"], abs=0.01)
    assert [stage["layers"] for stage in found["stages"]] == [str(stage.layers) for stage in one.plan.stages]
    assert found["client"]["assumed"] is True
    assert found["formats"]["native"] == estimate["tokens_per_s"]
    assert {one["machine"] for one in found["left_out"]} == {"x", "spare"}
