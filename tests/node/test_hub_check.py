from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from node.hub_check import ClaimRefused, NotTheHubs, Witness, check_claim
from node.store.checkpoint import build_manifest
from node.store.fetch import closing
from node.store.hub import HubRepo
from node.store.hub_errors import HubOffline
from node.store.pace import Turn
from node.store.source import Chunk, SourceFailed
from tests.fakes.checkpoints import write_checkpoint, write_raw
from tests.fakes.hub import StandInHub
from tests.fakes.hub_machine import fresh_machine, opened
from tests.fakes.sources import FakeSource, make_chunks
from wire.manifest import Base, FileEntry, Manifest, TensorEntry
from wire.tensors import WeightFormat
from wire.types import ModelId

DIGEST = bytes(32)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    fresh_machine(monkeypatch, tmp_path)
    with StandInHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    dice = random.Random(5)
    made = write_checkpoint(tmp_path / "model", {"a": dice.randbytes(900)}, {"b": dice.randbytes(700)})
    (made / "tokenizer.json").write_bytes(dice.randbytes(300))
    return made


@pytest.fixture
async def repo(hub: StandInHub, folder: Path, tmp_path: Path) -> AsyncIterator[HubRepo]:
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        yield repo


async def test_the_true_manifest_is_borne_out_without_reading_a_tensor(
    hub: StandInHub, repo: HubRepo, folder: Path
) -> None:
    await check_claim(repo, build_manifest(folder), None)
    sizes = [one.size for name, one in repo.files.items() if name.endswith(".safetensors")]
    # Headers are asked for by the first 128 KiB, which of so small a file is all of it; nothing is asked twice.
    assert sum(one.sent for one in hub.asked(server="storage")) == sum(sizes)


def swapped(manifest: Manifest, **fields: object) -> Manifest:
    """The manifest with other facts about its first tensor."""
    first = replace(manifest.tensors[0], **fields)  # type: ignore[arg-type] # fields by name
    return replace(manifest, tensors=(first, *manifest.tensors[1:]))


def swapped_file(manifest: Manifest, **fields: object) -> Manifest:
    """The manifest with other facts about its first file."""
    first = replace(manifest.files[0], **fields)  # type: ignore[arg-type] # fields by name
    return replace(manifest, files=(first, *manifest.files[1:]))


EXTRA = TensorEntry(name="z", dtype="U8", shape=(1,), size=1, chunks=(DIGEST,))


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (lambda one: swapped(one, dtype="I8"), "1 tensors differ, a the first"),
        (lambda one: swapped(one, shape=(9, 100)), "1 tensors differ, a"),
        (lambda one: swapped(one, size=901), "1 tensors differ, a"),
        (lambda one: swapped(one, name="A"), "2 tensors differ, A"),
        (lambda one: replace(one, tensors=one.tensors[:1]), "1 tensors differ, b"),
        (lambda one: replace(one, tensors=(*one.tensors, EXTRA)), "1 tensors differ, z"),
        (lambda one: replace(one, tensors=()), "2 tensors differ"),
        (lambda one: swapped_file(one, size=7), "the files beside the weights differ"),
        (lambda one: replace(one, files=one.files[:1]), "the files beside the weights differ"),
        (
            lambda one: replace(one, files=(*one.files, FileEntry(name="vocab.json", size=1, digest=DIGEST))),
            "the files beside the weights differ",
        ),
        (lambda one: swapped_file(one, digest=DIGEST), "config.json differs"),
        (
            lambda one: replace(one, base=Base(ModelId(DIGEST), WeightFormat.INT4_32)),
            "made from another model",
        ),
    ],
)
async def test_a_manifest_that_differs_in_anything_the_hub_tells_is_refused(
    repo: HubRepo, folder: Path, lie: Callable[[Manifest], Manifest], words: str
) -> None:
    with pytest.raises(ClaimRefused, match=words):
        await check_claim(repo, lie(build_manifest(folder)), None)


async def test_only_files_that_will_be_used_are_read(hub: StandInHub, repo: HubRepo, folder: Path) -> None:
    found = build_manifest(folder)
    lie = replace(found, files=(found.files[0], replace(found.files[1], digest=DIGEST)))
    await check_claim(repo, lie, ["config.json"])
    assert not hub.asked("/resolve/main/tokenizer.json")
    with pytest.raises(ClaimRefused, match=r"tokenizer\.json differs"):
        await check_claim(repo, lie, ["tokenizer.json"])


async def test_of_a_hub_whose_files_are_no_checkpoint_there_is_no_true_manifest(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    found = build_manifest(folder)
    write_raw(folder / "model-00001-of-00002.safetensors", b"[]")
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        with pytest.raises(ClaimRefused, match="a manifest is not that of hf:org/name"):
            await check_claim(repo, found, None)


async def test_a_hub_that_is_away_refuses_nobody(hub: StandInHub, repo: HubRepo, folder: Path) -> None:
    hub.stop()
    with pytest.raises(HubOffline):
        await check_claim(repo, build_manifest(folder), None)


async def test_a_witness_passes_on_what_the_manifest_names() -> None:
    data = make_chunks(3)
    hub = FakeSource("hub", data)
    witness = Witness(hub, "hf:org/name")
    assert (witness.label, witness.streams) == ("hub", 2)
    assert all(witness.holds(one) for one in data)
    batch = witness.batch(list(data), 2000)
    assert [one async for one in witness.read(batch)] == [(one, data[one]) for one in batch]
    assert (len(batch), hub.open) == (2, 0)


async def test_a_hub_that_says_it_twice_is_believed_over_the_manifest() -> None:
    data = make_chunks(3)
    first, second, _ = data
    hub = FakeSource("hub", data)
    hub.lies = [second]
    came = []
    with pytest.raises(NotTheHubs, match=f"other bytes for {second.name} than the hub has"):
        async for chunk, bytes_of in Witness(hub, "hf:org/name").read(list(data)):
            came += [(chunk, bytes_of)]
    assert came == [(first, data[first])]
    assert hub.open == 0


class Turning(FakeSource):
    """A hub from which chunks come with a turned bit: at the first read, or always, each time another one."""

    def __init__(self, data: Mapping[Chunk, bytes], *, always: bool) -> None:
        super().__init__("hub", data)
        self.always = always
        self.reads = 0

    async def read(
        self, batch: Sequence[Chunk], turn: Turn | None = None
    ) -> AsyncGenerator[tuple[Chunk, bytes], None]:
        self.reads += 1
        async with closing(super().read(batch, turn)) as chunks:
            async for chunk, data in chunks:
                wrong = self.always or self.reads == 1
                yield chunk, data[:5] + bytes([data[5] ^ (1 << self.reads)]) + data[6:] if wrong else data


@pytest.mark.parametrize("always", [False, True])
async def test_a_bit_that_was_turned_on_the_way_is_asked_for_again(always: bool) -> None:
    data = make_chunks(1)
    hub = Turning(data, always=always)
    with pytest.raises(SourceFailed, match="t0 came with wrong bytes from the hub") as failed:
        async for _ in Witness(hub, "hf:org/name").read(list(data)):
            pass
    assert failed.value.retry_after_s == 0.0
    assert (hub.reads, hub.open) == (2, 0)
