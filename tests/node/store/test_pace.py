"""Weights wait their turn at a limit that others use too, and what passed is counted."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

from node.manners.pacing import Pacer
from node.store.http_sizes import ANSWER_BYTES
from node.store.pace import AnyPace, Flow, Intake, Pace
from node.store.share import READER_BYTES_PER_S
from tests.fakes.deadline import until
from tests.fakes.pace import HandPace
from tests.fakes.share import request, serving
from wire import limits


async def test_what_waits_is_known_and_what_passed_is_counted() -> None:
    pace = HandPace()
    flow = Flow(pace.upload, pace.download)
    pace.upload.opened.clear()
    passing = asyncio.create_task(flow.take(1000))
    await until(lambda: flow.waiting == 1)
    assert (flow.limited, flow.nbytes) == (True, 0)
    pace.upload.opened.set()
    await passing
    assert (flow.waiting, flow.nbytes, pace.upload.taken) == (0, 1000, [1000])


async def test_who_gives_up_waiting_has_passed_nothing() -> None:
    pace = HandPace()
    flow = Flow(pace.upload, pace.download)
    pace.upload.opened.clear()
    passing = asyncio.create_task(flow.take(1000))
    await until(lambda: flow.waiting == 1)
    passing.cancel()
    with suppress(asyncio.CancelledError):
        await passing
    assert (flow.waiting, flow.nbytes, pace.upload.taken) == (0, 0, [])


async def test_heads_are_counted_both_ways_and_are_no_weights() -> None:
    pace = HandPace()
    flow = Flow(pace.download, pace.upload)
    flow.heads(200, 300)
    assert (pace.download.spent, pace.upload.spent, flow.nbytes) == ([200], [300], 0)


async def test_hub_and_peers_are_counted_apart_and_share_the_limit() -> None:
    pace = HandPace()
    intake = Intake.at(pace)
    await intake.of(is_peer=True).take(5)
    await intake.of(is_peer=False).take(7)
    assert (intake.peers.nbytes, intake.hub.nbytes) == (5, 7)
    assert pace.download.taken == [5, 7]
    pace.download.opened.clear()
    both = [asyncio.create_task(one.take(1)) for one in (intake.hub, intake.peers)]
    await until(lambda: intake.waiting == 2)
    pace.download.opened.set()
    await asyncio.gather(*both)
    assert intake.waiting == 0


async def test_without_a_limit_nobody_waits_and_bytes_are_counted_all_the_same() -> None:
    intake = Intake.at(AnyPace())
    await intake.hub.take(1 << 30)
    intake.hub.heads(1, 1)
    assert (intake.limited, intake.hub.nbytes) == (False, 1 << 30)


async def test_the_pacer_of_the_program_is_such_a_pace() -> None:
    pacer = Pacer(upload_bytes_per_s=1e6)
    pace: Pace = pacer
    intake = Intake.at(pace)
    assert (intake.limited, pace.upload.rate_bytes_per_s) == (False, 1e6)
    pacer.limit(upload_bytes_per_s=None, download_bytes_per_s=1e5)
    assert intake.limited
    assert pace.upload.rate_bytes_per_s is None


async def test_the_upload_cap_holds_over_all_answers(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    pacer = Pacer(upload_bytes_per_s=1_000_000)
    async with serving(tmp_path, pace=pacer) as served:
        digests = [served.shelf.put(bytes([number]) * 200_000) for number in range(4)]
        began = loop.time()
        answers = await asyncio.gather(*(served.get(f"/v1/chunks/{one.hex()}") for one in digests))
        # A quarter of a second's allowance passes at once.
        assert loop.time() - began >= 0.5
    assert [len(one.body) for one in answers] == [200_000] * 4
    assert served.server.given.nbytes == 800_000


async def test_answers_wait_their_turn_block_by_block_and_everything_is_counted(tmp_path: Path) -> None:
    pace = HandPace(1e6)
    async with serving(tmp_path, pace=pace) as served:
        digest = served.shelf.put(random.Random(1).randbytes(100_000))
        answer = await served.get(f"/v1/chunks/{digest.hex()}")
        assert len(answer.body) == 100_000
        assert sum(pace.upload.taken) == served.server.given.nbytes == 100_000
        assert max(pace.upload.taken) <= pace.upload.quantum_bytes
        assert pace.download.spent[0] == len(request("GET", f"/v1/chunks/{digest.hex()}"))
        before = sum(pace.download.spent)
        assert (await served.post(digest)).status == 200
        # Besides the head, a batch brings the digests it asks for.
        head = request("POST", "/v1/chunks", "Content-Length: 32")
        assert sum(pace.download.spent) - before == len(head) + 32
        assert (await served.get("/v1/nothing")).status == 404
        assert sum(pace.upload.spent) == 3 * ANSWER_BYTES, "an answer without weights has a head"


async def test_blocks_are_as_small_as_the_limit_is_by_now(tmp_path: Path) -> None:
    pace = HandPace(None)
    pace.upload.quantum_bytes = 1 << 30
    async with serving(tmp_path, pace=pace) as served:
        digest = served.shelf.put(bytes(3 * limits.SHARE_BLOCK_BYTES))
        pace.upload.opened.clear()
        asking = asyncio.create_task(served.get(f"/v1/chunks/{digest.hex()}"))
        await until(lambda: served.server.given.waiting == 1)
        # The first block waits already; what follows is cut anew.
        pace.upload.rate_bytes_per_s, pace.upload.quantum_bytes = 1e6, 8192
        pace.upload.opened.set()
        assert len((await asking).body) == 3 * limits.SHARE_BLOCK_BYTES
        assert pace.upload.taken[0] == limits.SHARE_BLOCK_BYTES
        assert max(pace.upload.taken[2:]) == 8192


async def test_a_limit_gives_no_more_answers_at_once_than_readers_have_patience_for(tmp_path: Path) -> None:
    pace = HandPace(2.5 * READER_BYTES_PER_S)
    async with serving(tmp_path, pace=pace) as served:
        digest = served.shelf.put(bytes(1000))
        path = f"/v1/chunks/{digest.hex()}"
        pace.upload.opened.clear()
        waiting = [asyncio.create_task(served.get(path)) for _ in range(2)]
        await until(lambda: served.server.given.waiting == 2)
        refused = await served.get(path)
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        pace.upload.rate_bytes_per_s = None
        third = asyncio.create_task(served.get(path))
        await until(lambda: served.server.given.waiting == 3)
        pace.upload.opened.set()
        assert [(await one).status for one in (*waiting, third)] == [200] * 3
