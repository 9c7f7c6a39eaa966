"""Each problem is one sentence that ends in what to do."""

from __future__ import annotations

import pytest

from node.reach.errors import BadAnswer, NoAnswer, NoGateway, ReachError, RouterRefused


@pytest.mark.parametrize(
    "error",
    [NoGateway(), NoAnswer("PCP"), BadAnswer("UPnP", "12 bytes"), RouterRefused("PCP", 2, "not authorised")],
)
def test_a_problem_names_its_cause_and_the_next_step(error: ReachError) -> None:
    assert error.cause
    assert error.next_step
    assert str(error) == f"{error.cause}; {error.next_step}"


def test_a_refusal_keeps_the_routers_number() -> None:
    refused = RouterRefused("UPnP", 718, "another machine has that port", other_port=True)
    assert (refused.code, refused.other_port) == (718, True)
    assert "718" in str(refused)
