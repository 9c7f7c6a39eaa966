"""A slice that is stopped has given its memory back, also what was prepared for it, and however often it comes."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest

from node.control.arguments import DrainArguments, JoinArguments, NoArguments, SliceArguments
from node.control.client import ControlClient, connected
from node.control.commands import DRAIN, HOSTING, JOIN, LEAVE, STATUS, UNDRAIN
from node.control.errors import ControlError
from node.control.results import JoinProgress
from scripts.make_model import tiny_fields, write_model
from tests.fakes import hosts
from tests.fakes.hosts import Host, HostOptions
from wire.types import LayerRange

pytestmark = pytest.mark.timeout(300)

NOTHING = NoArguments()
AT_ONCE = DrainArguments(grace_s=0.0)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of three layers of 67 MB, at float32."""
    import torch

    fields = {
        **tiny_fields("llama"),
        "num_hidden_layers": 3,
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": 128,
    }
    return write_model(tmp_path_factory.mktemp("models") / "large", "llama", fields, dtype=torch.float32)


async def given_up(client: ControlClient, socket: Path, large: Path) -> None:
    """Leave a slice in the middle of its loading."""
    begun = asyncio.Event()

    def told(one: JoinProgress) -> None:
        if one.fraction:
            begun.set()

    arguments = JoinArguments(model=str(large), layers=LayerRange(1, 3))
    joining = asyncio.create_task(client.call(JOIN, arguments, told=told))
    async with asyncio.timeout(60):
        await begun.wait()
    async with connected(socket) as other:
        await other.call(LEAVE, AT_ONCE)
    with pytest.raises(ControlError, match="left"):
        await joining


async def cycles(client: ControlClient, socket: Path, host: Host, large: Path) -> None:
    (facts,) = (await client.call(HOSTING, NOTHING)).slices
    loaded, size = host.resident_bytes, facts.weight_bytes
    assert size > 60 << 20
    for number in range(4):
        await client.call(LEAVE if number == 2 else DRAIN, AT_ONCE)
        assert (await client.call(STATUS, NOTHING)).memory.weight_bytes == 0
        assert host.resident_bytes < loaded - 0.35 * size
        if number == 2:
            await given_up(client, socket, large)
            assert host.resident_bytes < loaded - 0.25 * size
            await client.call(JOIN, JoinArguments(model=str(large), layers=LayerRange(1, 3)))
        else:
            await client.call(UNDRAIN, SliceArguments())
        assert host.resident_bytes < loaded + 0.4 * size, "it is there once"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
async def test_stopped_means_that_the_memory_is_free(tmp_path: Path, large: Path, dtype: str) -> None:
    with tempfile.TemporaryDirectory(prefix="lm") as short:
        socket = Path(short) / "control.sock"
        host = hosts.start(tmp_path / "identity", large, "1:3", HostOptions(control=socket, dtype=dtype))
        try:
            await asyncio.to_thread(host.wait_ready)
            async with connected(socket) as client:
                await cycles(client, socket, host, large)
        finally:
            await asyncio.to_thread(host.end)
