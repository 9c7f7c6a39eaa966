"""The unit's text: what systemd itself says of it, and what it does with odd words."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.service import unit
from node.service.unit import Systemd, Wanted

BOTH = [Systemd(version=252, sandbox=True), Systemd(version=252, sandbox=False)]
MOST_EXPOSED = {True: 2.6, False: 6.4}
"""Of 10, as `systemd-analyze security` sums it up; most of what it counts a user's systemd cannot do at all."""
needs_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="not installed: systemd-analyze (Debian: apt-get install systemd)",
)


def wanted(folder: Path) -> Wanted:
    return Wanted(
        command=(sys.executable, "-P", "-m", "node", "--model", 'a "b" $c %d\n', "--layers", "6:12"),
        folder=folder,
        environment=(("XDG_DATA_HOME", f"{folder}/50 %"),),
        writable=(folder / "data 50%",),
        hidden=(folder / ".ssh",),
        cache="lamella",
        runtime="lamella",
        grace_s=300.0,
        kill=shutil.which("kill"),
        memory_max_bytes=1 << 30,
    )


def analysed(tmp_path: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "lamella-node.service"
    file.write_text(text)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        ["systemd-analyze", *words, str(file)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_analyze
@pytest.mark.parametrize("systemd", BOTH)
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path, systemd: Systemd) -> None:
    done = analysed(tmp_path, unit.text(wanted(tmp_path), systemd), "verify", "--user")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_analyze
def test_a_unit_with_an_unknown_line_would_not_pass_that_test(tmp_path: Path) -> None:
    text = unit.text(wanted(tmp_path), BOTH[0]).replace("Type=notify", "Type=notify\nTypo=yes")
    assert "Typo" in analysed(tmp_path, text, "verify", "--user").stderr


@needs_analyze
@pytest.mark.parametrize("systemd", BOTH)
def test_the_unit_is_as_little_exposed_as_it_can_be(tmp_path: Path, systemd: Systemd) -> None:
    done = analysed(
        tmp_path, unit.text(wanted(tmp_path), systemd), "security", "--user", "--offline=true", "--no-pager"
    )
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED[systemd.sandbox]


def test_the_first_line_says_who_wrote_it(tmp_path: Path) -> None:
    text = unit.text(wanted(tmp_path), BOTH[0])
    assert text.startswith(f"{unit.MARKER}\n")
    assert unit.LINGER_MARKER not in text
    assert unit.LINGER_MARKER in unit.text(wanted(tmp_path), BOTH[0], linger_is_ours=True)


def test_restarts_come_ever_more_rarely_where_systemd_can_do_that(tmp_path: Path) -> None:
    lines = unit.text(wanted(tmp_path), Systemd(version=254, sandbox=True)).splitlines()
    assert {"RestartSec=2s", "RestartSteps=8", "RestartMaxDelaySec=300s"} <= set(lines)
    older = unit.text(wanted(tmp_path), Systemd(version=253, sandbox=True)).splitlines()
    assert "RestartSec=30s" in older
    assert not any(line.startswith(("RestartSteps", "RestartMaxDelay")) for line in older)


def test_a_stop_may_take_the_grace_and_a_little_more(tmp_path: Path) -> None:
    text = unit.text(dataclasses.replace(wanted(tmp_path), grace_s=7.25), BOTH[0])
    assert "TimeoutStopSec=22250ms" in text.splitlines()


def test_what_needs_a_user_namespace_is_left_out_together(tmp_path: Path) -> None:
    confined, free = (set(unit.text(wanted(tmp_path), one).splitlines()) for one in BOTH)
    assert free <= confined
    assert set(unit.sandbox(wanted(tmp_path))) == {one.replace("%%", "%") for one in confined - free}
    assert not any("Paths=" in line or "Private" in line for line in free)


def test_what_silently_undoes_the_sandbox_is_not_asked_for(tmp_path: Path) -> None:
    text = unit.text(wanted(tmp_path), BOTH[0])
    for name in ("ProtectControlGroups", "ProtectKernelTunables", "ProtectProc", "MemoryDenyWriteExecute"):
        assert name not in text


def test_a_host_with_a_gpu_keeps_its_devices(tmp_path: Path) -> None:
    assert "PrivateDevices=yes" in unit.sandbox(wanted(tmp_path))
    assert "PrivateDevices=yes" not in unit.sandbox(dataclasses.replace(wanted(tmp_path), devices=True))


def test_no_word_can_begin_a_line_of_its_own(tmp_path: Path) -> None:
    odd = dataclasses.replace(
        wanted(tmp_path),
        command=("/bin/true", "x\nExecStartPre=/bin/false"),
        environment=(("A", "\n[Service]\nUser=root"),),
    )
    names = [line.split("=")[0] for line in unit.text(odd, BOTH[0]).splitlines()]
    assert "ExecStartPre" not in names
    assert "User" not in names
