from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from node.store.checkpoint import build_manifest
from node.store.errors import BadCheckpoint
from node.store.hub_errors import HubBusy, HubWrongAnswer
from node.store.hub_manifest import manifest_of
from node.store.source import Chunk
from tests.fakes.checkpoints import write_checkpoint, write_shard
from tests.fakes.hub import StandInHub, cut, flip, refuse
from tests.fakes.hub_machine import fresh_machine, opened


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    fresh_machine(monkeypatch, tmp_path)
    with StandInHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dice = random.Random(7)
    large = dice.randbytes(9 * 1024 * 1024 + 1)
    folder = write_checkpoint(
        tmp_path / "model", {"b": large, "none": b""}, {"a": dice.randbytes(100_000), "c": large[:5000000]}
    )
    (folder / "tokenizer.json").write_bytes(dice.randbytes(1000))
    (folder / "LICENSE").write_text("not part of what a model is")
    return folder


@pytest.mark.parametrize("redirects", [True, False])
async def test_a_manifest_is_the_one_of_the_folder(
    hub: StandInHub, folder: Path, tmp_path: Path, redirects: bool
) -> None:
    hub.redirects = redirects
    hub.publish("org/name", folder)
    told: list[float] = []
    async with await opened(tmp_path) as repo:
        manifest = await manifest_of(repo, progress=told.append)
    assert manifest == build_manifest(folder)
    assert manifest.model_id == build_manifest(folder).model_id
    assert told[-1] == 1.0


async def test_a_checkpoint_of_the_safetensors_library_in_one_file_has_the_same_manifest_too(
    hub: StandInHub, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    tensors = {"x": torch.ones(3, 5, dtype=torch.bfloat16), "y": torch.arange(7), "z": torch.empty(0, 4)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        assert await manifest_of(repo) == build_manifest(folder)


async def test_every_chunk_is_kept_once_off_the_event_loop(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    hub.publish("org/name", folder)
    kept: dict[tuple[str, int, bool], bytes] = {}

    def keep(chunk: Chunk, data: bytes) -> None:
        assert threading.current_thread() is not threading.main_thread()
        assert hashlib.sha256(data).digest() == chunk.digest
        assert len(data) == chunk.size
        key = (chunk.name, chunk.offset, chunk.is_file)
        assert key not in kept
        kept[key] = chunk.digest

    async with await opened(tmp_path) as repo:
        manifest = await manifest_of(repo, keep=keep)
    files = {key[0]: digest for key, digest in kept.items() if key[2]}
    assert files == {one.name: one.digest for one in manifest.files}
    digests = {
        name: [kept[key] for key in sorted(kept) if key[0] == name] for name, *_ in kept if name not in files
    }
    assert digests == {one.name: list(one.chunks) for one in manifest.tensors if one.size}


async def test_a_bad_line_costs_no_byte_of_it(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        await repo.layout()
        hub.fault("", cut(1_000_000), server="storage")
        hub.fault("", cut(5_000_000), server="storage")
        hub.fault("/resolve/", refuse(500))
        assert await manifest_of(repo) == build_manifest(folder)


@pytest.mark.parametrize("at", [10, 4_000_000])
async def test_a_bit_that_turned_on_the_way_does_not_become_part_of_a_model(
    hub: StandInHub, folder: Path, tmp_path: Path, at: int
) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        await repo.layout()
        hub.fault("", flip(at), server="storage")
        await repo.small_files()
        with pytest.raises(HubWrongAnswer, match=r"model-0000\d-of-00002\.safetensors .* other bytes than"):
            await manifest_of(repo)
        assert await manifest_of(repo) == build_manifest(folder)


async def test_a_header_that_turned_on_the_way_is_not_kept(hub: StandInHub, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", {"name": b"0123"})
    hub.publish("org/name", folder)
    at = (folder / "model.safetensors").read_bytes().index(b"name")
    async with await opened(tmp_path) as repo:
        hub.fault(
            "",
            flip(at),
            server="storage",
        )
        with pytest.raises(HubWrongAnswer, match="other bytes than"):
            await manifest_of(repo)
        assert await manifest_of(repo) == build_manifest(folder)


async def test_an_error_of_who_keeps_ends_it(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    hub.publish("org/name", folder)

    def keep(chunk: Chunk, data: bytes) -> None:
        if not chunk.is_file:
            raise OSError(28, "No space left on device")

    async with await opened(tmp_path) as repo:
        with pytest.raises(OSError, match="No space left"):
            await manifest_of(repo, keep=keep)


async def test_what_is_no_checkpoint_has_no_manifest(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    write_shard(folder / "model-00002-of-00002.safetensors", {"b": b"again"})
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        with pytest.raises(BadCheckpoint, match="in two files"):
            await manifest_of(repo)
    hub.fault("/resolve/", refuse(500), times=100)
    async with await opened(tmp_path / "again") as repo:
        with pytest.raises(HubBusy):
            await manifest_of(repo)
