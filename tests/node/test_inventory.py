from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from node import inventory
from node.inventory import Holding, Inventory
from node.store.catalogue import chunks_of
from node.store.chunks import ChunkStore
from node.store.errors import StoreUnusable
from node.store.folder_shelf import FolderShelf
from node.store.source import Chunk
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.giving import describe
from wire.manifest import Base, Manifest
from wire.tensors import WeightFormat
from wire.types import ModelId

NAME = "hf:org/name@" + "0" * 40


def contents(layer: int, part: str) -> bytes:
    return f"{layer}{part}".encode() * 5000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tensors = {
        f"model.layers.{layer}.{part}": contents(layer, part) for layer in range(6) for part in ("q", "k")
    }
    return write_checkpoint(tmp_path / "model", {**tensors, "model.embed": b"0" * 100})


@pytest.fixture
def manifest(folder: Path) -> Manifest:
    return FolderShelf.of(folder).known


def put(home: Path, folder: Path, manifest: Manifest, names: list[str]) -> ChunkStore:
    """Fetch tensors into the store in `home`."""
    store = ChunkStore(home / "store")
    shelf = FolderShelf.described(folder, manifest)
    with store.lease() as lease:
        chunks = chunks_of(manifest, tensors=names, files=())
        lease.pin(chunks)
        for chunk in chunks:
            place = shelf.places[chunk.digest]
            data = place.path.read_bytes()[place.offset : place.offset + place.size]
            lease.put(chunk, data)
    return store


def layers(*numbers: int) -> list[str]:
    return [f"model.layers.{layer}.{part}" for layer in numbers for part in ("q", "k")]


def test_an_empty_store_has_nothing(tmp_path: Path) -> None:
    found = inventory.take(ChunkStore(tmp_path))
    assert (found.models, found.bytes_on_disk, found.bytes_in_use, found.bytes_unknown) == ((), 0, 0, 0)
    assert found.bytes_free > 0
    assert "no model was fetched or published yet" in inventory.table(found)


def test_each_model_tells_how_much_of_it_is_here_and_which_layers_are_whole(
    tmp_path: Path, folder: Path, manifest: Manifest
) -> None:
    describe(tmp_path, manifest, NAME)
    store = put(tmp_path, folder, manifest, [*layers(0, 1, 2, 4), "model.layers.5.q"])
    (held,) = inventory.take(store).models
    assert (held.model, held.base, held.weights, held.names) == (
        str(manifest.model_id),
        None,
        "native",
        (NAME,),
    )
    assert held.described
    assert held.layers == "0:3, 4:5"
    assert held.bytes_here == 9 * 10_000
    assert held.bytes_in_all == 12 * 10_000 + 100 + (folder / "config.json").stat().st_size
    text = inventory.table(inventory.take(store))
    assert "90.0 kB of 120.1 kB, layers 0:3, 4:5" in text
    assert NAME in text
    assert str(manifest.model_id) in text


def test_what_a_lease_needs_counts_as_in_use(tmp_path: Path, folder: Path, manifest: Manifest) -> None:
    describe(tmp_path, manifest)
    store = put(tmp_path, folder, manifest, layers(0, 1))
    with store.lease() as lease:
        lease.pin(chunks_of(manifest, tensors=layers(1), files=()))
        found = inventory.take(store)
        assert found.bytes_in_use == found.models[0].bytes_in_use == 20_000
        assert ", 20.0 kB in use" in inventory.table(found)
    assert inventory.take(store).bytes_in_use == 0


def test_chunks_of_no_known_model_are_told_apart(tmp_path: Path, folder: Path, manifest: Manifest) -> None:
    describe(tmp_path, manifest)
    store = put(tmp_path, folder, manifest, layers(0))
    assert inventory.take(store).bytes_unknown == 0
    store.catalogue.forget(manifest.model_id)
    found = inventory.take(store)
    assert found.bytes_unknown == 20_000 + len(manifest.encode())
    assert "belong to no model that is known; --prune 0 removes them" in inventory.table(found)


def test_a_model_without_its_manifest_says_so(tmp_path: Path, manifest: Manifest) -> None:
    describe(tmp_path, manifest, NAME)
    store = ChunkStore(tmp_path / "store")
    store.discard(manifest.model_id.digest)
    found = inventory.take(store)
    assert [(one.described, one.bytes_in_all, one.layers) for one in found.models] == [(False, 0, "")]
    assert "manifest missing" in inventory.table(found)


def test_a_quantised_model_names_the_one_it_was_made_from(tmp_path: Path, manifest: Manifest) -> None:
    base = Base(ModelId(bytes(32)), WeightFormat.INT8)
    describe(tmp_path, dataclasses.replace(manifest, base=base))
    (held,) = inventory.take(ChunkStore(tmp_path / "store")).models
    assert (held.base, held.weights) == (str(base.model), "int8")


def test_the_json_has_these_fields_and_no_others(tmp_path: Path, manifest: Manifest) -> None:
    describe(tmp_path, manifest, NAME)
    value = inventory.take(ChunkStore(tmp_path / "store")).as_json()
    assert set(value) == {one.name for one in dataclasses.fields(Inventory)}
    assert set(value["models"][0]) == {one.name for one in dataclasses.fields(Holding)}
    kinds = {name: type(one) for name, one in value["models"][0].items()}
    assert kinds == {
        "model": str,
        "base": type(None),
        "weights": str,
        "names": tuple,
        "described": bool,
        "bytes_here": int,
        "bytes_in_all": int,
        "bytes_in_use": int,
        "layers": str,
    }


def test_a_store_that_cannot_be_looked_at_is_told(tmp_path: Path) -> None:
    store = ChunkStore(tmp_path)
    (tmp_path / "models").rmdir()
    with pytest.raises(StoreUnusable, match="models cannot be used"):
        inventory.take(store)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (2_500_000, "2.5 MB"),
        (10**10, "10.0 GB"),
        (10**13, "10.00 TB"),
    ],
)
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert inventory.size(count) == text


def test_a_damaged_chunk_of_another_length_is_not_counted(
    tmp_path: Path, folder: Path, manifest: Manifest
) -> None:
    describe(tmp_path, manifest)
    store = put(tmp_path, folder, manifest, layers(0))
    chunk: Chunk = chunks_of(manifest, tensors=layers(0), files=())[0]
    store.path(chunk.digest).write_bytes(b"short")
    (held,) = inventory.take(store).models
    assert (held.bytes_here, held.layers) == (10_000, "")
