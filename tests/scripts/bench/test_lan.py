"""The networks of the benchmark come and go, and without rights the next step is told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from scripts.bench import lan
from tests.lab.namespaces import needs


def test_without_rights_it_says_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert lan.main([]) == 1
    assert "needs root" in capsys.readouterr().err


@pytest.mark.parametrize("_", [pytest.param(None, marks=needs())])
def test_machines_of_a_network_reach_each_other_and_are_gone_afterwards(_: None) -> None:
    with lan.network(2) as machines:
        words = [*lan.inside(machines[0]), "ip", "neigh", "show"]
        assert subprocess.run(words, check=True, capture_output=True).returncode == 0
        shown = subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True).stdout
        assert all(machine in shown for machine in machines)
    shown = subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True).stdout
    assert not any(machine in shown for machine in machines)


def test_a_program_begins_with_an_empty_home(tmp_path: Path) -> None:
    home = lan.environment(tmp_path)["XDG_CACHE_HOME"]
    assert home.startswith(str(tmp_path))
    assert lan.timed(["true"], tmp_path) > 0
    with pytest.raises(subprocess.CalledProcessError):
        lan.timed(["false"], tmp_path)
