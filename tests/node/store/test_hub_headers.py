from __future__ import annotations

import asyncio
import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.store import hub_headers
from node.store.errors import BadCheckpoint
from node.store.hub_errors import HubError
from node.store.hub_headers import FIRST_READ_BYTES
from node.store.safetensors_header import MAX_HEADER_BYTES
from tests.fakes.checkpoints import entry, write_checkpoint, write_index, write_raw, write_shard
from tests.fakes.deadline import until
from tests.fakes.hub import StandInHub, stall
from tests.fakes.hub_machine import fresh_machine, on_disk, opened

SHARDS = ({"a": b"0123", "b": b"45"}, {"c": b"678", "d": b""}, {"e": b"9"})


@pytest.fixture(params=["direct", "redirected"])
def hub(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[StandInHub]:
    fresh_machine(monkeypatch, tmp_path)
    with StandInHub(redirects=request.param == "redirected") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path / "model", *SHARDS)
    (folder / "LICENSE.txt").write_text("yours")
    (folder / "README.md").write_text("not part of it")
    (folder / "tokenizer.json").write_text("{}")
    return folder


async def refused(tmp_path: Path, words: str, kind: type[Exception] = BadCheckpoint) -> None:
    async with await opened(tmp_path) as repo:
        with pytest.raises(kind, match=words) as caught:
            await repo.layout()
    assert str(caught.value).isprintable()


async def test_a_checkpoint_in_one_file_is_laid_out(hub: StandInHub, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", SHARDS[0])
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        assert await repo.layout() == on_disk(folder)
        assert await repo.layout(["b"]) == on_disk(folder)
        with pytest.raises(BadCheckpoint, match="no tensor 'x'"):
            await repo.layout(["x"])


async def test_only_the_files_that_hold_what_is_wanted_are_asked_for(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        layout = await repo.layout(["c"])
        assert set(layout) == {"c", "d"}
        assert {one.path.split("/")[-1] for one in hub.asked("/resolve/")} == {
            "model.safetensors.index.json",
            "model-00002-of-00003.safetensors",
        }
        with pytest.raises(BadCheckpoint, match="no tensor 'x'"):
            await repo.layout(["a", "x"])


async def test_a_long_header_comes_in_two_requests_and_a_short_one_in_one(
    hub: StandInHub, tmp_path: Path
) -> None:
    tensors = {f"{'n' * 200}.{index}": b"x" for index in range(2000)}
    folder = write_checkpoint(tmp_path / "model", tensors)
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        assert await repo.layout() == on_disk(folder)
    ranges = [one.range for one in hub.asked("model.safetensors", "hub")]
    length = struct.unpack("<Q", (folder / "model.safetensors").read_bytes()[:8])[0]
    assert ranges == [f"bytes=0-{FIRST_READ_BYTES - 1}", f"bytes={FIRST_READ_BYTES}-{length + 7}"]


async def test_pickled_weights_are_refused(hub: StandInHub, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    hub.publish("org/name", tmp_path / "model")
    await refused(tmp_path, "neither model.safetensors nor")
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(b"x")
    hub.publish("org/name", tmp_path / "model")
    await refused(tmp_path, "pickled weights only, which can run code")


@pytest.mark.parametrize(
    ("weight_map", "words"),
    [
        ({"a": "../model-00001-of-00003.safetensors"}, "not a safetensors file beside it"),
        ({"a": "sub/model.safetensors"}, "not a safetensors file beside it"),
        ({"a": "pytorch_model.bin"}, "not a safetensors file beside it"),
        ({"a": "nowhere.safetensors"}, "names 'nowhere.safetensors', which is not there"),
        ({}, "names no file"),
        ([], "cannot be read as an index"),
    ],
)
async def test_an_index_that_leads_astray_is_refused(
    hub: StandInHub, folder: Path, tmp_path: Path, weight_map: Any, words: str
) -> None:
    write_index(folder, weight_map)
    hub.publish("org/name", folder)
    await refused(tmp_path, words)


async def test_an_index_that_is_too_large_is_not_asked_for(
    hub: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("org/name", folder)
    monkeypatch.setattr(hub_headers, "MAX_INDEX_BYTES", 10)
    await refused(tmp_path, "larger than 10 bytes")
    assert hub.asked("index.json") == []


async def test_an_index_that_names_a_file_without_the_tensor_is_refused(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    write_index(folder, {"a": "model-00002-of-00003.safetensors"})
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        with pytest.raises(BadCheckpoint, match=r"model-00002.* has no tensor 'a'"):
            await repo.layout(["a"])


async def test_a_tensor_in_two_files_is_refused(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    write_shard(folder / "model-00002-of-00003.safetensors", {"a": b"again"})
    hub.publish("org/name", folder)
    await refused(tmp_path, "tensor a is in two files")


HOSTILE: dict[str, tuple[bytes, bytes, int | None, str]] = {
    "too short": (b"", b"", 0, "claims a header of 0 bytes"),
    "longer than the file": (b"{}", b"", 3, "claims a header of 3 bytes"),
    "longer than any": (b"{}", b"", 1 << 63, "claims a header"),
    "no JSON": (b"{ ", b"", None, "not JSON"),
    "deep": (b"[" * 100_000, b"", None, "not JSON"),
    "no map": (b"[]", b"", None, "not a map"),
    "twice": (
        b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
        b"",
        None,
        "twice",
    ),
    "unknown type": (json.dumps({"a": entry("F4", [2], 0, 1)}).encode(), b"x", None, "described wrongly"),
    "overlap": (
        json.dumps({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}).encode(),
        b"xyz",
        None,
        "overlaps another",
    ),
    "gap": (json.dumps({"a": entry("U8", [1], 1, 2)}).encode(), b"xy", None, "gap"),
    "too little": (json.dumps({"a": entry("U8", [4], 0, 4)}).encode(), b"xy", None, "its header describes"),
    "too much": (json.dumps({"a": entry("U8", [1], 0, 1)}).encode(), b"xyz", None, "its header describes"),
    "a name that escapes": (
        json.dumps({"a\x1b[2J": entry("U8", [1], 0, 1)}).encode(),
        b"x",
        None,
        "usable name",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_header_is_refused_and_not_remembered(
    hub: StandInHub, tmp_path: Path, case: str
) -> None:
    header, data, length, words = HOSTILE[case]
    folder = write_checkpoint(tmp_path / "model", {"a": b"x"})
    write_raw(folder / "model.safetensors", header, data, length=length)
    hub.publish("org/name", folder)
    await refused(tmp_path, words)
    await refused(tmp_path, words)
    assert len(hub.asked("model.safetensors", "hub")) == 2


async def test_a_file_too_short_for_a_header_is_refused(hub: StandInHub, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", {"a": b"x"})
    (folder / "model.safetensors").write_bytes(b"1234567")
    hub.publish("org/name", folder)
    await refused(tmp_path, "too short")


async def test_a_header_past_the_limit_is_not_asked_for(hub: StandInHub, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", {"a": b"x"})
    write_raw(folder / "model.safetensors", b"{}", length=MAX_HEADER_BYTES + 1)
    os.truncate(folder / "model.safetensors", MAX_HEADER_BYTES + 100)  # sparse: takes no room
    hub.publish("org/name", folder)
    await refused(tmp_path, f"header of {MAX_HEADER_BYTES + 1} bytes")
    assert (
        sum(one.sent for one in hub.asked("", "storage" if hub.redirects else "hub"))
        < FIRST_READ_BYTES + 10_000
    )


async def test_a_file_that_changed_its_size_is_noticed(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        write_shard(folder / "model-00002-of-00003.safetensors", {"c": b"much more than before"})
        with pytest.raises(HubError):
            await repo.layout()


async def test_cancelling_a_layout_ends_its_requests(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        hub.fault("model-0000", stall(4), times=3)
        task = asyncio.create_task(repo.layout())
        await until(lambda: len(hub.asked("model-0000", "hub")) == 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await repo.layout() == on_disk(folder)
