"""What a person reads of a host's answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import control_text
from node.control.commands import COMMANDS, Nothing
from node.control.results import (
    Changed,
    DaemonState,
    Drained,
    DrainProgress,
    Hosting,
    Joined,
    JoinPhase,
    JoinProgress,
    LogRecord,
    LogsEnd,
    Metrics,
    PeerLine,
    Peers,
    Relaying,
    Reloaded,
    SessionLine,
    Sessions,
    SliceFacts,
    SliceState,
    Status,
    Stopping,
)
from tests.fakes.control import SLICE, STATUS
from wire.types import LayerRange

FACTS = SliceFacts(
    name="pocket/0:6",
    model="pocket",
    model_id="bafk",
    layers=LayerRange(0, 6),
    state=SliceState.LOADING,
    head=True,
    dtype="bfloat16",
    weights="int8",
    weight_bytes=3 << 30,
    kv_bytes=1 << 20,
    sessions=2,
    step_us=1500,
    progress=0.25,
    detail="waits for the hub",
)
PEER = PeerLine(
    peer="b2xy", agent="lamella/1", address="192.0.2.1:7", linked_s=61, rtt_ms=3.25, sent_bytes=1 << 20
)
SESSION = SessionLine(
    session="s1", client="b2xy", slice="pocket/6:12", layers=LayerRange(6, 12), positions=12, max_positions=256,
    tokens=9, idle_s=0.5, active=True,
)  # fmt: skip
SAID: list[tuple[Any, list[str]]] = [
    (Hosting(), ["no slices"]),
    (Peers(), ["no links"]),
    (Sessions(), ["no sessions"]),
    (Metrics(values={}), ["no metrics"]),
    (Metrics(values={"b_total": 2.0, 'a{x="1"}': 0.5}), ['a{x="1"} 0.5', "b_total 2"]),
    (
        JoinProgress(slice="m/0:6", phase=JoinPhase.FETCHING, fraction=0.5, detail="3 MB from a hub"),
        ["m/0:6: fetching 50%, 3 MB from a hub"],
    ),
    (JoinProgress(slice="m/0:6", phase=JoinPhase.OPENING), ["m/0:6: opening"]),
    (Joined(slice=SLICE, seconds=65), ["pocket/6:12 is serving after 1 min 5 s"]),
    (
        DrainProgress(slice="m", state=SliceState.DRAINING, sessions=3, left_s=299.6),
        ["m: draining, 3 sessions, 5 min 0 s left"],
    ),
    (
        Drained(slices=("a", "b"), finished=2, cut_off=1),
        ["stopped a, b: 2 sessions finished, 1 cut off"],
    ),
    (LogsEnd(records=3), []),
    (LogsEnd(records=3, dropped=2), ["2 records left out: not read in time"]),
    (Reloaded(), ["nothing has changed"]),
    (
        Reloaded(applied=("grace",), needs_restart=("listen", "device")),
        ["took effect: grace", "needs a restart: listen, device"],
    ),
    (Stopping(sessions=0, grace_s=300), ["the host stops"]),
    (Stopping(sessions=2, grace_s=300), ["the host stops: 2 sessions may take 5 min 0 s to finish"]),
    (Nothing(), []),
]


@pytest.mark.parametrize(("record", "said"), SAID, ids=lambda one: type(one).__name__)
def test_a_record_is_told_in_few_words(record: Any, said: list[str]) -> None:
    assert control_text.lines(record) == said


def test_a_status_is_a_page_that_ends_with_the_slices() -> None:
    assert control_text.lines(STATUS) == [
        "state      serving",
        f"host       {'a' * 52}",
        "program    lamella-node 0.1.0, process 7, up 1 h 2 min",
        "network    main, 2 links, DHT 9 nodes known",
        "addresses  127.0.0.1:7311",
        "reached    nobody has reached this host yet",
        "memory     3.0 MiB weights, 1.0 MiB of 1.0 GiB for sessions",
        "sessions   1",
        "rates      256K a second up, no bound down",
        "",
        "SLICE        MODEL   LAYERS  STATE    SESSIONS",
        "pocket/6:12  pocket  6:12    serving         0",
    ]


def test_a_state_is_told_with_its_reason() -> None:
    paused = dataclasses.replace(
        STATUS, state=DaemonState.PAUSED, why="on battery", dht_nodes=None, slices=()
    )
    said = control_text.lines(paused)
    assert said[0] == "state      paused: on battery"
    assert "DHT off" in said[3]
    assert said[-1] == "no slices"


def test_a_host_that_relays_says_what_it_carries() -> None:
    relays = dataclasses.replace(STATUS, relay=Relaying(circuits=1, carried_bytes=3 << 20))
    assert "relay      carries 1 link for others, 3.0 MiB so far" in control_text.lines(relays)


def test_hosting_tells_all_of_a_slice() -> None:
    assert control_text.lines(Hosting(slices=(FACTS,))) == [
        "pocket/0:6",
        "  model     pocket",
        "  id        bafk",
        "  layers    0:6, with the head",
        "  state     loading 25%",
        "  numerics  bfloat16, weights int8, on cpu",
        "  memory    3.0 GiB weights, 1.0 MiB for 2 sessions",
        "  a token   1.5 ms",
        "  detail    waits for the hub",
    ]


def test_peers_and_sessions_are_tables() -> None:
    assert control_text.lines(Peers(peers=(PEER,))) == [
        "PEER  ADDRESS      PROGRAM    LINK   AGE           RTT  SESSIONS     SENT  RECEIVED",
        "b2xy  192.0.2.1:7  lamella/1  taken  1 min 1 s  3.2 ms         0  1.0 MiB         -",
    ]
    header, row = control_text.lines(Sessions(sessions=(SESSION,)))
    assert header.split() == ["SESSION", "CLIENT", "SLICE", "LAYERS", "POSITIONS", "OF", "TOKENS", "IDLE"]
    assert row.split() == ["s1", "b2xy", "pocket/6:12", "6:12", "12", "256", "9", "0.5", "s", "active"]


def test_columns_are_as_wide_as_they_need_and_numbers_stand_to_the_right() -> None:
    assert control_text.table(("A", "NUMBER"), [("long name", "1"), ("b", "100")]) == [
        "A          NUMBER",
        "long name       1",
        "b             100",
    ]


def test_a_log_record_is_a_line_with_its_time_and_more_lines_are_set_in() -> None:
    record = LogRecord(time=0.0, level="warning", logger="node.x", message="one\ntwo", session="ab12")
    first, second = control_text.lines(record)
    assert first.endswith("WARNING node.x [ab12]: one")
    assert second == "    two"


def test_a_changed_host_is_told_with_its_slices() -> None:
    said = control_text.lines(Changed(state=DaemonState.SERVING, slices=(SLICE,)))
    assert said[0] == "the host is serving" and len(said) == 3


@given(st.text(), st.text(), st.floats(allow_nan=False))
def test_nothing_a_host_says_moves_a_terminals_cursor(name: str, words: str, number: float) -> None:
    for record in (
        LogRecord(time=number, level=name, logger=words, message=words),
        Peers(peers=(dataclasses.replace(PEER, peer=name, agent=words),)),
        dataclasses.replace(STATUS, reachability=words, why=name),
        Hosting(slices=(dataclasses.replace(FACTS, name=name, detail=words),)),
    ):
        assert all(line.isprintable() for line in control_text.lines(record))


def test_every_record_that_says_something_has_words() -> None:
    told = {type(record) for record, _ in SAID} | {Status, LogRecord, Changed}
    for command in COMMANDS.values():
        assert {command.progress, command.result} <= told


def test_a_slice_that_failed_says_why_below_its_row_and_how_to_be_rid_of_it() -> None:
    failed = dataclasses.replace(SLICE, state=SliceState.FAILED, detail="no memory; free some")
    told = control_text.lines(Changed(state=DaemonState.SERVING, slices=(failed,)))
    assert told[2].split()[3] == "failed"
    assert told[3:] == ["  no memory; free some", "`lamella-node ctl leave SLICE` forgets one that failed"]


def test_a_state_is_told_with_its_reason_once() -> None:
    paused = dataclasses.replace(STATUS, state=DaemonState.PAUSED)
    assert control_text.state_of(dataclasses.replace(paused, why="paused by hand")) == "paused by hand"
    assert control_text.state_of(dataclasses.replace(paused, why="on battery")) == "paused: on battery"
    assert control_text.state_of(STATUS) == "serving"


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_measured_value_is_read_back_as_it_was(value: float) -> None:
    (line,) = control_text.lines(Metrics(values={"x": value}))
    assert float(line.split()[1]) == value


def test_a_tenth_more_is_news_and_less_is_not() -> None:
    def step(fraction: float) -> object:
        return control_text.step_of(JoinProgress(slice="m", phase=JoinPhase.LOADING, fraction=fraction))

    assert step(0.11) == step(0.19) != step(0.2)

    def left(seconds: float) -> object:
        return control_text.step_of(
            DrainProgress(slice="m", state=SliceState.DRAINING, sessions=1, left_s=seconds)
        )

    assert left(61) == left(89) != left(29)
