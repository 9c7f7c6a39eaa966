"""A finding is told to a person with its fix below it, and to a script with everything."""

from __future__ import annotations

from node.doctor.finding import Examined, Verdict, ok, problem, warning


def test_a_person_reads_the_verdict_first_and_the_fix_on_a_line_of_its_own() -> None:
    done = Examined(name="disk", finding=problem("it is full", "make room", free=1), seconds=0.12345)
    assert done.text().splitlines() == ["problem  disk: it is full", "         -> make room"]
    assert Examined(name="disk", finding=ok("fine"), seconds=0).text() == "ok       disk: fine"


def test_a_script_gets_every_field() -> None:
    done = Examined(name="disk", finding=warning("nearly full", "make room", free=1), seconds=0.12345)
    assert done.facts() == {
        "check": "disk",
        "verdict": "warning",
        "found": "nearly full",
        "fix": "make room",
        "facts": {"free": 1},
        "seconds": 0.123,
    }
    assert done.finding.verdict is Verdict.WARNING
