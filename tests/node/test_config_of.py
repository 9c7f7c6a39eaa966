"""A plan needs a model's config, wherever the model is, and no more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from node import paths
from node.config_of import config_folder
from node.quantised import Note, encode
from node.store.catalogue import chunks_of, manifest_chunk
from node.store.checkpoint import build_manifest
from node.store.chunks import ChunkStore
from node.store.errors import StoreError, UnknownModel
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.hub import StandInHub
from tests.fakes.hub_machine import fresh_machine
from wire.tensors import WeightFormat
from wire.types import ModelId


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fresh_machine(monkeypatch, tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_checkpoint(tmp_path / "model", {"a": b"1" * 100_000})


async def test_a_folder_is_its_own(folder: Path) -> None:
    assert await config_folder(str(folder)) == folder


async def test_of_a_hub_the_config_comes_and_no_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = encode(Note(model=ModelId(bytes(32)), weights=WeightFormat.INT8))
    (folder / "lamella.json").write_bytes(note)
    with StandInHub() as hub:
        hub.publish("org/name", folder)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        found = await config_folder("hf:org/name")
        assert not hub.asked("safetensors")
    assert {path.name: path.read_bytes() for path in found.iterdir()} == {
        "config.json": (folder / "config.json").read_bytes(),
        "lamella.json": note,
    }


async def test_a_repository_without_a_config_is_no_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "config.json").unlink()
    with StandInHub() as hub:
        hub.publish("org/name", folder)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        with pytest.raises(StoreError, match=r"no config\.json"):
            await config_folder("hf:org/name")


async def test_by_an_id_it_comes_from_the_store(folder: Path) -> None:
    manifest = build_manifest(folder)
    with pytest.raises(UnknownModel, match="not in the store"):
        await config_folder(str(manifest.model_id))
    store = ChunkStore(paths.weights_dir())
    with store.lease() as lease:
        own = manifest_chunk(manifest.model_id, len(manifest.encode()))
        config = chunks_of(manifest, tensors=())
        lease.pin([own, *config])
        lease.put(own, manifest.encode())
        lease.put(config[0], (folder / "config.json").read_bytes())
    found = await config_folder(str(manifest.model_id))
    assert (found / "config.json").read_bytes() == (folder / "config.json").read_bytes()


async def test_what_is_nowhere_is_named(folder: Path) -> None:
    with pytest.raises(UnknownModel, match="no model"):
        await config_folder("nowhere")
