"""The words of `lamella-node service`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from node.service_cli import InstallConfig, LogsConfig, StatusConfig, UninstallConfig, parse_service

ROOT = Path(__file__).resolve().parents[2]
HOST = ["--model", "pocket", "--layers", "6:12", "--listen", "127.0.0.1:7311", "--grace", "7"]


@pytest.mark.parametrize("divider", [[], ["--"]])
def test_words_for_the_host_come_after_the_dashes_or_without(divider: list[str]) -> None:
    found = parse_service(["install", "--wait", "7", "--no-linger", "--json", *divider, *HOST])
    assert isinstance(found, InstallConfig)
    assert found.words == tuple(HOST)
    assert (found.node.grace_s, found.node.slices[0].model) == (7.0, "pocket")
    assert (found.linger, found.wait_s, found.json) == (False, 7.0, True)


def test_what_is_after_the_dashes_is_all_for_the_host() -> None:
    found = parse_service(["install", "--", *HOST, "--json"])
    assert isinstance(found, InstallConfig)
    assert (found.json, found.node.json) == (False, True)
    assert found.words == (*HOST, "--json")


def test_the_other_actions() -> None:
    assert parse_service(["uninstall"]) == UninstallConfig()
    assert parse_service(["status", "--json"]) == StatusConfig(json=True)
    assert parse_service(["logs", "-f", "-n", "7"]) == LogsConfig(lines=7, follow=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "ACTION"),
        ("restart", "invalid choice"),
        ("install -- --control off", "nothing to serve"),
        ("install -- --model pocket --layers 9", "--layers"),
        ("install --model pocket --typo", "--typo"),
        ("install --model pocket -- --layers 6:12", "--model is for the host"),
        ("install --wait never -- --model pocket", "--wait"),
        ("status --follow", "--follow is not for status"),
        ("uninstall -- x", "-- is not for uninstall"),
        ("logs -n many", "is not a number"),
    ],
)
def test_wrong_words_are_told_in_one_sentence(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_service(words.split())
    captured = capsys.readouterr()
    assert ended.value.code == 2
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_reading_words_does_not_wait_for_torch() -> None:
    program = (
        "import sys, node.service_cli, node.service_steps; "
        "print(*(one for one in ('torch', 'aiohttp') if one in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
