from __future__ import annotations

from dataclasses import replace

import pytest

from chat.own_host import Seen
from chat.tui import host_text
from node.control.errors import BadAnswer, ConnectionEnded, NoAnswer, NoHostRuns, NotAllowed, OtherVersion
from node.control.results import Changed, DaemonState, Drained, SessionLine, SliceState
from node.errors import NodeError
from tests.fakes.control import STATUS
from tests.fakes.talking_host import FIRST, SECOND, slice_line
from wire.types import LayerRange

ONE, OTHER = slice_line(FIRST, sessions=2), slice_line(SECOND)
SEEN = Seen(status=replace(STATUS, slices=(ONE, OTHER), sessions=2))


def test_the_host_is_told_in_four_lines() -> None:
    assert host_text.facts(SEEN) == [
        "this machine's host: serving, up 1 h 2 min",
        "reached: nobody has reached this host yet",
        "network main: 2 links, 9 DHT nodes",
        "memory: 3.0 MiB weights, 1.0 MiB of 1.0 GiB for sessions",
    ]
    alone = Seen(status=replace(STATUS, dht_nodes=None, links=1))
    assert host_text.facts(alone)[2] == "network main: 1 link, DHT off"


def test_the_chosen_slice_is_marked_and_a_failure_stands_below_its_slice() -> None:
    broken = replace(OTHER, state=SliceState.FAILED, detail="no memory; free some")
    loading = replace(OTHER, name="x@0:4", state=SliceState.LOADING, progress=0.45)
    paused = replace(OTHER, name="y@0:4", detail="paused")
    seen = Seen(status=replace(STATUS, slices=(ONE, broken, loading, paused)))
    found = [line.split() for line in host_text.slices(seen, FIRST)]
    assert found == [
        ["SLICE", "STATE", "SESSIONS"],
        ["›", FIRST, "serving", "2"],
        [SECOND, "failed", "0"],
        ["no", "memory;", "free", "some"],
        ["x@0:4", "loading", "45%", "0"],
        ["y@0:4", "serving", "(paused)", "0"],
    ]


def test_a_host_without_slices_says_how_to_add_one() -> None:
    assert "ctl join" in host_text.slices(Seen(status=replace(STATUS, slices=())), None)[0]


def test_many_sessions_are_counted() -> None:
    one = SessionLine(
        session="s", client="c", slice=FIRST, layers=LayerRange(6, 12), positions=1, max_positions=2,
        tokens=3, idle_s=0.0,
    )  # fmt: skip
    seen = Seen(status=replace(STATUS, sessions=40), sessions=(one,) * 40)
    found = host_text.sessions(seen)
    assert (len(found), found[-1]) == (14, "and 28 more")
    assert host_text.sessions(Seen(status=replace(STATUS, sessions=0))) == ["nobody is served now"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (NoHostRuns("no host runs at /s", "x"), "lamella-node service install -- --model pocket"),
        (ConnectionEnded("the host ended the connection", "x"), "Looking for it again."),
        (NotAllowed("the program at /s runs as user 7", "find out what it is"), "find out what it is."),
        (OtherVersion("other_version", "speaks version 2", "update the older"), "update the older."),
        (BadAnswer("an answer says nothing", "update the older"), "An answer says nothing;"),
        (NoAnswer("no answer", "look at its log."), "No answer; look at its log."),
    ],
)
def test_why_there_is_nothing_to_see_comes_with_what_to_do(error: NodeError, said: str) -> None:
    assert said in host_text.away(error)


def test_what_a_host_says_cannot_move_the_cursor() -> None:
    evil = replace(ONE, name="\x1b[2Jx", detail="\x1b]0;\x07", state=SliceState.FAILED)
    seen = Seen(status=replace(STATUS, slices=(evil,), reachability="a\nb\x1b[H", why="serving\x9b"))
    result = Changed(state=DaemonState.SERVING, slices=(evil,))
    said = [
        *host_text.facts(seen), *host_text.slices(seen, evil.name), host_text.drain_question(evil),
        host_text.trouble(NodeError("a\x1b", "b\x07")), host_text.away(NoHostRuns("\x1b", "")),
        host_text.done(result, evil.name), host_text.not_drainable(evil) or "",
    ]  # fmt: skip
    assert all(one.isprintable() for line in said for one in line if one != "\n")


def test_the_question_says_whether_others_lose_something() -> None:
    assert "2 answers are under way" in host_text.drain_question(ONE)
    assert "1 answer is under way" in host_text.drain_question(replace(ONE, sessions=1))
    assert "Nobody uses it now" in host_text.drain_question(OTHER)


def test_the_keys_are_those_that_do_something() -> None:
    assert host_text.keys(None, None) == "Esc closes"
    assert host_text.keys(SEEN, ONE) == "p pauses · d drains · ↑↓ choose · Esc closes"
    paused = Seen(status=replace(STATUS, state=DaemonState.PAUSED, slices=(OTHER,)))
    stopped = replace(OTHER, state=SliceState.STOPPED)
    assert host_text.keys(paused, stopped) == "p resumes · u undrains · Esc closes"


@pytest.mark.parametrize("state", SliceState)
def test_a_slice_can_be_drained_or_undrained_and_never_both(state: SliceState) -> None:
    one = replace(ONE, state=state)
    refusals = host_text.not_drainable(one), host_text.not_drained(one)
    assert any(refusals)
    assert all(state.value in said for said in refusals if said is not None)


def test_what_came_of_it_is_said_of_the_slice_it_was_about() -> None:
    changed = Changed(state=DaemonState.SERVING, slices=(ONE, OTHER))
    assert host_text.done(changed, SECOND) == f"{SECOND} is serving"
    assert host_text.done(changed, None) == "the host is serving"
    drained = Drained(slices=(FIRST,), finished=1)
    assert host_text.done(drained, FIRST) == f"stopped {FIRST}: 1 session finished, 0 cut off"
