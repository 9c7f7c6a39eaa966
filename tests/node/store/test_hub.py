from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from node.store import hub as hub_module
from node.store.checkpoint import small_files
from node.store.errors import BadCheckpoint
from node.store.hub import HubRepo
from node.store.hub_errors import HubBusy, HubGated, HubNotFound, HubOffline, HubWrongAnswer
from node.store.hub_name import HubName
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.hub import Fault, StandInHub, cut, flip, page, refuse, resized, stall
from tests.fakes.hub_machine import SOON, fresh_machine, on_disk, opened

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


async def test_a_model_is_pinned_when_it_is_opened(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    first = hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        other = write_checkpoint(tmp_path / "other", {"z": b"other"})
        second = hub.publish("org/name", other)
        assert (repo.commit, repo.notice) == (first, None)
        assert await repo.layout() == on_disk(folder)
    async with await opened(tmp_path) as repo:
        assert repo.commit == second
        assert await repo.layout() == on_disk(other)


async def test_the_files_beside_the_weights_are_those_of_the_folder(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        assert await repo.small_files() == small_files(folder)
    assert hub.asked("README") == []


async def test_what_was_told_once_is_not_asked_again(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        before = await repo.layout(), await repo.small_files()
        seen = len(hub.seen)
        assert (await repo.layout(), await repo.small_files()) == before
    async with await opened(tmp_path) as repo:
        assert (await repo.layout(), await repo.small_files()) == before
    assert [one.path.split("?")[0] for one in hub.seen[seen:]] == ["/api/models/org/name/revision/main"]


async def test_a_start_without_a_connection_goes_on_with_what_is_there(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    commit = hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        before = await repo.layout(), await repo.small_files()
    hub.stop()
    async with await opened(tmp_path) as repo:
        assert repo.commit == commit
        assert repo.notice is not None
        assert f"offline, using commit {commit[:12]} of hf:org/name fetched on 20" in repo.notice
        assert (await repo.layout(), await repo.small_files()) == before
        with pytest.raises(HubOffline):
            await repo.part("model-00001-of-00003.safetensors", 100, 101)


@pytest.mark.parametrize("fault", [refuse(503), refuse(429), page])
async def test_a_hub_that_cannot_answer_now_does_not_stop_who_has_been_here(
    hub: StandInHub, folder: Path, tmp_path: Path, fault: Fault
) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path):
        pass
    hub.fault("/api/", fault)
    async with await opened(tmp_path) as repo:
        assert repo.notice is not None


async def test_a_machine_that_must_not_ask_says_so(
    hub: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path):
        pass
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    async with await opened(tmp_path) as repo:
        assert "HF_HUB_OFFLINE" in str(repo.notice)


async def test_what_was_never_opened_cannot_be_opened_without_a_connection(
    hub: StandInHub, tmp_path: Path
) -> None:
    hub.stop()
    with pytest.raises(HubOffline, match="cannot be reached; check this machine's connection"):
        await opened(tmp_path)


async def test_a_hub_that_says_no_is_believed_by_who_has_been_here(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    hub.publish("org/name", folder)
    async with await opened(tmp_path):
        pass
    del hub.repos["org/name"]
    with pytest.raises(HubNotFound):
        await opened(tmp_path)


async def test_a_commit_needs_no_asking_once_it_is_known(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    commit = hub.publish("org/name", folder)
    name = HubName(repo="org/name", revision=commit)
    async with await opened(tmp_path, name) as repo:
        assert repo.commit == commit
    hub.stop()
    async with await opened(tmp_path, name) as repo:
        assert (repo.commit, repo.notice) == (commit, None)


async def test_another_commit_than_the_one_asked_for_is_refused(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    hub.publish("org/name", folder)
    hub.repos["org/name"].revisions["f" * 40] = hub.repos["org/name"].revisions["main"]
    with pytest.raises(HubWrongAnswer, match="another commit"):
        await opened(tmp_path, HubName(repo="org/name", revision="f" * 40))


async def test_a_gated_model_opens_and_gives_its_files_to_members_alone(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    hub.publish("org/name", folder)
    hub.repos["org/name"].gated = True
    hub.members.add("hf_member")
    hub.strangers.add("hf_stranger")
    for token in (None, "hf_stranger"):
        async with await opened(tmp_path, token=token) as repo:
            with pytest.raises(HubGated, match=r"org/name .*accept its terms .*HF_TOKEN") as caught:
                await repo.small_files()
            assert "hf_stranger" not in str(caught.value)
    async with await opened(tmp_path, token="hf_member") as repo:
        assert await repo.small_files() == small_files(folder)
        assert await repo.layout() == on_disk(folder)
    assert {one.authorization for one in hub.asked(server="storage")} <= {None}


@pytest.mark.parametrize("fault", [refuse(429, Retry_After="5"), refuse(500), cut(1), page, resized(1)])
@pytest.mark.parametrize("path", ["/api/", "config.json", "model-00002"])
async def test_what_passes_by_itself_is_asked_again(
    hub: StandInHub, folder: Path, tmp_path: Path, fault: Fault, path: str
) -> None:
    hub.publish("org/name", folder)
    hub.fault(path, fault, times=2)
    async with await opened(tmp_path) as repo:
        assert await repo.layout() == on_disk(folder)
        assert await repo.small_files() == small_files(folder)


async def test_there_is_an_end_to_asking(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    hub.publish("org/name", folder)
    hub.fault("/api/", refuse(500), times=100)
    with pytest.raises(HubBusy):
        await opened(tmp_path)
    assert len(hub.seen) == SOON.attempts


async def test_a_hub_that_never_says_what_it_has_is_left(
    hub: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("org/name", folder)
    monkeypatch.setattr(hub_module, "LOOK_UP_S", 0.2)
    hub.fault("/api/", stall(1), times=3)
    with pytest.raises(HubBusy, match="does not say what hf:org/name is"):
        await opened(tmp_path)
    hub.stop()


async def test_a_small_file_with_a_wrong_byte_is_asked_for_again(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    hub.publish("org/name", folder)
    hub.fault("config.json", flip(3))
    async with await opened(tmp_path) as repo:
        assert await repo.small_files() == small_files(folder)
    assert len(hub.asked("config.json")) == 2
    hub.fault("config.json", flip(3), times=3)
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.unlink()
    async with await opened(tmp_path) as repo:
        with pytest.raises(HubWrongAnswer, match="wrong bytes"):
            await repo.small_files()


async def test_a_small_file_must_be_small(
    hub: StandInHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("org/name", folder)
    monkeypatch.setattr("wire.limits.MAX_SMALL_FILE_BYTES", 10)
    async with await opened(tmp_path) as repo:
        with pytest.raises(BadCheckpoint, match=r"config\.json of hf:org/name is larger than 10 bytes"):
            await repo.small_files()


async def test_what_is_kept_is_taken_without_asking(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    commit = hub.publish("org/name", folder)
    async with await opened(tmp_path) as repo:
        await repo.layout()
        files = await repo.small_files()
    hub.seen.clear()
    for revision in ("main", commit):
        name = HubName(repo="org/name", revision=revision)
        async with await HubRepo.kept(name, cache_dir=tmp_path / "cache") as repo:
            assert (repo.commit, await repo.layout(), await repo.small_files()) == (
                commit,
                on_disk(folder),
                files,
            )
            assert repo.notice is None if revision == commit else "offline, using commit" in str(repo.notice)
            with pytest.raises(HubOffline):
                await repo.part("model-00001-of-00003.safetensors", 0, 1)
    assert hub.seen == []


async def test_what_is_not_kept_is_not_asked_for_either(
    hub: StandInHub, folder: Path, tmp_path: Path
) -> None:
    commit = hub.publish("org/name", folder)
    for revision in ("main", commit):
        with pytest.raises(HubOffline, match=r"nothing is kept here of .*; start once without --offline"):
            await HubRepo.kept(HubName(repo="org/name", revision=revision), cache_dir=tmp_path / "cache")
    assert hub.seen == []
