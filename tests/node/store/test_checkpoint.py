from __future__ import annotations

import errno
import hashlib
import os
import resource
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from node import quantised
from node.errors import NodeError
from node.quantised import Note
from node.store import checkpoint
from node.store.checkpoint import build_manifest, model_id, resolve, weight_files
from node.store.errors import BadCheckpoint, StoreError, UnknownModel
from tests.fakes.checkpoints import write_checkpoint, write_index, write_raw, write_shard
from wire import limits
from wire.manifest import Manifest
from wire.tensors import WeightFormat
from wire.types import ModelId

TENSORS = {"model.a": b"0123", "model.b": b"4567", "model.c": b"89"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model", TENSORS)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def refused(work: Callable[[], object], words: str, kind: type[StoreError] = BadCheckpoint) -> None:
    """What is wrong is told in printable words, with what to do about it."""
    with pytest.raises(kind, match=words) as caught:
        work()
    assert isinstance(caught.value, NodeError)
    assert caught.value.next_step
    assert str(caught.value).isprintable()


def test_pocket_is_the_model_that_ships_with_the_package() -> None:
    assert resolve("pocket") == Path(checkpoint.__file__).parents[1] / "pocket"


def test_a_folder_is_found_under_any_of_its_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(folder), "model", "./model/", "link", "~/model"):
        assert resolve(name) == folder


def test_a_folder_named_pocket_needs_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path / "pocket", TENSORS)
    monkeypatch.chdir(tmp_path)
    assert resolve("./pocket") == tmp_path / "pocket"
    assert resolve("pocket") != tmp_path / "pocket"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "no model ''"),
        ("no/such/place", "no model 'no/such/place'"),
        ("a\0b", "no model"),
        ("~nobody-of-that-name/x", "cannot be looked at"),
        ("n" * 300, "File name too long"),
        ("\x1b[2J", "no model"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(name: str, words: str) -> None:
    refused(lambda: resolve(name), words, UnknownModel)


def test_a_file_and_a_folder_without_config_are_not_checkpoints(folder: Path) -> None:
    refused(lambda: resolve(str(folder / "config.json")), "no model", UnknownModel)
    (folder / "config.json").unlink()
    refused(lambda: resolve(str(folder)), "holds no config.json", UnknownModel)


def test_a_folder_that_may_not_be_looked_into_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", deny)
    refused(lambda: resolve(str(folder)), "Permission denied", UnknownModel)


def test_only_the_files_of_the_index_count_or_the_single_one(folder: Path) -> None:
    write_shard(folder / "adapter.safetensors", {"other": b"x"})
    assert weight_files(folder) == (folder / "model.safetensors",)
    write_shard(folder / "b.safetensors", {"model.b": b"4567"})
    write_index(
        folder, {"model.b": "b.safetensors", "model.c": "b.safetensors", "other": "adapter.safetensors"}
    )
    assert weight_files(folder) == (folder / "adapter.safetensors", folder / "b.safetensors")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "{}", "[" * 100_000),
        *('{"weight_map": []}', '{"weight_map": null}', '{"weight_map": {"a": 1, "b": "x"}}'),
        *('{"weight_map": {"a": ["x"]}}', '{"weight_map": {"a": {}}}'),
    ],
)
def test_a_damaged_index_is_refused(folder: Path, text: str) -> None:
    (folder / "model.safetensors.index.json").write_text(text)
    refused(lambda: weight_files(folder), "cannot be read as an index")


@pytest.mark.parametrize(
    "name",
    [
        *("../escape.safetensors", "/etc/passwd", "sub/x.safetensors", "sub\\..//x.safetensors"),
        *("..", ".", "", "weights.bin", 7, None),
        *("a\0.safetensors", "\ud800.safetensors", "a\x1b[2J.safetensors"),
    ],
)
def test_an_index_that_names_no_safetensors_file_beside_it_is_refused(folder: Path, name: object) -> None:
    write_shard(folder.parent / "escape.safetensors", TENSORS)
    (folder / "sub").mkdir()
    write_shard(folder / "sub/x.safetensors", TENSORS)
    write_index(folder, {"model.a": name})
    refused(lambda: weight_files(folder), "not a safetensors file beside it")


@pytest.mark.parametrize("name", ["missing.safetensors", "n" * 300 + ".safetensors", "folder.safetensors"])
def test_an_index_that_points_nowhere_is_refused(folder: Path, name: str) -> None:
    (folder / "folder.safetensors").mkdir()
    write_index(folder, {"model.a": name})
    refused(lambda: weight_files(folder), "is not here")


def test_an_index_that_names_nothing_is_refused(folder: Path) -> None:
    write_index(folder, {})
    refused(lambda: build_manifest(folder), "names no file")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth", "a.ckpt", "a.pkl"])
def test_pickled_weights_are_refused_as_such_and_never_opened(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / name)  # opening it would wait for ever
    refused(lambda: build_manifest(folder), "pickled weights only, which can run code")


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refused(lambda: weight_files(folder), "holds neither model.safetensors nor")


def test_the_manifest_holds_every_tensor_and_small_file_by_digest(folder: Path) -> None:
    (folder / "README.md").write_text("not part of the model")
    (folder / "tokenizer.json").write_text("{}")
    manifest = build_manifest(folder)
    assert [one.name for one in manifest.tensors] == sorted(TENSORS)
    for tensor in manifest.tensors:
        assert tensor.chunks == (hashlib.sha256(TENSORS[tensor.name]).digest(),)
        assert (tensor.dtype, tensor.shape, tensor.size) == ("U8", (tensor.size,), len(TENSORS[tensor.name]))
    assert [one.name for one in manifest.files] == ["config.json", "tokenizer.json"]
    assert manifest.files[1].digest == hashlib.sha256(b"{}").digest()
    assert Manifest.decode(manifest.encode()) == manifest


def test_a_tensor_longer_than_a_chunk_has_a_digest_for_each(tmp_path: Path) -> None:
    data = bytes(limits.CHUNK_BYTES) + b"rest"
    (tensor,) = build_manifest(write_checkpoint(tmp_path / "model", {"big": data})).tensors
    assert tensor.chunks == (hashlib.sha256(data[:-4]).digest(), hashlib.sha256(b"rest").digest())


def test_the_same_tensors_sharded_otherwise_are_the_same_model(folder: Path, tmp_path: Path) -> None:
    one, two, three = TENSORS.items()
    sharded = write_checkpoint(tmp_path / "sharded", dict([three]), dict([two, one]))
    assert build_manifest(sharded).model_id == build_manifest(folder).model_id


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: write_shard(folder / "model.safetensors", TENSORS | {"model.c": b"8x"}),
        lambda folder: write_shard(folder / "model.safetensors", TENSORS | {"model.d": b""}),
        lambda folder: write_shard(folder / "model.safetensors", {"model.a": b"0123", "model.b": b"4567"}),
        lambda folder: (folder / "config.json").write_text("{}"),
        lambda folder: (folder / "chat_template.jinja").write_text("hi"),
    ],
)
def test_any_other_byte_is_another_model(folder: Path, change: Callable[[Path], object]) -> None:
    before = build_manifest(folder).model_id
    change(folder)
    assert build_manifest(folder).model_id != before


def test_a_tensor_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", {"a": b"1", "b": b"2"}, {"b": b"2", "c": b"3"})
    refused(lambda: build_manifest(folder), "tensor b is in two files")


def test_progress_goes_from_nothing_to_everything(folder: Path) -> None:
    seen: list[float] = []
    build_manifest(folder, progress=seen.append)
    assert seen == [0.4, 0.8, 1.0]


def test_progress_can_stop_the_reading(folder: Path) -> None:
    def stop(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_manifest(folder, progress=stop)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_small_file_that_is_none_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    refused(lambda: build_manifest(folder), "not a regular file")
    path.unlink()
    path.mkdir()
    refused(lambda: build_manifest(folder), "not a regular file")
    path.rmdir()
    path.touch()
    os.truncate(path, 64 * 1024 * 1024 + 1)
    refused(lambda: build_manifest(folder), "larger than")


def test_a_file_that_cannot_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "pread", fail)
    refused(lambda: build_manifest(folder), "model.safetensors cannot be read .Input/output error.")


def test_a_file_that_shrinks_while_it_is_read_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pread = os.pread

    def short(handle: int, length: int, offset: int) -> bytes:
        return pread(handle, length, offset)[:-1]

    monkeypatch.setattr(os, "pread", short)
    refused(lambda: build_manifest(folder), "ended inside tensor model.a")


def test_a_bad_shard_is_found_before_anything_is_digested(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", {"a": b"1"}, {"b": b"2"})
    write_raw(folder / "model-00002-of-00002.safetensors", b'{"b":0}')
    refused(lambda: build_manifest(folder, progress=lambda _: pytest.fail("read")), "described wrongly")


class Reads:
    """Counts how often a manifest is built."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0

        def counted(folder: Path, **options: Any) -> Manifest:
            self.count += 1
            return build_manifest(folder, **options)

        monkeypatch.setattr(checkpoint, "build_manifest", counted)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def test_a_second_look_reads_no_weights(folder: Path, cache: Path, reads: Reads) -> None:
    first = model_id(folder, cache_dir=cache)
    assert first == build_manifest(folder).model_id
    assert model_id(folder, cache_dir=cache) == first
    assert reads.count == 1
    assert (cache / "model-ids").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: os.utime(folder / "model.safetensors", ns=(1, 1)),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        lambda folder: (folder / "config.json").unlink(),
        lambda folder: write_index(folder, {"model.a": "model.safetensors"}),
    ],
)
def test_a_change_of_any_file_is_noticed(
    folder: Path, cache: Path, reads: Reads, change: Callable[[Path], object]
) -> None:
    model_id(folder, cache_dir=cache)
    change(folder)
    model_id(folder, cache_dir=cache)
    assert reads.count == 2


def test_a_swap_of_two_files_is_noticed(tmp_path: Path, cache: Path, reads: Reads) -> None:
    folder = write_checkpoint(tmp_path / "model", {"a": b"1"}, {"b": b"2"})
    first, second = weight_files(folder)
    before = model_id(folder, cache_dir=cache)
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)
    assert model_id(folder, cache_dir=cache) == before  # the same tensors, only sharded otherwise
    assert reads.count == 2


def test_a_model_that_changes_while_it_is_read_has_no_id(folder: Path, cache: Path) -> None:
    def change(fraction: float) -> None:
        if fraction == 1.0:
            (folder / "tokenizer.json").write_text("{}")

    refused(lambda: model_id(folder, cache_dir=cache, progress=change), "changed while they were read")
    assert not cache.exists()


def test_a_model_that_vanishes_while_it_is_read_has_no_id(folder: Path, cache: Path) -> None:
    def vanish(fraction: float) -> None:
        if fraction == 1.0:
            (folder / "model.safetensors").unlink()

    refused(lambda: model_id(folder, cache_dir=cache, progress=vanish), "holds neither")


@pytest.mark.parametrize("text", [b"", b"nonsense", b"\xff\xfe", b"b" * 100_000])
def test_a_damaged_memory_is_replaced(folder: Path, cache: Path, reads: Reads, text: bytes) -> None:
    found = model_id(folder, cache_dir=cache)
    (remembered,) = (cache / "model-ids").iterdir()
    remembered.write_bytes(text)
    assert model_id(folder, cache_dir=cache) == found
    assert ModelId.parse(remembered.read_text()) == found
    (manifest,) = (cache / "manifests").iterdir()
    manifest.write_bytes(text or manifest.read_bytes().replace(b"model.a", b"model.x"))
    remembered.unlink()
    assert model_id(folder, cache_dir=cache) == found
    assert reads.count == 2


def test_a_cache_that_cannot_be_made_only_costs_time(folder: Path, cache: Path, reads: Reads) -> None:
    cache.write_text("a file where the folder should be")
    assert model_id(folder, cache_dir=cache) == model_id(folder, cache_dir=cache)
    assert reads.count == 2


@pytest.mark.parametrize("step", ["make", "write", "replace"])
def test_a_full_disk_only_costs_time_and_leaves_no_rest(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    expected = build_manifest(folder).model_id
    if step == "make":
        monkeypatch.setattr(tempfile, "mkstemp", full)
    elif step == "replace":
        monkeypatch.setattr(Path, "replace", full)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    if step == "write":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        assert model_id(folder, cache_dir=cache) == expected
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert list((cache / "model-ids").iterdir()) == []


def test_processes_that_start_at_once_agree(folder: Path, cache: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: model_id(folder, cache_dir=cache), range(8)))
    assert found == [build_manifest(folder).model_id] * 8
    assert len(list((cache / "model-ids").iterdir())) == 1


def test_a_link_that_leads_in_a_circle_is_refused(folder: Path, cache: Path) -> None:
    path = folder / "config.json"
    path.unlink()
    path.symlink_to(path)
    refused(lambda: model_id(folder, cache_dir=cache), "Too many levels of symbolic links")


def test_a_quantised_folder_is_the_model_that_it_was_made_from(folder: Path, cache: Path) -> None:
    note = Note(model=ModelId(bytes(32)), weights=WeightFormat.INT8)
    (folder / quantised.FILE).write_bytes(quantised.encode(note))
    assert model_id(folder, cache_dir=cache) == note.model
