"""What `systemctl show` prints, read as a value and told as a sentence."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.service import standing


def shown(**values: object) -> str:
    return "\n".join(f"{name}={value}" for name, value in values.items())


def test_a_running_host_is_read_as_it_stands() -> None:
    now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    found = standing.read(
        shown(
            LoadState="loaded",
            ActiveState="active",
            SubState="running",
            FragmentPath="/home/a/x.service",
            DropInPaths="/a.conf /b.conf",
            UnitFileState="enabled",
            ActiveEnterTimestampMonotonic=now_usec - 60_000_000,
            StateChangeTimestampMonotonic=1,
            MainPID=12,
            MemoryCurrent=3 << 20,
            NRestarts=2,
            StatusText="serves a=b",
            InvocationID="abc",
            TimeoutStopUSec="5min 15.5s",
        )
    )
    assert found.ready
    assert not found.at_rest
    assert (found.pid, found.memory_bytes, found.restarts) == (12, 3 << 20, 2)
    assert found.text == "runs: serves a=b"
    assert found.drop_ins == ("/a.conf", "/b.conf")
    assert found.since is not None
    assert abs(time.time() - 60 - found.since) < 2
    assert found.stop_s == 315.5
    assert json.loads(json.dumps(found.facts()))["unit_path"] == "/home/a/x.service"


def test_nothing_known_is_nothing_installed() -> None:
    found = standing.read("")
    assert (found.load_state, found.at_rest, found.pid, found.since) == ("not-found", True, None, None)
    assert found.text == "does not run"


@pytest.mark.parametrize("text", ["[not set]", "18446744073709551615", "", "-1", "12 MB", "9" * 30])
def test_a_number_that_systemd_does_not_have_is_none(text: str) -> None:
    assert standing.read(shown(MemoryCurrent=text)).memory_bytes is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("20s", 20.0), ("1min 30s", 90.0), ("500ms", 0.5), ("infinity", None), ("", None), ("5", None)],
)
def test_time_spans_are_read(text: str, seconds: float | None) -> None:
    assert standing.read(shown(TimeoutStopUSec=text)).stop_s == seconds


@pytest.mark.parametrize(
    ("values", "cause", "step"),
    [
        ({"Result": "watchdog"}, "gave no sign of life", "where it hung"),
        ({"Result": "timeout"}, "took too long", "last lines"),
        ({"Result": "oom-kill"}, "want of memory", "fewer layers"),
        ({"Result": "protocol"}, "without ever being ready", "last lines"),
        ({"Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 1}, "could not start", "last lines"),
        ({"Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 2}, "words", "--help"),
        ({"Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 203}, "program is gone", "install Lamella"),
        ({"Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 218}, "no longer allows", "again"),
        ({"Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 226}, "folder", "again"),
        ({"Result": "exit-code", "ExecMainCode": 1, "ExecMainStatus": 77}, "(status 77)", "last lines"),
        ({"Result": "signal", "ExecMainCode": 2, "ExecMainStatus": 9}, "signal 9", "last lines"),
    ],
)  # fmt: skip
def test_an_end_is_explained(values: dict[str, object], cause: str, step: str) -> None:
    found = standing.read(shown(ActiveState="failed", **values))
    assert found.ended_badly
    assert cause in found.why_it_ended[0]
    assert step in found.why_it_ended[1]
    assert found.text == f"failed; {found.why_it_ended[0]}"


def test_a_host_between_two_starts_is_no_running_host() -> None:
    found = standing.read(shown(ActiveState="activating", SubState="auto-restart", ExecMainStatus=1))
    assert found.ended_badly
    assert not found.at_rest
    assert found.text.startswith("waits to be started again")


@settings(max_examples=40)
@given(st.text(max_size=100))
def test_any_output_is_read(text: str) -> None:
    assert standing.read(text).text


def test_what_a_host_said_last_is_told_of_one_that_failed_and_not_of_one_that_was_stopped() -> None:
    failed = standing.read(shown(ActiveState="failed", ExecMainStatus=1, StatusText="there is no model x"))
    assert failed.text == "failed; the host could not start or go on (status 1): there is no model x"
    assert standing.read(shown(ActiveState="inactive", StatusText="serves x")).text == "does not run"
