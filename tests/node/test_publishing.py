from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node import paths, publishing
from node.models_cli import PublishConfig
from node.publishing import CannotWriteManifest
from node.quantised import FILE, Note, encode
from node.status import StatusLine
from node.store.checkpoint import build_manifest
from node.store.chunks import ChunkStore
from node.store.errors import StoreError, StoreUnusable, UnknownModel
from node.store.hub_errors import HubNotFound
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.hub import StandInHub
from tests.fakes.hub_machine import fresh_machine
from wire.manifest import Manifest
from wire.tensors import WeightFormat
from wire.types import ModelId

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandInHub]:
    fresh_machine(monkeypatch, tmp_path)
    for name in ("DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))
    with StandInHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def folder(hub: StandInHub, tmp_path: Path) -> Path:
    dice = random.Random(6)
    made = write_checkpoint(tmp_path / "model", {"a": dice.randbytes(5000)}, {"b": dice.randbytes(10)})
    (made / "tokenizer.json").write_bytes(dice.randbytes(300))
    return made


async def published(model: str, out: Path | None = None) -> dict[str, Any]:
    """Publish; returns the one event."""
    heard = io.StringIO()
    await publishing.run(PublishConfig(model=model, out=out, json=True), StatusLine(as_json=True, out=heard))
    (line,) = heard.getvalue().splitlines()
    event: dict[str, Any] = json.loads(line)
    return event


async def test_a_folder_and_the_same_bytes_on_a_hub_are_one_model(hub: StandInHub, folder: Path) -> None:
    commit = hub.publish("org/name", folder)
    local, remote = await published(str(folder)), await published("hf:org/name")
    assert local["model"] == remote["model"] == str(build_manifest(folder).model_id)
    assert remote == {**local, "name": f"hf:org/name@{commit}"}
    total = 5010 + sum((folder / name).stat().st_size for name in ("config.json", "tokenizer.json"))
    assert local == {
        "event": "published",
        "model": local["model"],
        "name": str(folder),
        "tensors": 2,
        "bytes": total,
        "manifest_bytes": len(build_manifest(folder).encode()),
        "base": None,
    }


async def test_the_manifest_is_kept_under_its_names_and_no_weights_are(hub: StandInHub, folder: Path) -> None:
    commit = hub.publish("org/name", folder)
    event = await published("hf:org/name@main")
    store = ChunkStore(paths.weights_dir())
    model = ModelId.parse(event["model"])
    assert store.catalogue.called(f"hf:org/name@{commit}") == model
    assert store.catalogue.manifest(model) == build_manifest(folder)
    assert list(store.sizes()) == [model.digest]
    assert not store.in_use()


async def test_a_person_reads_the_id_alone_on_standard_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await publishing.run(PublishConfig(model=str(folder)), StatusLine(as_json=False))
    captured = capsys.readouterr()
    assert captured.out == f"{build_manifest(folder).model_id}\n"
    assert captured.err.startswith(f"{folder}: 2 tensors, ")


async def test_a_quantised_folder_names_its_base(folder: Path) -> None:
    note = Note(model=ModelId(bytes(32)), weights=WeightFormat.INT8)
    (folder / FILE).write_bytes(encode(note))
    event = await published(str(folder))
    assert event["base"] == str(note.model)
    assert event["model"] != str(note.model)


async def test_the_manifest_can_be_written_to_a_file(folder: Path, tmp_path: Path) -> None:
    event = await published(str(folder), tmp_path / "m")
    manifest = Manifest.decode((tmp_path / "m").read_bytes())
    assert str(manifest.model_id) == event["model"]


@pytest.mark.parametrize("link", [False, True])
async def test_an_existing_file_is_kept_and_told_before_anything_is_read(
    folder: Path, tmp_path: Path, link: bool
) -> None:
    out = tmp_path / "m"
    if link:
        out.symlink_to(tmp_path / "nowhere")
    else:
        out.write_text("mine")
    with pytest.raises(CannotWriteManifest, match="m exists already; name another file with --out"):
        await published(str(folder), out)
    assert link or out.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert not paths.weights_dir().exists()


async def test_a_file_that_cannot_be_written_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotWriteManifest, match=r"cannot be written \(No such file or directory\)"):
        await published(str(folder), tmp_path / "no" / "m")


async def test_a_full_disk_leaves_no_half_a_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CannotWriteManifest, match="No space left"):
        await published(str(folder), tmp_path / "m")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("model", "kind"),
    [("no-such-model", UnknownModel), ("hf:org/nothing", HubNotFound), ("hf:nothing", UnknownModel)],
)
async def test_what_is_no_model_is_told(hub: StandInHub, model: str, kind: type[StoreError]) -> None:
    with pytest.raises(kind) as refused:
        await published(model)
    assert refused.value.next_step


async def test_a_store_that_cannot_be_written_is_told(folder: Path) -> None:
    paths.make_private(paths.data_dir())
    paths.weights_dir().write_text("a file where the folder should be")
    with pytest.raises(StoreUnusable):
        await published(str(folder))


def test_the_commands_run_as_a_program(folder: Path, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "node", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    done = run("publish", str(folder), "--out", str(tmp_path / "m"))
    assert (done.returncode, done.stdout) == (0, f"{build_manifest(folder).model_id}\n")
    again = run("publish", str(folder), "--out", str(tmp_path / "m"))
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"lamella-node: {tmp_path / 'm'} exists already; name another file with --out\n"
    listed = run("models", "--json")
    assert listed.returncode == 0
    assert json.loads(listed.stdout)["models"][0]["names"] == [str(folder)]
    assert run("models", "--prune", "much").returncode == 2
