"""Hosts and clients that are given a name fetch what they need and no more, whatever happens on the way."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from chat.errors import ModelError
from node import paths, publishing
from node.models_cli import PublishConfig
from node.status import StatusLine
from node.store.checkpoint import build_manifest
from node.store.chunks import ChunkStore
from node.store.hub_http import STALL_BYTES
from node.store.hub_source import STREAMS
from node.store.safetensors_header import read_header
from tests.end_to_end.conftest import Reference
from tests.fakes import asking
from tests.fakes.hosts import Host
from tests.fakes.hub import Seen, StandInHub
from tests.fakes.hub_machine import fresh_machine
from wire.manifest import Manifest

pytestmark = pytest.mark.timeout(300)

NAME = Path("hf:org/name")
PROMPT = [3, 17, 40, 99, 120, 5, 64, 200, 31, 7, 12]
PIECE_BYTES = 4096
"""What the hub sends at once when it is slow."""


@pytest.fixture
def hub(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    """A hub that has the model, for this process and those it starts."""
    fresh_machine(monkeypatch, tmp_path)
    with StandInHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.publish("org/name", checkpoint)
        yield hub


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Whatever is started from now on is on the machine of this name: it has a store and caches of its own."""

    def use(name: str) -> Path:
        for kind in ("DATA", "CACHE"):
            monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / name / kind.lower()))
        return tmp_path / name

    return use


async def publish() -> None:
    """Let this machine know what the model is."""
    await publishing.run(PublishConfig(model=str(NAME), json=True), StatusLine(as_json=False))


def start(home: Path, layers: str, *more: str, model: object = NAME) -> Host:
    words = ["--model", str(model), "--layers", layers, "--identity", str(home / "identity")]
    words += [
        "--listen",
        "127.0.0.1:0",
        "--control",
        "off",
        "--dtype",
        "float32",
        "--threads",
        "1",
        "--kv-memory",
        "64M",
    ]
    return Host([*words, *more])


@contextmanager
def running(home: Path, layers: str, *more: str, model: object = NAME) -> Iterator[Host]:
    """A host that is ready."""
    host = start(home, layers, *more, model=model)
    try:
        host.wait_ready()
        yield host
    finally:
        host.end()


def fails(home: Path, layers: str, *more: str, model: object = NAME) -> str:
    """Start a host that cannot start; returns its one sentence."""
    host = start(home, layers, *more, model=model)
    try:
        assert host.wait(60) == 1, (host.said, host.stderr)
    finally:
        host.end()
    message: str = host.said[-1]["message"]
    assert "; " in message, "cause; next step"
    assert "Traceback" not in host.stderr
    return message


def size_of(manifest: Manifest, *prefixes: str) -> int:
    return sum(one.size for one in manifest.tensors if one.name.startswith(prefixes))


def layers_of(first: int, end: int) -> list[str]:
    return [f"model.layers.{layer}." for layer in range(first, end)]


def of_tensors(hub: StandInHub) -> list[Seen]:
    """Requests for stretches of weights; headers are asked for from the file's beginning."""
    return [one for one in hub.asked(server="storage") if not str(one.range).startswith("bytes=0-")]


def sent(seen: Sequence[Seen]) -> int:
    return sum(one.sent for one in seen)


def files_of(hub: StandInHub) -> set[str]:
    """Names of the small files that were asked for."""
    return {one.path.rpartition("/")[2] for one in hub.asked("/resolve/") if ".safetensors" not in one.path}


async def test_hosts_and_clients_fetch_what_they_need_and_answer_as_the_whole_does(
    hub: StandInHub,
    machine: Callable[[str], Path],
    checkpoint: Path,
    manifest: Manifest,
    whole_model_tokens: Reference,
) -> None:
    homes = {name: machine(name) for name in ("low", "high", "client", "private")}
    for name in homes:
        machine(name)
        await publish()
    expected = whole_model_tokens(checkpoint, PROMPT, 24)
    hub.seen.clear()
    machine("low")
    with running(homes["low"], "1:7") as low:
        needed = size_of(manifest, *layers_of(1, 7))
        assert needed <= sent(of_tensors(hub)) <= 1.05 * needed
        fetched = low.wait_for("fetched")
        assert (fetched["bytes"], fetched["sources"]) == (needed, {"hub hf:org/name": needed})
        # Headers were read here when the manifest was made; a host needs no tokenizer.
        assert (files_of(hub), len(hub.asked(server="storage"))) == ({"config.json"}, len(of_tensors(hub)))
        machine("high")
        with running(homes["high"], "7:24", "--peer", str(low.address)) as high:
            contacts = [low.contact, high.contact]
            ends = ["model.embed_tokens."]
            for name, more in (("client", []), ("private", ["model.norm.", "lm_head."])):
                machine(name)
                hub.seen.clear()
                options = {"private_ends": bool(more), "front_layers": 1}
                async with asking.client(NAME, contacts, homes[name] / "identity", **options) as client:
                    assert await asking.tokens(client.session, PROMPT, 24) == expected
                wanted = size_of(manifest, *ends, *layers_of(0, 1), *more)
                assert wanted <= sent(of_tensors(hub)) <= 1.05 * wanted
                assert files_of(hub) <= {one.name for one in manifest.files}
                assert sent(hub.asked("/resolve/")) <= 1.05 * sum(one.size for one in manifest.files)


async def test_who_has_no_manifest_reads_all_of_it_as_a_host_and_asks_a_contact_as_a_client(
    hub: StandInHub,
    machine: Callable[[str], Path],
    checkpoint: Path,
    manifest: Manifest,
    whole_model_tokens: Reference,
) -> None:
    home = machine("host")
    with running(home, "0:24", "--peer", "127.0.0.1:1") as host:
        total = size_of(manifest, "")
        # Once to describe it, and once what is served: all but the embedding.
        assert sent(of_tensors(hub)) <= 2 * total
        machine("client")
        hub.seen.clear()
        identity = home.with_name("client") / "identity"
        async with asking.client(NAME, [host.contact], identity) as client:
            assert await asking.tokens(client.session, PROMPT, 24) == whole_model_tokens(
                checkpoint, PROMPT, 24
            )
        assert files_of(hub) >= {"config.json", "tokenizer.json"}
        wanted = size_of(manifest, "model.embed_tokens.", *layers_of(0, 1))
        # The host gives them too; the hub must have given one chunk at least.
        assert 0 < sent(of_tensors(hub)) <= 1.05 * wanted
        machine("lonely")
        with running(home.with_name("plain"), "1:24", model=checkpoint) as plain:
            # A host of the folder does not know what a hub calls it.
            with pytest.raises(ModelError, match=r"no manifest of hf:org/name@.* is here"):
                async with asking.client(NAME, [plain.contact], home.with_name("lonely") / "identity"):
                    pass
            # By its id it gives what a client needs, without any hub.
            hub.seen.clear()
            by_id = Path(str(manifest.model_id))
            async with asking.client(by_id, [plain.contact], home.with_name("lonely") / "identity") as client:
                assert await asking.tokens(client.session, PROMPT, 4) == whole_model_tokens(
                    checkpoint, PROMPT, 4
                )
            assert hub.seen == []


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def overlap(seen: Seen, places: Mapping[bytes, tuple[int, int]]) -> int:
    """Bytes of a request that are of these chunks."""
    first, last = map(int, str(seen.range).removeprefix("bytes=").split("-"))
    return sum(max(0, min(last + 1, end) - max(first, start)) for start, end in places.values())


async def killed_and_resumed(
    hub: StandInHub, home: Path, checkpoint: Path, layers: tuple[int, int], kills: int
) -> None:
    """Kill a host at random moments of its download: what came stays and is not asked for again, and no more is lost
    than each stream had under way."""
    await publish()
    hub.seen.clear()
    hub.bytes_per_s = 250_000
    dice = random.Random(kills)
    prefixes = tuple(layers_of(*layers))
    tensors = {one.name: one for one in build_manifest(checkpoint).tensors if one.name.startswith(prefixes)}
    wanted = sum(one.size for one in tensors.values())
    places = {
        tensors[one.name].chunks[0]: (one.start, one.start + one.size)
        for one in read_header(checkpoint / "model.safetensors")
        if one.name in tensors
    }
    # A chunk, what is read at once, and what the hub sends at once.
    under_way = STREAMS * (max(one.size for one in tensors.values()) + STALL_BYTES + PIECE_BYTES)
    store, where = ChunkStore(paths.weights_dir()), f"{layers[0]}:{layers[1]}"

    def kept() -> dict[bytes, tuple[int, int]]:
        assert store.check() == [], "nothing half is taken for whole"
        return {digest: places[digest] for digest in store.sizes() if digest in places}

    for number in range(kills + 1):
        before, already = kept(), len(of_tensors(hub))
        if number < kills:
            left = wanted - sum(end - begin for begin, end in before.values())
            enough = min(dice.uniform(0, 1.6 * wanted / kills + STREAMS * STALL_BYTES), 0.7 * left)
            host = start(home, where)
            try:
                wait_until(lambda a=already, e=enough: sent(of_tensors(hub)[a:]) >= e)  # type: ignore[misc] # bound now
                host.process.kill()
                host.wait()
            finally:
                host.end()
        else:
            hub.bytes_per_s = None
            with running(home, where) as last:
                assert last.wait_for("fetched")["bytes"] > 0, "every kill was in the middle"
        asked = of_tensors(hub)[already:]
        assert sum(overlap(one, before) for one in asked) <= 0.02 * wanted
        came = sum(end - begin for digest, (begin, end) in kept().items() if digest not in before)
        assert sent(asked) - came <= under_way
    assert kept() == places


async def test_a_host_that_is_killed_five_times_goes_on_where_it_was(
    hub: StandInHub, machine: Callable[[str], Path], checkpoint: Path
) -> None:
    await killed_and_resumed(hub, machine("host"), checkpoint, (1, 13), 5)


@pytest.mark.endurance
async def test_a_host_that_is_killed_fifty_times_goes_on_where_it_was(
    hub: StandInHub, machine: Callable[[str], Path], checkpoint: Path
) -> None:
    await killed_and_resumed(hub, machine("host"), checkpoint, (0, 24), 50)


async def test_a_host_that_is_stopped_while_fetching_ends_at_once(
    hub: StandInHub, machine: Callable[[str], Path]
) -> None:
    home = machine("host")
    await publish()
    hub.seen.clear()
    hub.bytes_per_s = 10_000
    host = start(home, "1:7")
    try:
        wait_until(lambda: sent(of_tensors(hub)) > 0)
        host.send_signal(signal.SIGTERM)
        assert host.wait(10) == 0, host.stderr
        assert [one["event"] for one in host.said] == ["loading", "stopped"]
        assert "Traceback" not in host.stderr
    finally:
        host.end()


async def test_offline_a_host_serves_what_is_here_and_says_what_is_not(
    hub: StandInHub, machine: Callable[[str], Path]
) -> None:
    home = machine("host")
    await publish()
    with running(home, "1:3"):
        pass
    hub.seen.clear()
    assert fails(home, "1:4", "--offline").endswith("; start once without --offline")
    with running(home, "1:3", "--offline") as host:
        assert "fetched" not in [one["event"] for one in host.said]
    assert hub.seen == []


async def test_a_bound_on_the_disk_that_is_too_tight_is_told_before_anything_is_fetched(
    hub: StandInHub, machine: Callable[[str], Path]
) -> None:
    home = machine("host")
    await publish()
    hub.seen.clear()
    assert "raise --disk" in fails(home, "1:7", "--disk", "200K")
    assert of_tensors(hub) == []


@contextmanager
def disk(folder: Path, size: str) -> Iterator[None]:
    """A disk of this size at a folder; only root can have one."""
    folder.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
    mounted = subprocess.run(words, check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


async def test_a_disk_that_fills_up_or_cannot_be_written_is_told_and_what_came_stays(
    hub: StandInHub, machine: Callable[[str], Path], manifest: Manifest
) -> None:
    home = machine("host")
    folder = home / "data"
    with disk(folder, "600K"):
        await publish()
        hub.seen.clear()
        assert "there is no room left on the disk" in fails(home, "1:7")
        store = ChunkStore(paths.weights_dir())
        assert store.check() == []
        kept = sum(store.sizes().values())
        assert kept > 300_000
        remount(folder, "size=8M")
        with running(home, "1:7") as host:
            assert host.wait_for("fetched")["bytes"] < size_of(manifest, *layers_of(1, 7)) - 200_000
        remount(folder, "ro")
        assert "cannot be used (Read-only file system); check the folder" in fails(home, "1:7")
