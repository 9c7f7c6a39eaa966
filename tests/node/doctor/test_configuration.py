"""A configuration that a host would not start with is a problem, with what to do."""

from __future__ import annotations

from node.doctor import configuration
from node.doctor.finding import Verdict
from node.errors import ConfigError


async def test_what_can_be_used_is_well_and_what_cannot_is_a_problem() -> None:
    well = await configuration.look("the defaults hold", None)
    assert (well.verdict, well.found) == (Verdict.OK, "the defaults hold")
    bad = await configuration.look("a file", ConfigError("there is no key 'dsk'", "did you mean 'disk'?"))
    assert (bad.verdict, bad.found, bad.fix) == (
        Verdict.PROBLEM,
        "there is no key 'dsk'",
        "did you mean 'disk'?",
    )
