from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.swarm_hosts.errors import BadPlan
from scripts.swarm_hosts.plan import make, num_layers, split
from wire.types import LayerRange


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 24}')
    return tmp_path


def test_three_hosts_share_the_pocket_models_layers_evenly() -> None:
    assert split(24, 3) == (LayerRange(1, 8), LayerRange(8, 16), LayerRange(16, 24))


@given(st.integers(2, 200), st.data())
def test_every_layer_after_the_clients_has_one_host_and_shares_differ_by_one(
    total: int, data: st.DataObject
) -> None:
    hosts = data.draw(st.integers(1, total - 1))
    ranges = split(total, hosts)
    assert len(ranges) == hosts
    assert [layer for one in ranges for layer in range(one.start, one.end)] == list(range(1, total))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


@pytest.mark.parametrize(("total", "hosts"), [(24, 0), (24, 24), (1, 1), (2, 2)])
def test_more_hosts_than_layers_are_refused(total: int, hosts: int) -> None:
    with pytest.raises(BadPlan, match=f"cannot be shared by {hosts} hosts; give --hosts from 1 to"):
        split(total, hosts)


def test_a_plan_names_a_checkpoint_by_its_absolute_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    plan = make(folder.name, hosts=2, layers=(), base_port=9000, threads=1)
    assert plan.model == str(folder)
    assert plan.layers == (LayerRange(1, 12), LayerRange(12, 24))
    assert [plan.address(1), plan.address(2)] == ["127.0.0.1:9000", "127.0.0.1:9001"]


def test_named_layers_may_overlap_and_make_the_number_of_hosts(folder: Path) -> None:
    layers = (LayerRange(1, 14), LayerRange(10, 24))
    plan = make(str(folder), hosts=None, layers=layers, base_port=0, threads=2)
    assert plan.layers == layers
    assert plan.address(2) == "127.0.0.1:0"
    with pytest.raises(BadPlan, match="--hosts 3 and 2 times --layers"):
        make(str(folder), hosts=3, layers=layers, base_port=0, threads=1)


def test_a_plan_that_no_machine_can_hold_is_refused(folder: Path) -> None:
    with pytest.raises(BadPlan, match="too many for one machine"):
        make(str(folder), hosts=None, layers=[LayerRange(0, 1)] * 65, base_port=0, threads=1)
    with pytest.raises(BadPlan, match="no room for 3 ports"):
        make(str(folder), hosts=3, layers=(), base_port=65_534, threads=1)
    with pytest.raises(BadPlan, match="there is no model 'nowhere'"):
        make("nowhere", hosts=3, layers=(), base_port=0, threads=1)


def test_the_layers_of_a_model_with_several_parts_are_those_of_its_text(folder: Path) -> None:
    (folder / "config.json").write_text('{"text_config": {"num_hidden_layers": 7}}')
    assert num_layers(folder) == 7


@pytest.mark.parametrize(
    "config", ["", "[]", "null", "{}", {"text_config": 3}, {"num_hidden_layers": "x"}, "[" * 9999]
)
def test_a_config_that_names_no_layers_is_refused_with_another_way(folder: Path, config: object) -> None:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    with pytest.raises(BadPlan, match="name each host's with --layers"):
        num_layers(folder)
