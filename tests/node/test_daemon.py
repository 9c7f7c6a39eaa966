"""The daemon says when it is ready, serves what it was asked to, and stops when told, whatever it is doing."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node import daemon
from node.auto import NothingFits
from node.config import NodeConfig, SliceRequest
from node.errors import NodeError
from node.planning.cost import DEFAULT_CONTEXT, PROCESS_BYTES
from node.slices import device
from node.slices.errors import SliceError
from node.slices.shape_of import read_shape
from node.status import StatusLine
from node.store import checkpoint
from scripts.make_model import write_tiny
from tests.fakes import gpu
from tests.fakes.deadline import until
from wire.contacts import Contact
from wire.tensors import WeightFormat
from wire.types import Address, LayerRange, ModelId


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("models") / "tiny", "llama")


class Running:
    """A daemon as a task of this loop."""

    def __init__(self, folder: Path, home: Path, *layers: str | None, **changes: Any) -> None:
        slices = tuple(SliceRequest(str(folder), LayerRange.parse(one) if one else None) for one in layers)
        fields: dict[str, Any] = {
            "slices": slices,
            "listen": (Address("127.0.0.1", 0),),
            "identity_file": home / "identity",
            "threads": 1,
            "json": True,
            "controls": False,
            "grace_s": 0.2,
        }
        self.out = io.StringIO()
        config = NodeConfig(**(fields | changes))
        self.task = asyncio.create_task(daemon.run(config, StatusLine(as_json=True, out=self.out)))

    def said(self, event: str) -> dict[str, Any] | None:
        lines = [json.loads(line) for line in self.out.getvalue().splitlines()]
        return next((line for line in lines if line["event"] == event), None)

    async def until(self, event: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            while (line := self.said(event)) is None:
                if self.task.done():
                    self.task.result()
                    raise AssertionError(f"the daemon ended without saying {event}")
                await asyncio.sleep(0.01)
        return line


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serves_several_ranges_until_it_is_told_to_stop(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    running = Running(folder, tmp_path, "0:2", "3:5", None)
    ready = await running.until("ready")
    assert [(one["layers"], one["head"]) for one in ready["slices"]] == [
        ("0:2", False),
        ("0:5", True),
        ("3:5", True),
    ]
    assert {one["dtype"] for one in ready["slices"]} == {"f32"}
    assert len({one["model"] for one in ready["slices"]}) == 1
    os.kill(os.getpid(), number)
    async with asyncio.timeout(10):
        await running.task
    assert running.said("stopped") == {"event": "stopped", "cut_off": 0}
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", Address.parse(ready["address"]).port)


async def test_a_stop_while_loading_ends_the_loading(folder: Path, tmp_path: Path) -> None:
    running = Running(folder, tmp_path, None)
    await running.until("loading")
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(daemon.Interrupted):
        await running.task
    assert running.said("ready") is None


@pytest.mark.parametrize(
    ("layers", "changes", "words"),
    [
        ("3:9", {}, "3:9"),
        ("0:2", {"listen": (Address("192.0.2.1", 1),)}, "192.0.2.1"),
    ],
)
async def test_what_cannot_be_served_is_said_before_it_starts(
    folder: Path, tmp_path: Path, layers: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises((NodeError, SliceError), match=words):
        await Running(folder, tmp_path, layers, **changes).task


async def test_a_gpu_that_is_not_there_is_told_before_anything_is_loaded(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    running = Running(folder, tmp_path, "0:2", device="cuda")
    with pytest.raises(SliceError, match="install a CUDA build of torch"):
        await running.task
    assert running.said("loading") is None


async def test_a_host_on_a_gpu_says_so_that_it_is_untested_and_what_sessions_may_use(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.on_cpu(monkeypatch)
    running = Running(folder, tmp_path, "0:2", device="cuda:0")
    ready = await running.until("ready")
    assert (ready["device"], ready["kv_bytes"]) == ("cuda:0", 1 << 19)
    assert device.UNTESTED in caplog.text
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task


async def test_a_port_in_use_is_told_before_anything_is_loaded(folder: Path, tmp_path: Path) -> None:
    running = Running(folder, tmp_path, "0:2")
    ready = await running.until("ready")
    taken = Address.parse(ready["address"])
    second = Running(folder, tmp_path, "0:2", listen=(taken,))
    with pytest.raises(NodeError, match=str(taken.port)):
        await second.task
    assert second.said("loading") is None
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task


async def test_a_host_that_chooses_takes_the_layers_that_its_peer_lacks(folder: Path, tmp_path: Path) -> None:
    first = Running(folder, tmp_path / "first", "0:2")
    address = Address.parse((await first.until("ready"))["address"])
    shape = read_shape(folder)
    three = (
        PROCESS_BYTES + shape.slice_bytes + sum(one.weights[WeightFormat.NATIVE] for one in shape.layers[2:])
    )
    kv = shape.kv_bytes(LayerRange(2, 5), DEFAULT_CONTEXT)
    memory = three + kv + shape.head[WeightFormat.NATIVE]
    second = Running(
        folder, tmp_path / "second", None, auto=True, memory_bytes=memory, peers=(Contact(address=address),)
    )
    ready = await second.until("ready")
    assert [(one["layers"], one["head"]) for one in ready["slices"]] == [("2:5", True)]
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        await second.task
    first.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.task


async def test_a_host_that_finds_nothing_to_fit_says_so(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingFits, match="memory"):
        await Running(folder, tmp_path, None, auto=True, memory_bytes=1_000).task


async def stopped(running: Running) -> None:
    running.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running.task


async def test_a_stop_while_a_checkpoint_is_read_ends_the_reading(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(_folder: Path, *, cache_dir: Path, progress: Callable[[float], None]) -> ModelId:
        try:
            while True:
                begun.set()
                progress(0.5)
        finally:
            ended.set()

    monkeypatch.setattr(checkpoint, "model_id", endless)
    running = Running(folder, tmp_path, None)
    await until(begun.is_set)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(daemon.Interrupted):
        await running.task
    await until(ended.is_set)


async def test_a_host_fetches_by_id_from_a_host_of_the_folder_and_gives_it_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Running(folder, tmp_path, "0:5")
    ready = await first.until("ready")
    last = Address.parse(ready["address"])
    for home in ("second", "third"):
        # Each knows the one before it alone.
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / home))
        later = Running(
            Path(ready["slices"][0]["model"]), tmp_path / home, "1:3", peers=(Contact(address=last),)
        )
        said = await later.until("ready")
        assert said["slices"][0]["model"] == ready["slices"][0]["model"]
        fetched = later.said("fetched")
        assert fetched is not None
        assert (fetched["model"], fetched["layers"]) == (ready["slices"][0]["model"], "1:3")
        assert list(fetched["sources"].values()) == [fetched["bytes"]]
        assert "hub" not in fetched["sources"]
        await stopped(first)
        first, last = later, Address.parse(said["address"])
    await stopped(first)


async def test_a_host_that_gives_nothing_is_no_source(folder: Path, tmp_path: Path) -> None:
    first = Running(folder, tmp_path, "0:5", shares=False)
    ready = await first.until("ready")
    contact = Address.parse(ready["address"])
    model = ready["slices"][0]["model"]
    with pytest.raises(NodeError, match=f"model {model} is not in the store, and no peer gave its manifest"):
        await Running(Path(model), tmp_path, "1:3", peers=(Contact(address=contact),)).task
    await stopped(first)


async def test_a_place_to_share_that_is_taken_is_told_before_anything_is_loaded(
    folder: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = Address("127.0.0.1", other.getsockname()[1])
        running = Running(folder, tmp_path, "0:2", share=taken)
        with pytest.raises(NodeError, match=f"chunks cannot be served at {taken}"):
            await running.task
    assert running.said("loading") is None
