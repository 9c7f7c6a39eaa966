"""`lamella-node suggest` tells what was measured, what was not, and a command for each model that fits."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from node import suggesting
from node.doctor_cli import parse_suggest
from node.errors import NodeError
from node.slices.gauge import Gpu, Product, Speed
from node.status import StatusLine
from node.store import checkpoint
from node.suggesting import DiskSpeed, Folder, Measured
from tests.fakes.shapes import shape
from wire.tensors import WeightFormat
from wire.types import LayerRange

SPEED = Speed(
    threads=2,
    memory_gb_per_s=15.0,
    products=tuple(
        Product(weights=form, ms=1.0, gb_per_s=rate)
        for form, rate in ((WeightFormat.NATIVE, 10.0), (WeightFormat.INT8, 6.2), (WeightFormat.INT4_32, 6.0))
    ),
)
MEASURED = Measured(
    cores=2, speed=SPEED, gpus={}, free_bytes=16 << 30,
    disk=DiskSpeed(nbytes=1, write_mb_per_s=100.0, read_mb_per_s=200.0),
)  # fmt: skip
GPU = Gpu(name="A GPU", device="cuda:0", free_bytes=8 << 30, total_bytes=8 << 30)


@pytest.fixture(scope="module")
def config_only(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The packaged model's config without its weights."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "config.json").write_bytes((checkpoint.resolve("pocket") / "config.json").read_bytes())
    return Folder(name="hf:org/name", path=folder)


def said(folders: list[Folder], *words: str, measured: Measured = MEASURED) -> tuple[bool, str]:
    config = parse_suggest(words)
    out = io.StringIO()
    status = StatusLine(as_json=config.json, out=out, err=io.StringIO())
    return suggesting.run(config, folders, status, measured), out.getvalue()


def test_every_measured_figure_is_told_and_what_was_not_measured_is_said(config_only: Folder) -> None:
    done, text = said([config_only])
    assert done
    for figure in ("17.2 GB free", "15.0 GB/s", "native 10.0", "writes 100 MB/s", "torch sees none"):
        assert figure in text
    assert "line: not measured; give --uplink MBIT and --downlink MBIT" in text
    assert "estimated" in text
    assert "timed here" not in text
    assert "run: lamella-node --model hf:org/name --kv-memory" in text


def test_what_the_person_knows_of_the_line_is_used(config_only: Folder) -> None:
    _, text = said([config_only], "--uplink", "1", "--downlink", "8")
    assert "up 1 Mbit/s, down 8 Mbit/s, as you said" in text
    assert "sending one token's states on" in text
    assert "fetching so many bytes" in text
    assert "give --" not in text


def test_a_script_gets_objects_alone(config_only: Folder) -> None:
    _, text = said([config_only], "--json", "--weights", "int8")
    measured, suggested = map(json.loads, text.splitlines())
    assert (measured["event"], suggested["event"]) == ("measured", "suggested")
    assert measured["products_gb_per_s"]["int8"] == 6.2
    assert measured["uplink_mbit"] is None
    assert [one["weights"] for one in suggested["proposals"]] == ["int8"]
    assert suggested["command"].startswith("lamella-node --model hf:org/name --weights int8")


def test_the_packaged_model_is_loaded_and_timed() -> None:
    pocket = Folder(name="pocket", path=checkpoint.resolve("pocket"))
    done, text = said([pocket], "--weights", "native")
    assert done
    assert "timed here" in text


def test_nothing_fits_into_little_memory_and_that_is_said(config_only: Folder, tmp_path: Path) -> None:
    done, text = said([config_only], "--memory", "1M")
    assert not done
    assert "nothing of it fits" in text
    (tmp_path / "config.json").write_text("{}")
    done, text = said([Folder(name="odd", path=tmp_path), config_only])
    assert done
    assert "odd: " in text or "hf:org/name" in text


def test_without_a_bound_of_memory_the_person_is_asked() -> None:
    unknown = replace(MEASURED, free_bytes=None)
    with pytest.raises(NodeError, match="--memory"):
        suggesting.devices(unknown, None)
    (only,) = suggesting.devices(unknown, 1 << 30)
    assert only.budget_bytes == 1 << 30


def test_a_gpu_is_a_device_of_its_own_memory_and_rate(config_only: Folder) -> None:
    machine = replace(MEASURED, gpus={"cuda:0": (GPU, 800.0)})
    first, second = suggesting.devices(machine, None)
    assert (first.name, second.name) == ("cuda:0", "cpu")
    assert first.gb_per_s[WeightFormat.NATIVE] == 800.0
    assert first.budget_bytes == 6 << 30
    _, text = said([config_only], measured=machine)
    assert "A GPU (cuda:0): 8.6 GB free, native weights read at 800 GB/s" in text
    assert "--device cuda:0" in text


def test_a_disk_is_tried_and_left_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggesting, "_LEAST_FREE", 0)
    found = suggesting.disk_speed(tmp_path, 2 << 20)
    assert found is not None
    assert found.nbytes == 2 << 20
    assert found.write_mb_per_s > 0
    assert found.read_mb_per_s > 0
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(suggesting, "_LEAST_FREE", 1 << 60)
    assert suggesting.disk_speed(tmp_path) is None


def test_layers_without_weights_or_room_are_not_timed(config_only: Folder) -> None:
    (cpu,) = suggesting.devices(MEASURED, None)
    assert suggesting.time_layers(config_only.path, shape(4), cpu, 16 << 30) == {}
    huge = shape(4, mb=10_000.0)
    assert suggesting.time_layers(checkpoint.resolve("pocket"), huge, cpu, 16 << 30) == {}


def test_one_layer_is_cut_where_layers_may_be_cut() -> None:
    joined = shape(6, joined=(LayerRange(2, 4),))
    layers = suggesting._one_layer(joined)
    assert joined.may_cut(layers.start)
    assert joined.may_cut(layers.end)
    assert len(layers) > 0
