"""A slice loaded from a store is the slice of the checkpoint, and no byte of it is believed unchecked."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from node.slices import chunked, load
from node.slices.chunked import ChunkReader
from node.slices.errors import BadCheckpoint, DamagedChunk
from node.slices.spec import SliceSpec, Want
from node.slices.weights import StoredTensor, Weights
from node.store import checkpoint, views
from node.store.catalogue import chunks_of, manifest_chunk
from node.store.chunks import ChunkStore
from node.store.folder_shelf import FolderShelf
from wire import limits
from wire.manifest import Manifest
from wire.types import LayerRange, ModelId

POCKET = checkpoint.resolve("pocket")


def stored(root: Path, folder: Path) -> tuple[ChunkStore, Manifest, Path]:
    """All of a checkpoint in a store, and the view of it."""
    store = ChunkStore(root)
    shelf = FolderShelf.of(folder)
    manifest = shelf.known
    with store.lease() as lease:
        own = manifest_chunk(manifest.model_id, len(manifest.encode()))
        lease.pin([own, *chunks_of(manifest)])
        lease.put(own, manifest.encode())
        for chunk in chunks_of(manifest):
            place = shelf.locate(chunk.digest)
            assert place is not None
            with place.path.open("rb") as file:
                file.seek(place.offset)
                lease.put(chunk, file.read(place.size))
    return store, manifest, views.view(store, manifest.model_id, manifest)


def weights(folder: Path) -> dict[str, StoredTensor]:
    found = Weights(folder, wanted=lambda _name: True, on_read=lambda _count: None)
    return dict(found.tensors)


def test_tensors_of_a_store_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    _, _, view = stored(tmp_path / "store", POCKET)
    plain, there = weights(POCKET), weights(view)
    assert set(plain) == set(there)
    for name, tensor in plain.items():
        assert torch.equal(tensor.read(), there[name].read()), name


def test_a_slice_of_a_store_computes_what_that_of_the_checkpoint_does(tmp_path: Path) -> None:
    _, _, view = stored(tmp_path / "store", POCKET)
    logits = []
    for folder in (POCKET, view):
        held = load.load_slice(SliceSpec(checkpoint=folder, layers=LayerRange(22, 24), head=True))
        hidden = torch.linspace(-1, 1, 3 * held.width).reshape(1, 3, held.width).to(torch.bfloat16)
        cache = held.new_cache(held.spec.layers)
        logits.append(held.forward(hidden, cache=cache, position=0, want=Want.LOGITS))
    assert torch.equal(*logits)


def test_a_slice_needs_its_own_chunks_and_no_others(tmp_path: Path) -> None:
    store, manifest, view = stored(tmp_path / "store", POCKET)
    spec = SliceSpec(checkpoint=view, layers=LayerRange(6, 12))
    wanted = load.wanted_tensors(spec)
    assert {name.split(".")[2] for name in wanted} == {str(layer) for layer in range(6, 12)}
    needed = {one.digest for one in chunks_of(manifest, tensors=wanted, files=["config.json"])}
    for digest in store.sizes():
        if digest not in needed and digest != manifest.model_id.digest:
            store.discard(digest)
    assert load.load_slice(spec).weight_bytes > 0
    with pytest.raises(DamagedChunk, match="--repair"):
        load.load_slice(SliceSpec(checkpoint=view, layers=LayerRange(12, 18)))


@pytest.mark.parametrize("seed", range(5))
def test_a_flipped_byte_is_caught_before_it_is_used(tmp_path: Path, seed: int) -> None:
    store, manifest, view = stored(tmp_path / "store", POCKET)
    chance = random.Random(seed)
    tensors = {one.name: one for one in manifest.tensors}
    for name in chance.sample(sorted(tensors), 40):
        digest = chance.choice(tensors[name].chunks)
        path = store.path(digest)
        good = path.read_bytes()
        at = chance.randrange(len(good))
        path.write_bytes(good[:at] + bytes([good[at] ^ 1 << chance.randrange(8)]) + good[at + 1 :])
        with pytest.raises(DamagedChunk) as caught:
            weights(view)[name].read()
        assert caught.value.digest == digest
        path.write_bytes(good)
        weights(view)[name].read()


def reader(tmp_path: Path, data: bytes) -> tuple[ChunkReader, tuple[bytes, ...]]:
    """A reader of one tensor's chunks."""
    import hashlib

    digests = []
    for start in range(0, len(data), limits.CHUNK_BYTES):
        part = data[start : start + limits.CHUNK_BYTES]
        digests.append(hashlib.sha256(part).digest())
        path = tmp_path / "chunks" / digests[-1].hex()[:2] / digests[-1].hex()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part)
    return ChunkReader(tmp_path), tuple(digests)


def test_any_stretch_of_a_tensor_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK_BYTES", 100)
    data = random.Random(3).randbytes(1234)
    read, digests = reader(tmp_path, data)
    chance = random.Random(4)
    for _ in range(200):
        start = chance.randrange(len(data))
        end = chance.randrange(start, len(data)) + 1
        view = bytearray(end - start)
        read.fill(memoryview(view), digests, len(data), start)
        assert view == data[start:end]


def test_a_chunk_that_is_short_or_gone_is_named(tmp_path: Path) -> None:
    read, digests = reader(tmp_path, b"x" * 1000)
    path = read.path(digests[0])
    for damage in (path.write_bytes, lambda _data: path.unlink()):
        damage(b"short")
        for view in (bytearray(1000), bytearray(10)):
            with pytest.raises(DamagedChunk, match=digests[0].hex()):
                read.fill(memoryview(view), digests, 1000, 0)


def test_a_manifest_under_another_name_is_refused(tmp_path: Path) -> None:
    manifest = Manifest(files=(), tensors=())
    folder = tmp_path / str(manifest.model_id)
    folder.mkdir()
    (folder / "manifest.cbor").write_bytes(manifest.encode())
    assert chunked.is_chunked(folder)
    assert chunked.read_manifest(folder) == manifest
    other = folder.rename(tmp_path / str(ModelId(bytes(32))))
    with pytest.raises(BadCheckpoint, match="name asks for"):
        chunked.read_manifest(other)
    (other / "manifest.cbor").unlink()
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        chunked.read_manifest(other)
