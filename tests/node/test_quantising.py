"""A checkpoint becomes a folder of fewer bits, the same everywhere, or nothing at all with a sentence that says why."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from node import paths, quantised, quantising
from node.errors import NodeError
from node.quantise_cli import QuantiseConfig
from node.sample_text import NoText
from node.slices.errors import SliceError
from node.slices.facts import read_facts
from node.store import checkpoint
from scripts.make_model import write_tiny
from tests.fakes import quantised_folder
from wire.manifest import Base
from wire.tensors import WeightFormat

POCKET = checkpoint.resolve(checkpoint.POCKET)
GOLDEN = {
    WeightFormat.INT8: "1a387a95247bda7beda1318e0b1c94c796c9014b35b977acde9513c10a4defd6",
    WeightFormat.INT4_32: "d03dcb3344ceab41e6b54583947e6ebe033d28e55d2c59ec1a899167b2b818e9",
}
"""SHA-256 over shards and index of `plain`: the same bytes on every machine, and in every version."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def config(out: Path, **changes: Any) -> QuantiseConfig:
    fields: dict[str, Any] = {"model": "pocket", "weights": WeightFormat.INT8, "out": out, "threads": 1}
    return QuantiseConfig(**(fields | changes))


def said(config: QuantiseConfig) -> list[dict[str, Any]]:
    out = io.StringIO()
    quantising.run(config, quantised_folder.quiet(out))
    return [json.loads(line) for line in out.getvalue().splitlines()]


def digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.glob("model*")):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def plain(folder: Path) -> Path:
    """A llama whose numbers are arithmetic, and nobody's random draw."""
    write_tiny(folder, "llama", dtype=torch.bfloat16)
    for path in folder.glob("*.safetensors"):
        tensors = {}
        for name, tensor in load_file(path).items():
            steps = torch.arange(tensor.numel(), dtype=torch.int64) * 7919 % 1009 - 504
            tensors[name] = (steps / 512).to(tensor.dtype).view(tensor.shape)
        save_file(tensors, path, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("weights", GOLDEN)
def test_the_same_input_gives_the_same_bytes_on_every_machine(tmp_path: Path, weights: WeightFormat) -> None:
    model = plain(tmp_path / "model")
    for name in ("one", "two"):
        quantised_folder.make(model, weights, tmp_path / name)
    files = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert digest(tmp_path / "one") == GOLDEN[weights]


def test_the_folder_says_which_model_it_is_and_has_its_other_files(tmp_path: Path) -> None:
    folder = quantised_folder.make("pocket", WeightFormat.INT8, tmp_path / "out")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (POCKET / name).read_bytes()
    original = checkpoint.model_id(POCKET, cache_dir=paths.cache_dir())
    assert checkpoint.model_id(folder, cache_dir=tmp_path) == original
    facts = read_facts(folder)
    assert (facts.weights, facts.measured) == (WeightFormat.INT8, None)
    assert read_facts(POCKET).weights is WeightFormat.NATIVE


def test_what_was_quantised_in_the_same_way_is_one_model_with_an_id_of_its_own(tmp_path: Path) -> None:
    source = plain(tmp_path / "source")
    ids = []
    for name, weights in (("a", WeightFormat.INT8), ("b", WeightFormat.INT8), ("c", WeightFormat.INT4_32)):
        said(config(tmp_path / name, model=str(source), weights=weights, measure=False))
        manifest = checkpoint.build_manifest(tmp_path / name)
        assert manifest.base == Base(checkpoint.build_manifest(source).model_id, weights)
        ids.append(manifest.model_id)
    assert ids[0] == ids[1]
    assert len({*ids, checkpoint.build_manifest(source).model_id}) == 3


def test_licences_go_with_the_weights(tmp_path: Path) -> None:
    model = Path(shutil.copytree(POCKET, tmp_path / "model"))
    (model / "LICENSE.txt").write_text("do as you like")
    (model / "notes.txt").write_text("not part of it")
    folder = quantised_folder.make(model, WeightFormat.INT8, tmp_path / "out")
    assert (folder / "LICENSE.txt").read_text() == "do as you like"
    assert not (folder / "notes.txt").exists()


def test_what_it_cost_is_measured_and_told_and_kept(tmp_path: Path) -> None:
    lines = said(config(tmp_path / "out", weights=WeightFormat.INT4_32, tokens=40))
    assert [line["event"] for line in lines] == ["quantising", "quantised"]
    last = lines[-1]
    assert last["bytes_after"] < 0.4 * last["bytes_before"]
    assert last["seconds"] > 0
    measured = last["measured"]
    assert measured["tokens"] == 39
    assert 0 < measured["relative_error"] < 0.2
    assert measured["top1_agreement"] > 0.8
    assert measured["perplexity"] == pytest.approx(measured["native_perplexity"], rel=0.5)
    note = quantised.read(tmp_path / "out")
    assert note is not None
    assert note.measured is not None
    assert note.measured.relative_error == measured["relative_error"]


def test_measuring_can_be_left_out(tmp_path: Path) -> None:
    last = said(config(tmp_path / "out", measure=False))[-1]
    assert (last["measured"], last["not_measured"]) == (None, "measuring was left out")


def test_a_model_without_tokenizer_is_not_measured_and_one_too_large_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = write_tiny(tmp_path / "tiny", "llama")
    last = said(config(tmp_path / "one", model=str(tiny)))[-1]
    assert last["not_measured"] == f"not measured, since {tiny} has no tokenizer.json"
    monkeypatch.setattr(quantising, "available_bytes", lambda: 1000)
    last = said(config(tmp_path / "two"))[-1]
    assert last["not_measured"] == (
        "not measured, since a single layer of the model does not fit the free memory"
    )


def test_a_model_that_does_not_fit_the_memory_at_once_is_measured_in_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = said(config(tmp_path / "one", tokens=8))[-1]["measured"]
    monkeypatch.setattr(quantising, "available_bytes", lambda: 4_000_000)
    assert said(config(tmp_path / "two", tokens=8))[-1]["measured"] == whole


def test_a_text_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NoText, match="cannot be read"):
        said(config(tmp_path / "out", text=tmp_path / "none"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", ["_plan", "_write", "_measure"])
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    real = getattr(quantising, at)

    def interrupted(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(quantising, at, interrupted)
    with pytest.raises(KeyboardInterrupt):
        said(config(tmp_path / "out", tokens=4))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no folder", r"there is no model '.*' here; give `pocket` or the folder of a checkpoint"),
        ("no weights", r"has neither model\.safetensors"),
        ("truncated", r"model\.safetensors: tensor .*; download the checkpoint again"),
        ("config", r"config\.json: is not JSON"),
        ("taken", "exists and is not an empty folder; name another one with --out"),
        ("quantised", "is quantised already, to int8; give the checkpoint that it was quantised from"),
        ("nowhere", "there is no folder .*; make it"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_with_the_next_step(
    tmp_path: Path, damage: str, message: str
) -> None:
    model, out = Path(shutil.copytree(POCKET, tmp_path / "model")), tmp_path / "new" / "out"
    if damage != "nowhere":
        out.parent.mkdir()
    if damage == "no folder":
        model = tmp_path / "elsewhere"
    elif damage == "no weights":
        (model / "model.safetensors").unlink()
    elif damage == "truncated":
        data = (model / "model.safetensors").read_bytes()
        (model / "model.safetensors").write_bytes(data[: len(data) // 2])
    elif damage == "config":
        (model / "config.json").write_text("{")
    elif damage == "taken":
        out.mkdir()
        (out / "file").write_text("")
    elif damage == "quantised":
        model = quantised_folder.make("pocket", WeightFormat.INT8, tmp_path / "q")
    with pytest.raises((NodeError, SliceError), match=message) as caught:
        said(config(out, model=str(model), measure=False))
    assert "\n" not in str(caught.value)
    left = [path.name for path in out.parent.iterdir()] if out.parent.exists() else []
    assert left == (["out"] if damage == "taken" else [])


def test_free_memory_is_what_the_system_says(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:  2 kB\n")
    assert quantising.available_bytes(meminfo) == 2048
    assert quantising.available_bytes(tmp_path / "none") > 1 << 20
