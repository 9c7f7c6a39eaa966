"""A host says why it takes no sessions."""

from __future__ import annotations

import pytest

from node.control.results import DaemonState, SliceState
from node.sight.facts import LINK_CODES, SESSION_CODES, SLICE_STATES, STATES, HostingFacts, unready
from wire.codes import Code


@pytest.mark.parametrize(
    ("state", "slices", "reason"),
    [
        ("starting", {}, "starting"),
        ("starting", {"serving": 1}, "starting"),
        ("draining", {"serving": 1}, "draining: takes no new sessions"),
        ("paused", {"serving": 1}, "paused: takes no new sessions"),
        ("stopping", {"serving": 1}, "stopping: takes no new sessions"),
        ("serving", {}, "serves no slice"),
        ("serving", {"failed": 1, "stopped": 2}, "serves no slice"),
        ("serving", {"loading": 1}, "loading a slice"),
        ("serving", {"draining": 1}, "draining its slices"),
        ("serving", {"loading": 1, "serving": 1}, None),
        ("serving", {"draining": 1, "serving": 1}, None),
        ("something new", {"serving": 1}, "something new: takes no new sessions"),
    ],
)
def test_a_host_is_ready_when_it_serves_and_a_slice_of_it_does(
    state: str, slices: dict[str, int], reason: str | None
) -> None:
    assert unready(HostingFacts(uptime_s=1.0, state=state, slices=slices)) == reason


def test_states_are_those_of_the_control_socket() -> None:
    assert tuple(state.value for state in DaemonState) == STATES
    assert tuple(state.value for state in SliceState) == SLICE_STATES


def test_codes_are_those_that_end_links_and_those_that_refuse_or_end_sessions() -> None:
    assert Code.CONNECTION_LOST.text in LINK_CODES
    assert Code.NOT_HOSTING.text not in LINK_CODES
    assert {Code.SHUTTING_DOWN.text, Code.NO_MEMORY.text, Code.HOP_LOST.text} < set(SESSION_CODES)
    assert Code.NO_RELAY.text not in SESSION_CODES
