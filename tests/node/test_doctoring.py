"""`lamella-node doctor` from words to what is printed and the exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from node import doctoring
from node.doctor.checks import UNCONFIGURED
from node.doctor.finding import Check, Finding, ok, problem, warning
from node.doctor_cli import parse_doctor
from node.status import StatusLine


async def fine() -> Finding:
    return ok("fine", n=1)


async def better() -> Finding:
    return warning("so so", "do better")


async def broken() -> Finding:
    return problem("broken", "mend it")


MADE = [Check(name="memory", look=fine), Check(name="disk", look=better), Check(name="ports", look=broken)]


async def said(*words: str) -> tuple[bool, str]:
    config = parse_doctor(words)
    out = io.StringIO()
    well = await doctoring.run(config, StatusLine(as_json=config.json, out=out, err=io.StringIO()), MADE)
    return well, out.getvalue()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


async def test_a_person_reads_a_line_for_each_and_a_sum() -> None:
    well, text = await said()
    assert not well
    assert text.splitlines() == [
        "ok       memory: fine",
        "warning  disk: so so",
        "         -> do better",
        "problem  ports: broken",
        "         -> mend it",
        "3 checks: 1 problem, 1 warning",
    ]


async def test_a_script_gets_an_object_for_each_and_a_sum() -> None:
    _, text = await said("--json")
    events = [json.loads(line) for line in text.splitlines()]
    assert [one["event"] for one in events] == ["check", "check", "check", "examined"]
    assert events[0]["facts"] == {"n": 1}
    assert (events[3]["problems"], events[3]["warnings"]) == (1, 1)


async def test_only_what_was_asked_for_is_looked_at_and_warnings_are_no_failure() -> None:
    well, text = await said("--only", "disk", "--only", "memory")
    assert well
    assert "ports" not in text
    assert (await said("--only", "memory"))[1].endswith("1 check: all is well\n")


def test_the_subject_is_what_was_said_and_else_the_usual(home: Path) -> None:
    found = doctoring.subject(parse_doctor(["--listen", "127.0.0.1:9", "--identity", "key"]))
    assert found.identity_file == Path("key")
    assert [one.port for one in found.listen] == [9]
    assert found.weights == home / ".local/share/lamella/weights"
    assert found.config == home / ".config"
    assert doctoring.subject(parse_doctor([])).identity_file == home / ".local/share/lamella/identity"


def test_the_host_is_looked_at_as_it_is_configured(home: Path) -> None:
    file = home / ".config/lamella/node.toml"
    assert (doctoring.subject(parse_doctor([]), {}).said, file.exists()) == (UNCONFIGURED, False)
    file.parent.mkdir(parents=True)
    file.write_text(
        'control = "/run/c"\nlisten = ["127.0.0.1:9"]\ndisk = "5K"\nidentity = "/key"\nthreads = 1\n'
    )
    found = doctoring.subject(parse_doctor(["--threads", "2"]), {"LAMELLA_NODE_DISK": "6K"})
    assert (found.socket, found.identity_file, found.disk_bytes, found.threads) == (
        Path("/run/c"),
        Path("/key"),
        6144,
        2,
    )
    assert [str(one) for one in found.listen] == ["127.0.0.1:9"]
    assert found.said == f"what is said in {file}, LAMELLA_NODE_DISK can be used"
    assert found.trouble is None


def test_a_configuration_that_cannot_be_used_is_found_and_the_rest_looked_at(home: Path) -> None:
    other = home / "other.toml"
    other.write_text('dsk = "5K"\n')
    found = doctoring.subject(parse_doctor(["--config", str(other)]), {})
    assert found.trouble is not None and "no key 'dsk'" in str(found.trouble)
    assert found.identity_file == home / ".local/share/lamella/identity"
    missing = doctoring.subject(parse_doctor(["--config", str(home / "none")]), {})
    assert missing.trouble is not None and "there is no configuration file" in str(missing.trouble)
