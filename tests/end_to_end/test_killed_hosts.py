"""`kill -9` at random moments of real hosts that join, leave, drain, undrain, fetch and start: the next start is right.

`make crash` kills 200 times; the same seed does the same again, as far as the machine does:
`make crash ARGS="--seed 7 --kills 50"`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from node import publishing
from node.models_cli import PublishConfig
from node.status import StatusLine
from tests.end_to_end.conftest import LAYERS, Reference
from tests.fakes import asking, hosts
from tests.fakes.hosts import Host, HostOptions
from tests.fakes.hub import StandInHub
from tests.fakes.hub_machine import fresh_machine
from tests.fakes.killed_host import Held, Machine
from wire.contacts import Contact
from wire.manifest import Manifest
from wire.types import LayerRange

HUB = "hf:org/name"
IDS = [3, 17, 40, 99, 120, 5, 64]


@pytest.fixture
def hub(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    """A slow hub that has the model, and a machine that knows nothing yet."""
    fresh_machine(monkeypatch, tmp_path)
    for kind in ("DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / "machine" / kind.lower()))
    with StandInHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.publish("org/name", checkpoint)
        yield hub


@dataclass(frozen=True)
class World:
    """What a host is killed in."""

    hub: StandInHub
    home: Path
    checkpoint: Path
    manifest: Manifest
    expected: list[int]
    """What the whole model answers."""


@pytest.fixture
def world(
    hub: StandInHub, tmp_path: Path, checkpoint: Path, manifest: Manifest, whole_model_tokens: Reference
) -> World:
    return World(hub, tmp_path, checkpoint, manifest, whole_model_tokens(checkpoint, IDS, 8))


@contextmanager
def machine(world: World, seed: int, started_every: int) -> Iterator[tuple[Machine, Host]]:
    """A machine on which hosts are killed, and a host elsewhere that has the rest of the model and gives weights."""
    world.hub.bytes_per_s = 150_000
    more = ("--upload-rate", "400K", "--share", "127.0.0.1:0")
    model = str(world.checkpoint)
    other = hosts.start(world.home / "other", world.checkpoint, f"17:{LAYERS}", HostOptions(more=more))
    with tempfile.TemporaryDirectory(prefix="lm") as folder:
        try:
            other.wait_ready()
            slices = (
                Held(model=model, layers=LayerRange(1, 5), configured=True),
                Held(model=model, layers=LayerRange(5, 9)),
                Held(model=HUB, layers=LayerRange(9, 13), is_fetched=True),
                Held(model=str(world.manifest.model_id), layers=LayerRange(13, 17), is_fetched=True),
            )
            words = ["--model", model, "--layers", "1:5", "--listen", "127.0.0.1:0", "--no-map"]
            words += [
                "--dtype",
                "float32",
                "--threads",
                "1",
                "--kv-memory",
                "64M",
                "--peer",
                str(other.address),
            ]
            home = world.home / "killed"
            home.mkdir()
            killed = Machine(
                home=home,
                control=Path(folder) / "control.sock",
                slices=slices,
                manifest=world.manifest,
                words=words,
                seed=seed,
                started_every=started_every,
            )
            yield killed, other
        finally:
            other.end()


async def killed(world: World, kills: int, seed: int, started_every: int) -> Machine:
    """Kill a host so many times; then have it serve everything, and ask by way of every slice of it."""
    await publishing.run(PublishConfig(model=HUB, json=True), StatusLine(as_json=False))
    with machine(world, seed, started_every) as (one, other):
        print(f"seed {seed}")
        for number in range(1, kills + 1):
            done = await one.life()
            print(f"kill {number} of {kills}: {done}", flush=True)
        world.hub.bytes_per_s = None
        process = one.start()
        try:
            async with one.connected() as client:
                await one.check(client)
                await one.hold_all(client)
                where = Contact(address=await one.check(client))
            async with asking.client(
                world.checkpoint, [where, other.contact], one.home / "me", front_layers=1, dht=False
            ) as asker:
                assert await asking.tokens(asker.session, IDS, 8) == world.expected
        finally:
            assert "Traceback" not in process.kill()
    return one


@pytest.mark.timeout(120)
async def test_a_host_that_is_killed_in_the_middle_of_each_command_does_what_it_acknowledged(
    world: World,
) -> None:
    one = await killed(world, kills=7, seed=3, started_every=100)
    assert set(one.counts) == {"start", "join", "drain", "leave", "undrain", "download"}


@pytest.mark.endurance
@pytest.mark.timeout(7200)
async def test_a_host_that_is_killed_two_hundred_times_does_what_it_acknowledged(
    world: World, pytestconfig: pytest.Config
) -> None:
    kills, seed = pytestconfig.getoption("--kills"), pytestconfig.getoption("--seed")
    one = await killed(world, kills, seed, started_every=25)
    print(f"{kills} kills: {dict(one.counts)}, {one.acknowledged} commands acknowledged")
    assert one.acknowledged > kills // 10
