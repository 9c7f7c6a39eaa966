from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from node.store import hub_http
from node.store.hub_errors import (
    HubBusy,
    HubChanged,
    HubError,
    HubGated,
    HubNotFound,
    HubOffline,
    HubWrongAnswer,
)
from node.store.hub_http import HubHttp, Stretch
from node.store.hub_library import RemoteFile, access
from node.store.pace import Intake
from tests.fakes.deadline import until
from tests.fakes.hub import Fault, StandInHub, cut, headed, page, refuse, resized, stall
from tests.fakes.hub_machine import fresh_machine
from tests.fakes.pace import HandPace

DATA = bytes(range(256)) * 4096  # 1 MiB
TOKEN = "hf_good"


@pytest.fixture(params=["direct", "redirected"])
def hub(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[StandInHub]:
    fresh_machine(monkeypatch, tmp_path)
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "a b.safetensors").write_bytes(DATA)
    (tmp_path / "repo" / "config.json").write_bytes(b"{}")
    with StandInHub(redirects=request.param == "redirected") as hub:
        hub.publish("org/name", tmp_path / "repo")
        hub.members.add(TOKEN)
        yield hub


@pytest.fixture
async def http(hub: StandInHub) -> AsyncIterator[HubHttp]:
    async with HubHttp(access(TOKEN, hub.url)) as http:
        yield http


def part(hub: StandInHub, start: int = 1000, stop: int = 301_000, name: str = "a b.safetensors") -> Stretch:
    (commit,) = hub.repos["org/name"].commits
    size = (hub.repos["org/name"].commits[commit] / name).stat().st_size
    return Stretch(
        repo="org/name", commit=commit, file=RemoteFile(name=name, size=size), start=start, stop=stop
    )


def carrier(hub: StandInHub) -> str:
    """The server that sends the bytes of large files."""
    return "storage" if hub.redirects else "hub"


async def test_a_part_comes_as_it_is(hub: StandInHub, http: HubHttp) -> None:
    assert await http.read(part(hub)) == DATA[1000:301_000]
    assert await http.read(part(hub, 0, 1)) == DATA[:1]
    assert await http.read(part(hub, len(DATA) - 1, len(DATA))) == DATA[-1:]
    assert hub.asked(server=carrier(hub))[0].range == "bytes=1000-300999"
    assert {one.sent for one in hub.asked(server=carrier(hub))} == {300_000, 1}


async def test_a_whole_file_comes_without_a_range(hub: StandInHub, http: HubHttp) -> None:
    assert await http.read(part(hub, 0, len(DATA))) == DATA
    assert await http.read(part(hub, 0, 2, "config.json")) == b"{}"
    assert {one.range for one in hub.seen} == {None}


async def test_nothing_is_not_asked_for(hub: StandInHub, http: HubHttp) -> None:
    assert await http.read(part(hub, 5, 5)) == b""
    assert hub.seen == []


async def test_the_token_goes_to_the_hub_alone(hub: StandInHub, http: HubHttp) -> None:
    hub.repos["org/name"].gated = True
    await http.read(part(hub))
    assert {one.authorization for one in hub.asked(server="hub")} == {f"Bearer {TOKEN}"}
    assert {one.authorization for one in hub.asked(server="storage")} <= {None}


async def test_a_connection_serves_one_request_after_another(hub: StandInHub, http: HubHttp) -> None:
    opened = 0
    connect = http._session.connector._create_connection  # type: ignore[union-attr]  # its only count of connections

    async def counted(*args: object, **kwargs: object) -> object:
        nonlocal opened
        opened += 1
        return await connect(*args, **kwargs)  # type: ignore[arg-type]  # handed on as they came

    http._session.connector._create_connection = counted  # type: ignore[union-attr,method-assign]  # as above
    for _ in range(5):
        await http.read(part(hub))
    assert opened == (2 if hub.redirects else 1)


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (refuse(429, Retry_After="7"), HubBusy, "no time for a b.safetensors"),
        (refuse(500), HubBusy, "500"),
        (cut(0), HubBusy, "broke off"),
        (cut(100_000), HubBusy, "broke off"),
        (resized(-1), HubWrongAnswer, "299999 bytes instead of 300000"),
        (resized(1), HubWrongAnswer, "300001 bytes instead of 300000"),
        (page, HubWrongAnswer, "a page to read"),
        (headed(Content_Range="bytes 1001-301000/1048576"), HubWrongAnswer, "another part"),
        (headed(Content_Range="bytes 1000-300999/*"), HubWrongAnswer, "another part"),
        (headed(Content_Range=""), HubWrongAnswer, "another part"),
        (headed(Content_Range="bytes 1000-300999/1048577"), HubChanged, "size"),
        (headed(Content_Encoding="gzip"), HubWrongAnswer, "packed"),
        (refuse(416), HubChanged, "shorter"),
        (refuse(200, DATA), HubWrongAnswer, "all of it"),
        (refuse(204), HubWrongAnswer, "204"),
    ],
)
async def test_what_is_not_the_part_that_was_asked_for_is_refused(
    hub: StandInHub, http: HubHttp, fault: Fault, kind: type[HubError], words: str
) -> None:
    hub.fault("", fault, server=carrier(hub))
    if hub.redirects and kind is HubWrongAnswer and words == "204":
        kind, words = HubBusy, "storage"
    with pytest.raises(kind, match=words) as caught:
        await http.read(part(hub))
    assert type(caught.value) is kind
    assert (caught.value.retry_after_s is None) == (kind is HubChanged or "204" in words)
    assert "X-Sig" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert await http.read(part(hub)) == DATA[1000:301_000]


async def test_the_time_that_a_hub_asks_for_is_told(hub: StandInHub, http: HubHttp) -> None:
    hub.fault("", refuse(429, Retry_After="7"), server=carrier(hub))
    with pytest.raises(HubBusy) as caught:
        await http.read(part(hub))
    assert caught.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (headed(X_Repo_Commit="f" * 40), HubChanged, "another commit"),
        (refuse(401, X_Error_Code="GatedRepo"), HubGated, "terms"),
        (refuse(403), HubGated, "terms"),
        (refuse(401), HubGated, "does not accept the token"),
        (refuse(404, X_Error_Code="EntryNotFound"), HubNotFound, "no such file"),
        (refuse(404, X_Error_Code="RevisionNotFound"), HubNotFound, "no such revision"),
        (refuse(404, X_Error_Code="RepoNotFound"), HubNotFound, "no model org/name"),
        (refuse(302), HubWrongAnswer, "redirect to nowhere"),
        (refuse(302, Location="http://[::1"), HubWrongAnswer, "redirect to nowhere"),
        (refuse(302, Location="file:///etc/passwd"), HubWrongAnswer, "redirect to nowhere"),
        (refuse(302, Location="http://user:password@127.0.0.1/"), HubWrongAnswer, "redirect to nowhere"),
    ],
)
async def test_what_the_hub_itself_refuses_is_told(
    hub: StandInHub, http: HubHttp, fault: Fault, kind: type[HubError], words: str
) -> None:
    hub.fault("/resolve/", fault)
    with pytest.raises(kind, match=words):
        await http.read(part(hub))


async def test_other_bytes_under_the_same_commit_are_noticed(hub: StandInHub, http: HubHttp) -> None:
    await http.read(part(hub))
    tag = '"' + "0" * 64 + '"'
    hub.fault("/resolve/", headed(ETag=tag, X_Linked_Etag=tag))
    with pytest.raises(HubChanged, match="other bytes"):
        await http.read(part(hub))


async def test_other_bytes_than_the_hub_listed_are_noticed_where_it_redirects(
    hub: StandInHub, http: HubHttp
) -> None:
    listed = part(hub)
    other = replace(listed, file=replace(listed.file, oid="0" * 64))
    if hub.redirects:
        with pytest.raises(HubChanged, match="other bytes"):
            await http.read(other)
    else:
        assert len(await http.read(other)) == 300_000


async def test_redirects_within_the_hub_keep_the_token_and_those_to_others_do_not(
    hub: StandInHub, http: HubHttp
) -> None:
    (commit,) = hub.repos["org/name"].commits
    hub.publish("org/renamed", hub.repos["org/name"].commits[commit])
    hub.repos["org/renamed"] = hub.repos["org/name"]
    hub.repos["org/name"].gated = True
    hub.fault("/org/name/resolve/", refuse(307, Location=f"/org/renamed/resolve/{commit}/a%20b.safetensors"))
    assert await http.read(part(hub)) == DATA[1000:301_000]
    with StandInHub() as elsewhere:
        hub.fault("/resolve/", refuse(302, Location=f"{elsewhere.url}/org/name/resolve/{commit}/a"))
        with pytest.raises(HubBusy, match="storage"):
            await http.read(part(hub))
        assert [one.authorization for one in elsewhere.seen] == [None]


async def test_a_ring_of_redirects_ends(hub: StandInHub, http: HubHttp) -> None:
    (commit,) = hub.repos["org/name"].commits
    here = f"/org/name/resolve/{commit}/a%20b.safetensors"
    hub.fault("/resolve/", refuse(302, Location=here), times=50)
    with pytest.raises(HubWrongAnswer, match="one redirect after another"):
        await http.read(part(hub))
    assert len(hub.seen) == 6


async def test_a_hub_that_is_away_is_told(hub: StandInHub, http: HubHttp) -> None:
    wanted = part(hub)
    hub.stop()
    with pytest.raises(HubOffline, match=r"127\.0\.0\.1 cannot be reached") as caught:
        await http.read(wanted)
    assert caught.value.retry_after_s is not None


async def test_a_machine_that_must_not_ask_does_not(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    async with HubHttp(access(None, hub.url)) as http:
        with pytest.raises(HubOffline, match="HF_HUB_OFFLINE"):
            await http.read(part(hub))
    assert hub.seen == []


@pytest.mark.parametrize("after", [0, 1, 100_000])
async def test_an_answer_that_stalls_is_left(
    hub: StandInHub, http: HubHttp, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(hub_http, "STALL_TIMEOUT_S", 0.2)
    hub.fault("", stall(after), server=carrier(hub))
    with pytest.raises(HubBusy, match="stopped in the middle"):
        await http.read(part(hub))


async def test_what_came_before_a_cut_is_handed_on(hub: StandInHub, http: HubHttp) -> None:
    hub.fault("", cut(200_000), server=carrier(hub))
    came = bytearray()
    with pytest.raises(HubBusy):
        async with aclosing(http.pieces(part(hub))) as pieces:
            async for piece in pieces:
                came += piece
    assert len(came) >= 100_000
    assert bytes(came) == DATA[1000 : 1000 + len(came)]


async def test_whoever_leaves_in_the_middle_leaves_no_connection(hub: StandInHub, http: HubHttp) -> None:
    async with aclosing(http.pieces(part(hub, 0, len(DATA) - 1))) as pieces:
        assert await anext(pieces)
    hub.fault("", stall(10), server=carrier(hub))
    task = asyncio.create_task(http.read(part(hub)))
    await until(lambda: hub.asked(server=carrier(hub))[-1].sent == 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    connector = http._session.connector
    assert connector is not None
    await until(lambda: not connector._acquired)


async def test_a_cap_holds_for_everything_that_comes(hub: StandInHub) -> None:
    pace = HandPace()
    flow = Intake.at(pace).hub
    async with HubHttp(access(None, hub.url), flow) as http:
        assert len(await http.read(part(hub))) == sum(pace.download.taken) == flow.nbytes
        assert min(sum(pace.download.spent), sum(pace.upload.spent)) > 100, "heads are counted too"
        # Whoever reads for a fetch waits where that says, and is counted there.
        passed: list[int] = []

        async def turn(nbytes: int) -> None:
            passed.append(nbytes)

        before = flow.nbytes
        async with aclosing(http.pieces(part(hub), turn)) as pieces:
            came = [len(piece) async for piece in pieces]
        assert passed == came
        assert flow.nbytes == before


async def test_what_may_not_pass_yet_is_not_read_on(hub: StandInHub) -> None:
    pace = HandPace()
    async with HubHttp(access(None, hub.url), Intake.at(pace).hub) as http:
        pace.download.opened.clear()
        reading = asyncio.create_task(http.read(part(hub)))
        await until(lambda: bool(pace.download.spent))
        await asyncio.wait([reading], timeout=0.05)
        assert not reading.done()
        pace.download.opened.set()
        assert len(await reading) == sum(pace.download.taken)


async def test_a_proxy_of_the_environment_is_asked_and_passwords_of_files_are_not_sent(
    hub: StandInHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login me password secret\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    wanted = part(hub)
    async with HubHttp(access(None, hub.url)) as http:
        await http.read(wanted)
        assert {one.authorization for one in hub.seen} == {None}
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        with pytest.raises(HubOffline):
            await http.read(wanted)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert await http.read(wanted) == DATA[1000:301_000]
