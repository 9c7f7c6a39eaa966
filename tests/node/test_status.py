from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.status import StatusLine

ROOT = Path(__file__).parents[2]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class FullDisk(io.StringIO):
    """A stream that takes nothing."""

    def write(self, _text: str) -> int:
        """Refuse."""
        raise OSError(28, "No space left on device")


def test_a_script_gets_one_object_a_line_and_nothing_else() -> None:
    out, err = io.StringIO(), Terminal()
    status = StatusLine(as_json=True, out=out, err=err)
    status.say("loading", "loading pocket", layers="1:8")
    status.progress("loading pocket", 0.5)
    status.say("error", "lamella-node: no\nway", message="no\nway")
    assert [json.loads(line) for line in out.getvalue().splitlines()] == [
        {"event": "loading", "layers": "1:8"},
        {"event": "error", "message": "no\nway"},
    ]
    assert err.getvalue() == ""


def test_a_person_gets_the_sentences_on_standard_error() -> None:
    out, err = io.StringIO(), io.StringIO()
    status = StatusLine(as_json=False, out=out, err=err)
    status.say("loading", "loading pocket", layers="1:8")
    status.progress("loading pocket", 0.5)
    status.say("ready", "ready", address="127.0.0.1:1")
    assert out.getvalue() == ""
    assert err.getvalue() == "loading pocket\nready\n"


def test_progress_moves_on_a_terminal_and_the_next_sentence_begins_a_line() -> None:
    err = Terminal()
    status = StatusLine(as_json=False, out=io.StringIO(), err=err)
    for fraction in (0.0, 0.5, 1.0):
        status.progress("loading", fraction)
    status.say("ready", "ready")
    status.say("stopped", "stopped")
    assert (
        err.getvalue()
        == "".join(f"\r\x1b[Kloading {part}" for part in ("  0%", " 50%", "100%")) + "\nready\nstopped\n"
    )


@pytest.mark.parametrize("as_json", [True, False])
def test_a_full_disk_does_not_stop_the_host(as_json: bool) -> None:
    status = StatusLine(as_json=as_json, out=FullDisk(), err=FullDisk())
    status.say("ready", "ready")
    status.progress("loading", 0.5)


@pytest.mark.parametrize("as_json", [True, False])
def test_a_reader_that_goes_away_does_not_stop_the_host(as_json: bool) -> None:
    program = (
        "import sys; from node.status import StatusLine\n"
        f"status = StatusLine(as_json={as_json})\n"
        "sys.stdin.readline()\n"
        "for number in range(3): status.say('ready', 'ready')\n"
        "raise SystemExit(17)\n"
    )
    reading, writing = os.pipe()
    host = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=writing, stderr=writing
    )
    os.close(writing)
    os.close(reading)
    host.communicate(b"\n", timeout=30)
    assert host.returncode == 17


def test_a_host_that_fails_tells_a_person_and_a_script() -> None:
    for as_json in (False, True):
        out, err = io.StringIO(), io.StringIO()
        StatusLine(as_json=as_json, out=out, err=err).fail("the disk is full; make room")
        assert err.getvalue() == "lamella-node: the disk is full; make room\n"
        said = [{"event": "error", "message": "the disk is full; make room"}] if as_json else []
        assert [json.loads(line) for line in out.getvalue().splitlines()] == said


def test_what_is_asked_for_takes_the_place_of_progress_on_a_terminal() -> None:
    out, err = io.StringIO(), Terminal()
    status = StatusLine(as_json=False, out=out, err=err)
    status.progress("looking", 0.5)
    status.print("found")
    status.say("done", "done")
    assert out.getvalue() == "found\n"
    assert err.getvalue().endswith("\r\x1b[Kdone\n")
