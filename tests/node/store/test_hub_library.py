from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants, hf_hub_download

from node.store.hub_errors import HubBusy, HubError, HubGated, HubNotFound, HubOffline, HubWrongAnswer
from node.store.hub_library import RemoteFile, access, address, look_up
from node.store.hub_name import HubName
from tests.fakes.checkpoints import write_checkpoint
from tests.fakes.hub import Answer, Fault, StandInHub, page, refuse, stall
from tests.fakes.hub_machine import fresh_machine

NAME = HubName(repo="org/name")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fresh_machine(monkeypatch, tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "model", {"a": b"0123"})


@pytest.fixture
def hub() -> Iterator[StandInHub]:
    with StandInHub() as hub:
        yield hub


def answering(body: object) -> Fault:
    return lambda _: Answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())


def test_the_stand_in_is_a_hub_to_the_real_library(hub: StandInHub, folder: Path, tmp_path: Path) -> None:
    commit = hub.publish("org/name", folder)
    api = HfApi(endpoint=hub.url, token=False)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    assert {one.path: getattr(one, "size", 0) for one in api.list_repo_tree("org/name")} == sizes
    (config,) = api.get_paths_info("org/name", "config.json")[:1]
    assert config.path == "config.json"
    for file in sizes:
        got = hf_hub_download("org/name", file, endpoint=hub.url, cache_dir=tmp_path / "hf", token=False)
        assert Path(got).read_bytes() == (folder / file).read_bytes()
        assert commit in got


def test_a_revision_is_told_as_its_commit_and_its_files(hub: StandInHub, folder: Path) -> None:
    (folder / "onnx").mkdir()
    commit = hub.publish("org/name", folder, "v1")
    listing = look_up(access(None, hub.url), HubName(repo="org/name", revision="v1"))
    assert listing.commit == commit
    assert set(listing.files) == {"config.json", "model.safetensors"}
    model = listing.files["model.safetensors"]
    assert (model.size, len(model.oid)) == ((folder / "model.safetensors").stat().st_size, 64)
    assert len(listing.files["config.json"].oid) == 40


def test_a_revision_with_a_slash_and_a_commit_are_found(hub: StandInHub, folder: Path) -> None:
    commit = hub.publish("org/name", folder, "refs/pr/4")
    for revision in ("refs/pr/4", commit):
        assert look_up(access(None, hub.url), HubName(repo="org/name", revision=revision)).commit == commit


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (refuse(429, Retry_After="9"), HubBusy, "no time for main now"),
        (refuse(500, b"[1]", Content_Type="application/json"), HubError, "hub|answer"),
        (refuse(503), HubBusy, "503"),
        (refuse(403, X_Error_Code="GatedRepo"), HubGated, "terms"),
        (page, HubWrongAnswer, "does not answer as a hub"),
        (answering([1]), HubWrongAnswer, "does not answer as a hub"),
        (answering({}), HubWrongAnswer, "does not answer as a hub"),
        (answering({"id": "a", "sha": "main", "siblings": []}), HubWrongAnswer, "does not answer as a hub"),
        (answering({"id": "a", "sha": "0" * 40}), HubWrongAnswer, "does not answer as a hub"),
        (
            answering({"id": "a", "sha": "0" * 40, "siblings": [7]}),
            HubWrongAnswer,
            "does not answer as a hub",
        ),
        (
            answering({"id": "a", "sha": "0" * 40, "siblings": [{}]}),
            HubWrongAnswer,
            "does not answer as a hub",
        ),
        (
            answering({"id": "a", "sha": "0" * 40, "siblings": [{"rfilename": "a"}] * 10_001}),
            HubWrongAnswer,
            "10001 files",
        ),
    ],
)
def test_what_a_hub_should_not_answer_is_told(
    hub: StandInHub, folder: Path, fault: Fault, kind: type[HubError], words: str
) -> None:
    hub.publish("org/name", folder)
    hub.fault("/api/models/", fault)
    with pytest.raises(kind, match=words) as caught:
        look_up(access(None, hub.url), NAME)
    assert str(caught.value).isprintable()


def test_a_hub_that_wants_to_be_left_alone_says_for_how_long(hub: StandInHub, folder: Path) -> None:
    hub.fault("/api/models/", refuse(429, Retry_After="9"))
    with pytest.raises(HubBusy) as caught:
        look_up(access(None, hub.url), NAME)
    assert caught.value.retry_after_s == 9.0


def test_only_plain_names_of_known_sizes_are_files(hub: StandInHub) -> None:
    names = ["a", "../b", "/c", "d/e", "", "..", "f\n", 7]
    siblings = [{"rfilename": name, "size": 1} for name in names]
    siblings += [{"rfilename": "big", "size": size} for size in (-1, "1", None, True, 1 << 48)]
    hub.fault("/api/models/", answering({"id": "a", "sha": "0" * 40, "siblings": siblings}))
    assert look_up(access(None, hub.url), NAME).files == {"a": RemoteFile(name="a", size=1)}


def test_names_that_are_not_there_are_told_apart(hub: StandInHub, folder: Path) -> None:
    hub.publish("org/name", folder)
    hub.members.add("hf_good")
    with pytest.raises(HubNotFound, match="no such revision: v9"):
        look_up(access(None, hub.url), HubName(repo="org/name", revision="v9"))
    for token in (None, "hf_good"):
        with pytest.raises(HubNotFound, match=r"no model org/other; .* HF_TOKEN"):
            look_up(access(token, hub.url), HubName(repo="org/other"))
    with pytest.raises(HubGated, match="does not accept the token") as caught:
        look_up(access("hf_stale", hub.url), NAME)
    assert "hf_stale" not in str(caught.value)


def test_a_hub_that_is_away_is_told(hub: StandInHub) -> None:
    hub.stop()
    with pytest.raises(HubOffline, match=r"127\.0\.0\.1 cannot be reached; check"):
        look_up(access(None, hub.url), NAME)


def test_a_hub_that_says_nothing_is_left(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.store.hub_library.LOOK_UP_TIMEOUT_S", 0.3)
    hub.publish("org/name", Path(__file__).parent)
    hub.fault("/api/models/", stall(3))
    with pytest.raises(HubOffline):
        look_up(access(None, hub.url), NAME)


def test_a_machine_that_must_not_ask_does_not(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert access(None, hub.url).offline
    with pytest.raises(HubOffline, match="HF_HUB_OFFLINE"):
        look_up(access(None, hub.url), NAME)
    assert hub.seen == []


def test_the_token_is_the_one_given_or_the_librarys(
    hub: StandInHub, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert access(None, hub.url).token is None
    (tmp_path / "token").write_text("hf_of_the_file\n")
    assert access(None, hub.url).token == "hf_of_the_file"
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_variable")
    assert access(None, hub.url).token == "hf_of_the_variable"
    given = access("hf_given", hub.url)
    assert given.token == "hf_given"
    assert "hf_given" not in repr(given)
    hub.publish("org/name", folder)
    hub.members.add("hf_given")
    look_up(given, NAME)
    assert hub.seen[-1].authorization == "Bearer hf_given"


def test_without_a_token_none_is_sent(hub: StandInHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.publish("org/name", folder)
    anyone = access(None, hub.url)
    monkeypatch.setenv("HF_TOKEN", "hf_later")
    look_up(anyone, NAME)
    assert hub.seen[-1].authorization is None


@pytest.mark.parametrize("token", ["a\nb", "a b", "é", "a\x00"])
def test_a_token_that_would_break_a_request_is_refused(token: str) -> None:
    with pytest.raises(HubGated, match="one line") as caught:
        access(token, "http://127.0.0.1:1")
    assert token not in str(caught.value)


def test_the_endpoint_is_the_one_given_or_the_variables_or_the_public_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert access(None, None).endpoint == constants._HF_DEFAULT_ENDPOINT
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:7/")
    assert access(None, None).endpoint == "http://127.0.0.1:7"
    there = access(None, "https://hub.example/")
    assert there.endpoint == "https://hub.example"
    assert (
        address(there, "o/n", "c" * 40, "a b.json")
        == f"https://hub.example/o/n/resolve/{'c' * 40}/a%20b.json"
    )


@pytest.mark.parametrize(
    "endpoint", ["hub", "ftp://hub", "http://", "file:///etc", "https://user:secret@hub", "http://é"]
)
def test_what_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(HubNotFound, match="HF_ENDPOINT") as caught:
        access(None, endpoint)
    assert "secret" not in str(caught.value)


def test_a_hub_is_not_told_what_else_runs_here(hub: StandInHub, folder: Path) -> None:
    hub.publish("org/name", folder)
    look_up(access(None, hub.url), NAME)
    assert [one.path.split("?")[0] for one in hub.seen] == ["/api/models/org/name/revision/main"]
    assert "torch" not in access(None, hub.url).agent


def test_the_library_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, node.store.hub, node.store.hub_source, node.store.hub_manifest\n"
        "sys.exit('huggingface_hub' in sys.modules or 'httpx2' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
