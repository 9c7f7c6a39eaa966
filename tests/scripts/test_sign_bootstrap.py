"""From a new key to a list that a program reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.discovery.bootstrap import bootstrap_key, read_bootstrap
from scripts.sign_bootstrap import main

CONTACTS = ["192.0.2.7:7311", "[2001:db8::7]:7311"]


def test_a_signed_list_is_read_with_the_printed_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, out = tmp_path / "key", tmp_path / "list"
    assert main(["--new-key", str(key)]) == 0
    public = bootstrap_key(capsys.readouterr().out.strip())
    assert key.stat().st_mode & 0o777 == 0o600
    assert main(["--key", str(key), "--out", str(out), "--days", "2", *CONTACTS], now=1_000_000.0) == 0
    listed = read_bootstrap(out, network="main", now=1_000_001, key=public)
    assert [str(one) for one in listed.contacts] == CONTACTS
    assert listed.expires - listed.issued == 2 * 86_400
    assert key.read_text().strip() not in capsys.readouterr().out


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    main(["--new-key", str(key)])
    key.chmod(0o644)
    assert main(["--key", str(key), "--out", str(tmp_path / "list"), *CONTACTS]) == 1
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--days", "401", *CONTACTS],
        ["--days", "0", *CONTACTS],
        ["--network", "", *CONTACTS],
        ["example.org:1"],
        [*CONTACTS, *CONTACTS],
    ],
)
def test_what_cannot_be_a_list_is_not_written(tmp_path: Path, words: list[str]) -> None:
    key, out = tmp_path / "key", tmp_path / "list"
    main(["--new-key", str(key)])
    assert main(["--key", str(key), "--out", str(out), *words]) == 1
    assert not out.exists()


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    key = tmp_path / "key"
    main(["--new-key", str(key)])
    before = key.read_bytes()
    assert main(["--new-key", str(key)]) == 1
    assert key.read_bytes() == before
    key.write_text("short")
    assert main(["--key", str(key), "--out", str(tmp_path / "list")]) == 1
    with pytest.raises(SystemExit):
        main(["--key", str(key)])
